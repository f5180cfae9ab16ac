/** The index of a split checkpoint: which tensor is in which part. */
import { dirname, join } from 'node:path'
import { stringAt } from '../catalog'
import { FormatError } from '../errors'
import type { Request } from '../request'
import { checkParts } from './joined'
import { PartFile } from './part-file'
import type { Plan } from './plan'
import { IndexedSplit, JoinedSplit } from './split'

/**
 * The plan for an index; nothing for another file.
 *
 * @throws {@link FormatError} `BAD_INDEX` when it is malformed or names a file outside its directory
 * @throws {@link LimitError} `LIMIT_NAMES`
 * @throws {@link StateError} `MISSING_SHARD`
 */
export function planOfIndex(path: string, request: Request): Plan | undefined {
  const index = request.readIndex(path)
  if (index === undefined) return undefined
  const folder = dirname(path)
  const paths = index.files.map((file) => {
    if (isInside(file)) return join(folder, file)
    const message = `the index is wrong: it names '${file}', which is outside its directory`
    throw new FormatError('BAD_INDEX', message, { path })
  })
  const listed = (parts: readonly PartFile[]) => () => {
    const places = new Map<string, PartFile>()
    for (const [i, part] of index.parts.entries()) {
      places.set(stringAt(index.names, i), parts[part]!)
    }
    return places
  }
  const closed = paths.map((part) => new PartFile(part, request))
  if (request.parts !== 'lazy') checkParts(closed)
  if (request.parts !== 'open') {
    return {
      files: [],
      build: () => new IndexedSplit(path, closed, listed(closed), request.mayMap),
    }
  }
  return {
    files: paths,
    build: (opened) => {
      const open = paths.map((part, i) => new PartFile(part, request, opened[i]))
      return new JoinedSplit(path, open, request.mayMap, listed(open)())
    },
  }
}

/** Whether a name is of something below the directory it is relative to, on any system. */
export function isInside(file: string): boolean {
  const levels = file.split(/[/\\]/)
  const isAbsolute = levels[0] === '' || /^[a-z]:/i.test(file)
  // The directory itself is none of its files.
  const isItself = levels.every((level) => level === '.' || level === '')
  return !isAbsolute && !isItself && !levels.includes('..') && !file.includes('\0')
}
