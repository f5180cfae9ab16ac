/** A checkpoint of several files that are elsewhere: all of them are opened at once. */
import type { NativeIndex } from '../binding'
import { stringAt } from '../catalog'
import type { Content } from '../content'
import { FormatError, isCheckpointError, StateError } from '../errors'
import type { FileContent } from '../file-content'
import { isInside } from '../parts/index-file'
import { PartFile } from '../parts/part-file'
import { JoinedSplit } from '../parts/split'
import type { Request } from '../request'
import type { RemoteObject } from './object'
import type { RemoteSource } from './source'

/** Files that are opened at a time; each makes two requests or three. */
const OPENED_AT_A_TIME = 8

/** Bytes of the longest index there is. */
const LONGEST_INDEX = 2 ** 28

/** One file, or the index of several. */
export async function openRemote(source: RemoteSource, request: Request): Promise<Content> {
  const object = await request.reach(source)
  const isNamedIndex = 'url' in source && source.url.pathname.endsWith('.json')
  const index = isNamedIndex ? await indexOf(object, request) : undefined
  if (index === undefined) return request.openObject(object)
  return openIndexed(index, (source as { url: URL }).url, object.path, request)
}

async function indexOf(object: RemoteObject, request: Request): Promise<NativeIndex | undefined> {
  const { byteLength, head, path } = object
  if (byteLength > LONGEST_INDEX) return undefined
  const chunks = [head]
  if (head.length < byteLength)
    await object.read(head.length, byteLength, (_, bytes) => chunks.push(bytes), request.signal)
  return request.readIndex(Buffer.concat(chunks), path)
}

/** Parts given one by one. */
export async function openParts(
  sources: readonly RemoteSource[],
  request: Request,
): Promise<JoinedSplit> {
  const opened = await openAll(sources, request)
  const parts = opened.map((content, i) => {
    return new PartFile(content.path ?? `part ${i + 1}`, request, content)
  })
  return build(opened, () => new JoinedSplit(undefined, parts, false))
}

/**
 * The parts of an index, which are beside it; with its query, for stores that sign whole folders.
 *
 * @throws {@link FormatError} `BAD_INDEX` for a part that is elsewhere
 */
async function openIndexed(
  index: NativeIndex,
  url: URL,
  path: string | undefined,
  request: Request,
): Promise<JoinedSplit> {
  const sources = index.files.map((file) => {
    if (!isInside(file)) {
      const message = `the index is wrong: it names '${file}', which is outside its directory`
      throw new FormatError('BAD_INDEX', message, { path })
    }
    const part = new URL(file.split(/[/\\]/).map(encodeURIComponent).join('/'), url)
    part.search = url.search
    return { url: part }
  })
  const opened = await openAll(sources, request)
  const parts = opened.map((content) => new PartFile(content.path!, request, content))
  return build(opened, () => {
    const listed = new Map<string, PartFile>()
    for (const [i, part] of index.parts.entries())
      listed.set(stringAt(index.names, i), parts[part]!)
    return new JoinedSplit(path, parts, false, listed)
  })
}

/** In order; when one fails, none stays open. */
async function openAll(sources: readonly RemoteSource[], request: Request): Promise<FileContent[]> {
  const opened: (FileContent | undefined)[] = sources.map(() => undefined)
  const failures: unknown[] = []
  let next = 0
  const work = async () => {
    while (next < sources.length && failures.length === 0) {
      const i = next++
      try {
        opened[i] = await request.openRemote(sources[i]!)
      } catch (error) {
        failures.push(error)
      }
    }
  }
  await Promise.all(Array.from({ length: OPENED_AT_A_TIME }, work))
  if (failures.length === 0) return opened as FileContent[]
  for (const content of opened) content?.close()
  throw asPart(failures[0])
}

function build<T>(opened: readonly FileContent[], make: () => T): T {
  try {
    return make()
  } catch (error) {
    for (const content of opened) content.close()
    throw error
  }
}

/** That a part is not there is said as of files. */
function asPart(error: unknown): unknown {
  if (!isCheckpointError(error, 'REMOTE_REFUSED')) return error
  if (error.status !== 404 && error.status !== 410) return error
  const message = `a part of the checkpoint is missing: '${error.path}'`
  return new StateError('MISSING_SHARD', message, { path: error.path, cause: error })
}
