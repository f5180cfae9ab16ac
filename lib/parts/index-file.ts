/**
 * The index of a split checkpoint: `{"metadata": {...}, "weight_map": {tensor: file}}`.
 * Source: huggingface_hub/serialization/_base.py; transformers/modeling_utils.py.
 */
import { readFileSync, statSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { FormatError, LimitError } from '../errors'
import type { Request } from '../request'
import { checkParts } from './joined'
import { PartFile } from './part-file'
import type { Plan } from './plan'
import { IndexedSplit, JoinedSplit } from './split'

/**
 * The plan for an index; nothing for other JSON.
 *
 * @throws {@link FormatError} `BAD_INDEX` when it is malformed or names a file outside its directory
 * @throws {@link StateError} `MISSING_SHARD`
 */
export function planOfIndex(path: string, request: Request): Plan | undefined {
  const weightMap = weightMapOf(path, request)
  if (weightMap === undefined) return undefined
  const folder = dirname(path)
  const parts = new Map<string, PartFile>()
  const listed = new Map<string, PartFile>()
  for (const [name, file] of Object.entries(weightMap)) {
    if (typeof file !== 'string') throw bad(path, `tensor '${name}' has no file name`)
    let part = parts.get(file)
    if (part === undefined) {
      if (!isInside(file)) {
        throw bad(
          path,
          `tensor '${name}' is said to be in '${file}', outside the index's directory`,
        )
      }
      part = new PartFile(join(folder, file), request)
      parts.set(file, part)
    }
    listed.set(name, part)
  }
  if (request.parts !== 'lazy') checkParts(parts.values())
  if (request.parts !== 'open') {
    return {
      files: [],
      build: () => new IndexedSplit(path, [...parts.values()], listed, request.mmap),
    }
  }
  const files = [...parts.values()].map((part) => part.path)
  return {
    files,
    build: (opened) => {
      const open = [...parts.values()].map(
        (part, i) => [part, new PartFile(part.path, request, opened[i])] as const,
      )
      const opens = new Map(open)
      return new JoinedSplit(
        path,
        open.map(([, part]) => part),
        request.mmap,
        new Map([...listed].map(([name, part]) => [name, opens.get(part)!])),
      )
    },
  }
}

function weightMapOf(path: string, request: Request): Record<string, unknown> | undefined {
  const { size } = statSync(path)
  const limit = request.limits.nameBytes
  if (size > limit) {
    const message = `the JSON text has ${size} bytes where limits.nameBytes allows ${limit}`
    throw new LimitError(
      'LIMIT_NAMES',
      message,
      { path },
      { limitName: 'nameBytes', limit, actual: size },
    )
  }
  const text = readFileSync(path, 'utf8')
  let index: unknown
  try {
    index = JSON.parse(text)
  } catch (error) {
    if (!text.includes('"weight_map"')) return undefined
    const { message } = error as Error
    throw new FormatError('BAD_INDEX', `the JSON text is malformed: ${message}`, {
      path,
      cause: error,
    })
  }
  if (!isRecord(index) || !('weight_map' in index)) return undefined
  if (!isRecord(index.weight_map)) throw bad(path, 'weight_map is no object')
  return index.weight_map
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

/** Whether a file name stays below the directory it is relative to, on any system. */
export function isInside(file: string): boolean {
  const levels = file.split(/[/\\]/)
  const isAbsolute = levels[0] === '' || /^[a-z]:/i.test(file)
  return !isAbsolute && !levels.includes('..') && !file.includes('\0')
}

function bad(path: string, message: string): FormatError {
  return new FormatError('BAD_INDEX', `the index is wrong: ${message}`, { path })
}
