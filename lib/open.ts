/**
 * Opening: checks the arguments, makes one native call, and inflates the deflated records that call
 * asks for.
 */
import { closeSync, openSync as openFileSync, readSync } from 'node:fs'
import { open as openFile } from 'node:fs/promises'
import { fileURLToPath } from 'node:url'
import { types } from 'node:util'
import { checkOptions, wrongType, wrongValue } from './arguments'
import { binding, type NativeFailure, type NativeOptions, type Opened } from './binding'
import { Checkpoint } from './checkpoint'
import { errorFrom, FormatError, UnsupportedError } from './errors'
import { inflate } from './inflate'
import { checkLimits, LIMITS, type Limits } from './limits'
import { Session } from './session'

/** What can be opened: a path, a `file:` URL, or the bytes of a checkpoint. */
export type Source = string | URL | Uint8Array

export interface OpenOptions {
  /** Stops the opening; the promise rejects with the signal's reason. */
  signal?: AbortSignal | undefined
  /** Caps on what the checkpoint may ask for; {@link LIMITS} by default. */
  limits?: Partial<Limits> | undefined
  /** Map the file (the default), or read it piece by piece, which suits network file systems. */
  mmap?: boolean | undefined
  /**
   * What to do about classes and functions this package does not know: make them inert objects
   * (`opaque`, the default), or refuse the checkpoint (`strict`). None is ever imported or called.
   */
  globals?: 'opaque' | 'strict' | undefined
  /**
   * Where the container is damaged, such as a download that stopped early, open what is whole in
   * it: {@link Checkpoint.isSalvaged} says so, {@link Checkpoint.skipped} lists the rest. What a
   * zip archive has a checksum of is compared with it. An undamaged file opens as always.
   */
  salvage?: boolean | undefined
}

const OPTIONS = ['signal', 'limits', 'mmap', 'globals', 'salvage'] as const

/**
 * Opens a checkpoint off the main thread. The content says what it is; the extension is never
 * believed.
 *
 * Bytes are decoded before this returns, and tensors view them in place: leave them unchanged.
 *
 * @throws {@link FormatError} for what is no checkpoint, or a damaged one
 * @throws {@link UnsupportedError} for formats and features this package does not read
 * @throws {@link LimitError} for a checkpoint that needs more than `limits` allow
 * @throws {@link UnsafeError} `UNSAFE_GLOBAL` with `globals: 'strict'`
 * @throws errors of the file system, such as `ENOENT`, in Node's own shape
 */
export async function open(source: Source, options: OpenOptions = {}): Promise<Checkpoint> {
  const request = new Request(source, options)
  const { signal } = request
  signal?.throwIfAborted()
  if (typeof request.source !== 'string') return request.openNow()

  const { source: path, native } = request
  const cancel = new Uint8Array(1)
  const stop = () => {
    cancel[0] = 1
  }
  signal?.addEventListener('abort', stop, { once: true })
  try {
    for (;;) {
      const outcome = await binding.open(path, native, cancel)
      if (signal?.aborted) {
        if (!outcome.failure) binding.close(outcome.handle, [])
        throw signal.reason
      }
      if (!outcome.failure) return request.checkpoint(outcome)
      const record = request.deflated(outcome.failure)
      request.inflated(record, await readBytes(path, record))
    }
  } finally {
    signal?.removeEventListener('abort', stop)
  }
}

/**
 * Opens a checkpoint before it returns; see {@link open}.
 *
 * @throws what {@link open} rejects with
 */
export function openSync(source: Source, options: OpenOptions = {}): Checkpoint {
  const request = new Request(source, options)
  request.signal?.throwIfAborted()
  return request.openNow()
}

/** A deflated record that has to be inflated before the checkpoint can be read. */
interface Deflated {
  name: string
  /** Bytes from the start of the file. */
  offset: number
  /** Bytes stored. */
  stored: number
  /** Bytes once inflated. */
  bytes: number
}

/** One call of `open`, its arguments checked. */
class Request {
  readonly source: string | Uint8Array
  readonly signal: AbortSignal | undefined
  readonly native: NativeOptions
  readonly #limits: Limits

