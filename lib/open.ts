/** Opening: finds out what the source is, and makes the checkpoint over it. */
import { fileURLToPath } from 'node:url'
import { types } from 'node:util'
import { wrongType, wrongValue } from './arguments'
import type { Checkpoint } from './checkpoint'
import type { Content } from './content'
import type { FileContent } from './file-content'
import { checkpointFor } from './hidden-classes'
import { type Plan, planOfFile, planOfName, planOfParts, planOfPath } from './parts/plan'
import type { ByteSource } from './remote/object'
import { checkRemoteRequest, type RemoteSource, refuseRemote, remoteSource } from './remote/source'
import { openParts, openRemote } from './remote/split'
import { type OpenOptions, Request } from './request'
import { refuseDamaged, refuseDamagedSync } from './verify'

/** A path, or a `file:`, `http:` or `https:` URL. */
export type Location = string | URL

/**
 * What can be opened: the path or URL of a file or of an index of parts, the path of a directory;
 * the bytes of a checkpoint; bytes that are elsewhere, cut out by their owner ({@link ByteSource},
 * `Blob`); an array of the parts of one checkpoint.
 */
export type Source =
  | Location
  | Uint8Array
  | ByteSource
  | Blob
  | readonly (Location | ByteSource | Blob)[]

/**
 * Opens a checkpoint off the main thread. The content says what it is; the extension is never
 * believed.
 *
 * Bytes are decoded before this returns, and tensors view them in place: leave them unchanged.
 *
 * Of what is elsewhere only the parts that describe the tensors are fetched:
 * {@link Checkpoint.load} and {@link Tensor.load} bring elements here.
 *
 * @throws {@link FormatError} for what is no checkpoint, or a damaged one
 * @throws {@link UnsupportedError} for formats and features this package does not read
 * @throws {@link LimitError} for a checkpoint that needs more than `limits` allow
 * @throws {@link UnsafeError} `UNSAFE_GLOBAL` with `globals: 'strict'`
 * @throws {@link StateError} `MISSING_SHARD` when a part is not there
 * @throws {@link RemoteError} for what is elsewhere and cannot be had
 * @throws errors of the file system, such as `ENOENT`, in Node's own shape
 */
export async function open(source: Source, options: OpenOptions = {}): Promise<Checkpoint> {
  const request = new Request(options)
  const remote = remoteSources(source)
  request.signal?.throwIfAborted()
  if (remote !== undefined) return checkpointFor(await remoteContent(remote, request), request)
  const opened = await content(checkSource(source), request)
  if (request.verify) {
    const { signal } = request
    try {
      await refuseDamaged(opened.units(), { signal }, () => opened.checkOpen())
    } catch (error) {
      opened.close()
      throw error
    }
  }
  return checkpointFor(opened, request)
}

/**
 * Opens a checkpoint that is here before it returns; see {@link open}.
 *
 * @throws what {@link open} rejects with
 */
export function openSync(source: Source, options: OpenOptions = {}): Checkpoint {
  const request = new Request(options)
  if (remoteSources(source) !== undefined) refuseRemote(source, 'source')
  request.signal?.throwIfAborted()
  const opened = contentSync(checkSource(source), request)
  if (request.verify) {
    try {
      refuseDamagedSync(opened.units())
    } catch (error) {
      opened.close()
      throw error
    }
  }
  return checkpointFor(opened, request)
}

async function content(source: CheckedSource, request: Request): Promise<Content> {
  if (types.isUint8Array(source)) return request.openBytes(source)
  const found =
    typeof source !== 'string'
      ? planOfParts(source, request)
      : (planOfName(source, request) ??
        (await request.openFile(source).then(
          (file) => whole(file, request),
          (error) => planOfPath(source, request, error),
        )))
  if (!('build' in found)) return found
  const outcomes = await Promise.allSettled(found.files.map((path) => request.openFile(path)))
  const opened = outcomes.flatMap((outcome) => ('value' in outcome ? [outcome.value] : []))
  const failed = outcomes.find((outcome) => outcome.status === 'rejected')
  return build(found, opened, () => {
    if (failed !== undefined) throw failed.reason
  })
}

function contentSync(source: CheckedSource, request: Request): Content {
  if (types.isUint8Array(source)) return request.openBytes(source)
  const found =
    typeof source !== 'string'
      ? planOfParts(source, request)
      : (planOfName(source, request) ?? pathSync(source, request))
  if (!('build' in found)) return found
  const opened: FileContent[] = []
  return build(found, opened, () => {
    for (const path of found.files) opened.push(request.openFileSync(path))
  })
}

function pathSync(path: string, request: Request): FileContent | Plan {
  let file: FileContent
  try {
    file = request.openFileSync(path)
  } catch (error) {
    return planOfPath(path, request, error)
  }
  return whole(file, request)
}

/** A file that was opened: the checkpoint itself, or the first file of one. */
function whole(file: FileContent, request: Request): FileContent | Plan {
  return planOfFile(file, request) ?? file
}

/** The content that `plan` makes of the opened files; when that fails, nothing stays open. */
function build(plan: Plan, opened: FileContent[], finish: () => void): Content {
  try {
    finish()
    return plan.build(opened)
  } catch (error) {
    for (const file of opened) file.close()
    plan.abandon?.()
    throw error
  }
}

/** Nothing for a source that is here. */
function remoteSources(source: unknown): RemoteSource | readonly RemoteSource[] | undefined {
  if (types.isUint8Array(source)) return undefined
  if (!Array.isArray(source)) return remoteSource(source, 'source')
  const parts = source.map((part, i) => remoteSource(part, `source[${i}]`))
  if (parts.every((part) => part === undefined)) return undefined
  const here = parts.indexOf(undefined)
  if (here < 0) return parts as RemoteSource[]
  throw wrongValue(`source[${here}]`, 'a URL like the other parts', source[here])
}

async function remoteContent(
  source: RemoteSource | readonly RemoteSource[],
  request: Request,
): Promise<Content> {
  checkRemoteRequest(request)
  if (!('length' in source)) return openRemote(source, request)
  return openParts(source, request)
}

type CheckedSource = string | readonly string[] | Uint8Array

function checkSource(source: unknown): CheckedSource {
  if (types.isUint8Array(source)) return source
  if (!Array.isArray(source))
    return checkLocation(
      source,
      'source',
      'a path, a URL, bytes, a source of bytes or an array of parts',
    )
  if (source.length === 0) throw wrongValue('source', 'at least one part', source)
  return source.map((part, i) => checkLocation(part, `source[${i}]`, 'a path or a file: URL'))
}

function checkLocation(source: unknown, name: string, expected: string): string {
  if (typeof source === 'string') {
    if (source.includes('\0')) throw wrongValue(name, 'a path without null bytes', source)
    return source.startsWith('file:') ? fileURLToPath(source) : source
  }
  if (isUrl(source)) return fileURLToPath(source)
  throw wrongType(name, expected, source)
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
