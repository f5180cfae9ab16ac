/**
 * What was fetched of an object, kept in a directory: a file for each range, called by its first
 * byte and the one behind its last. Ranges are written under another name first, so that what has
 * its name is whole; several processes may use one directory.
 */
import { mkdir, open, readdir, rename, rm, stat } from 'node:fs/promises'
import { join } from 'node:path'
import type { HttpObject } from './http'
import type { RemoteObject, Sink } from './object'

/** Bytes that are read of a file at a time. */
const BLOCK = 2 ** 20

interface Kept {
  start: number
  end: number
  file: string
}

/** Query parameters of presigned URLs, which differ each time: they do not say which object it is. */
const SIGNATURES =
  /^(x-amz-.*|x-goog-.*|awsaccesskeyid|googleaccessid|signature|expires|key-pair-id|policy|sig|se|st|sp|sv|sr|ske|skt|sks|skv|skoid|sktid)$/i

/** Of the ranges that this process wrote. */
let count = 0

export class CachedObject implements RemoteObject {
  readonly path: string
  readonly byteLength: number
  readonly head: Uint8Array
  readonly grain: number
  readonly #object: HttpObject
  readonly #folder: string
  /** In the order of their first bytes. */
  readonly #kept: Kept[]

  private constructor(object: HttpObject, folder: string, kept: Kept[]) {
    this.path = object.path
    this.byteLength = object.byteLength
    this.head = object.head
    this.grain = object.grain
    this.#object = object
    this.#folder = folder
    this.#kept = kept
  }

  /** The object itself where its server does not say which version it sends. */
  static async over(object: HttpObject, url: URL, directory: string): Promise<RemoteObject> {
    if (object.version === undefined) return object
    const folder = join(directory, keyOf(url, object))
    await mkdir(folder, { recursive: true })
    const kept: Kept[] = []
    for (const name of await readdir(folder)) {
      const [, start, end] = /^(\d+)-(\d+)$/.exec(name) ?? []
      if (end === undefined) continue
      const range = { start: Number(start), end: Number(end), file: join(folder, name) }
      const { size } = await stat(range.file)
      if (size === range.end - range.start && range.end <= object.byteLength) kept.push(range)
    }
    return new CachedObject(object, folder, kept.sort(byStart))
  }

  async read(start: number, end: number, sink: Sink, signal?: AbortSignal): Promise<void> {
    for (let at = start; at < end; ) {
      const here = this.#kept.find((range) => range.start <= at && at < range.end)
      if (here !== undefined) {
        const to = Math.min(end, here.end)
        await readKept(here, at, to, sink, signal)
        at = to
        continue
      }
      const next = this.#kept.find((range) => range.start > at)
      const to = Math.min(end, next?.start ?? end)
      await this.#fetch(at, to, sink, signal)
      at = to
    }
  }

  async #fetch(
    start: number,
    end: number,
    sink: Sink,
    signal: AbortSignal | undefined,
  ): Promise<void> {
    const part = join(this.#folder, `${process.pid}-${++count}.part`)
    const file = await open(part, 'wx')
    try {
      const writes: Promise<unknown>[] = []
      try {
        const take: Sink = (offset, bytes) => {
          writes.push(file.write(bytes, 0, bytes.length, offset - start))
          sink(offset, bytes)
        }
        await this.#object.read(start, end, take, signal)
      } finally {
        await Promise.allSettled(writes)
        await file.close()
      }
      await Promise.all(writes)
      const kept = { start, end, file: join(this.#folder, `${start}-${end}`) }
      await rename(part, kept.file)
      this.#kept.push(kept)
      this.#kept.sort(byStart)
    } catch (error) {
      await rm(part, { force: true })
      throw error
    }
  }
}

async function readKept(
  { start, file }: Kept,
  from: number,
  to: number,
  sink: Sink,
  signal: AbortSignal | undefined,
): Promise<void> {
  const opened = await open(file)
  try {
    for (let at = from; at < to; ) {
      signal?.throwIfAborted()
      const bytes = new Uint8Array(Math.min(BLOCK, to - at))
      const { bytesRead } = await opened.read(bytes, 0, bytes.length, at - start)
      if (bytesRead === 0) throw new Error(`'${file}' became shorter while it was read`)
      sink(at, bytes.subarray(0, bytesRead))
      at += bytesRead
    }
  } finally {
    await opened.close()
  }
}

function keyOf({ origin, pathname, searchParams }: URL, object: HttpObject): string {
  const query = [...searchParams].filter(([name]) => !SIGNATURES.test(name))
  const { createHash } = process.getBuiltinModule('node:crypto')
  const parts = [origin, pathname, query, object.version, object.byteLength]
  return createHash('sha256').update(JSON.stringify(parts)).digest('hex').slice(0, 40)
}

function byStart(a: Kept, b: Kept): number {
  return a.start - b.start || b.end - a.end
}