  constructor(source: Source, options: OpenOptions) {
    this.source = checkSource(source)
    checkOptions('options', options, OPTIONS)
    const { signal, limits = {}, mmap = true, globals = 'opaque' }: OpenOptions = options
    const { salvage = false }: OpenOptions = options
    if (signal !== undefined && typeof signal?.throwIfAborted !== 'function') {
      throw wrongType('options.signal', 'an AbortSignal', signal)
    }
    if (typeof mmap !== 'boolean') throw wrongType('options.mmap', 'a boolean', mmap)
    if (globals !== 'opaque' && globals !== 'strict') {
      throw wrongValue('options.globals', "'opaque' or 'strict'", globals)
    }
    if (typeof salvage !== 'boolean') throw wrongType('options.salvage', 'a boolean', salvage)
    const given = checkLimits(limits)
    this.signal = signal
    this.#limits = { ...LIMITS, ...given }
    const strict = globals === 'strict'
    this.native = { map: mmap, strict, salvage, limits: given, inflated: [] }
  }

  get #path(): string | undefined {
    return typeof this.source === 'string' ? this.source : undefined
  }

  openNow(): Checkpoint {
    const { source } = this
    // Other threads could change shared bytes while they are decoded.
    const isShared = typeof source !== 'string' && types.isSharedArrayBuffer(source.buffer)
    const stable = isShared ? new Uint8Array(source) : source
    for (;;) {
      const outcome = binding.openSync(stable, this.native)
      if (!outcome.failure) return this.checkpoint(outcome)
      const record = this.deflated(outcome.failure)
      const { offset, stored } = record
      this.inflated(
        record,
        typeof stable === 'string'
          ? readBytesSync(stable, record)
          : stable.subarray(offset, offset + stored),
      )
    }
  }

  checkpoint(opened: Opened): Checkpoint {
    return new Checkpoint(new Session(opened, this.source, this.#limits), opened)
  }

  /** The record that a failure asks for; throws every failure that is about something else. */
  deflated(failure: NativeFailure): Deflated {
    const { code, subject, record: name, offset, limit: stored, actual: bytes } = failure
    const isAsking = code === 'UNSUPPORTED_COMPRESSION' && subject === 'deflate'
    const isKnown = this.native.inflated.some((record) => record.name === name)
    if (!isAsking || isKnown || name === undefined || offset === undefined) {
      throw errorFrom(failure, this.#path)
    }
    return { name, offset, stored: stored ?? 0, bytes: bytes ?? 0 }
  }

  inflated({ name, offset, stored, bytes }: Deflated, deflated: Uint8Array): void {
    const place = { path: this.#path, record: name, offset }
    if (deflated.length !== stored) {
      const message = `record '${name}' has ${deflated.length} of ${stored} bytes`
      throw new FormatError('TRUNCATED', message, place)
    }
    const limit = this.#limits.inflatedBytes
    const result = inflate(deflated, bytes, { exactly: true, limit, place })
    this.native.inflated.push({ name, bytes: result })
  }
}

function checkSource(source: unknown): string | Uint8Array {
  if (types.isUint8Array(source)) return source
  if (typeof source === 'string') {
    if (source.includes('\0')) throw wrongValue('source', 'a path without null bytes', source)
    return source.startsWith('file:') ? fileURLToPath(source) : source
  }
  if (Array.isArray(source)) {
    throw new UnsupportedError(
      'UNSUPPORTED_FORMAT',
      'a checkpoint split over several files cannot be opened as one; open its files one by one',
      {},
      'split checkpoints',
    )
  }
  if (isUrl(source)) return fileURLToPath(source)
  throw wrongType('source', 'a path, a file: URL or a Uint8Array', source)
}

/** By its shape, as Node does: a URL can come from another realm. */
function isUrl(source: unknown): source is URL {
  return (
    typeof source === 'object' &&
    source !== null &&
    typeof (source as URL).href === 'string' &&
    typeof (source as URL).protocol === 'string'
  )
}

async function readBytes(path: string, { offset, stored }: Deflated): Promise<Uint8Array> {
  const file = await openFile(path)
  try {
    const bytes = new Uint8Array(stored)
    let count = 0
    while (count < stored) {
      const { bytesRead } = await file.read(bytes, count, stored - count, offset + count)
      if (bytesRead === 0) break
      count += bytesRead
    }
    return bytes.subarray(0, count)
  } finally {
    await file.close()
  }
}

function readBytesSync(path: string, { offset, stored }: Deflated): Uint8Array {
  const file = openFileSync(path, 'r')
  try {
    const bytes = new Uint8Array(stored)
    let count = 0
    while (count < stored) {
      const bytesRead = readSync(file, bytes, count, stored - count, offset + count)
      if (bytesRead === 0) break
      count += bytesRead
    }
    return bytes.subarray(0, count)
  } finally {
    closeSync(file)
  }
}
