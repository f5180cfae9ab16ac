/** Which models there are below the paths that are given. */
import {
  closeSync,
  type Dirent,
  lstatSync,
  openSync,
  readdirSync,
  readFileSync,
  readSync,
  realpathSync,
  statSync,
} from 'node:fs'
import { join, relative, sep } from 'node:path'
import { INDEX, isWeights, SHARD } from '../parts/folder'

/** What counts as one: a file, or the files that make up one checkpoint. */
export interface Model {
  /** The file, the directory or the index; of shards without one, the first of them. */
  readonly path: string
  /** What {@link open} is given. */
  readonly source: string | readonly string[]
  /** All files, in order. */
  readonly files: readonly string[]
  /** Whether it is no checkpoint, but can hold pickles all the same. */
  readonly isOther?: boolean
  /** Why nothing is known of the files. */
  readonly error?: NodeJS.ErrnoException
}

export interface WalkOptions {
  /**
   * Patterns of paths below the given one that are left out, with `*`, `**` and `?`; one without a
   * slash is of names at any depth.
   */
  readonly ignore?: readonly string[]
}

/** Bytes that tell what a file is. */
const HEAD = 262

/** Files that only a directory has which is one checkpoint as a whole. */
const OF_WHOLE = /^(\.metadata|.*\.distcp|mp_rank_\d\d.*_model_states\.pt|.*zero_pp_rank_.*\.pt)$/
/** Arrays of objects are pickles; what is packed so can be anything, or what its name says. */
const OTHERS = /\.(npy|npz|7z|(pt|pth|ckpt|pkl|pickle|th|joblib|npy|npz)\.(gz|z|xz|lzma))$/i
const MODELS = /\.(safetensors|bin|pt|pth|ckpt|pkl|pickle|ptl|pt2|th|tar|model|weights|joblib)$/i

/** All models in the order of their paths. Links are followed only to what lies below `path`. */
export function* modelsOf(path: string, { ignore = [] }: WalkOptions = {}): Generator<Model> {
  const found = tryTo(path, () => statSync(path))
  if ('error' in found) {
    yield { path, source: path, files: [path], error: found.error }
    return
  }
  if (!found.value.isDirectory()) {
    yield fileModel(path)
    return
  }
  const patterns = ignore.map(patternOf)
  const isIgnored = (inner: string) => {
    const name = relative(path, inner).split(sep).join('/')
    return patterns.some((pattern) => pattern.test(name))
  }
  yield* below(path, new Set(), realpathSync(path), isIgnored)
}

function* below(
  folder: string,
  seen: Set<string>,
  root: string,
  isIgnored: (path: string) => boolean,
): Generator<Model> {
  const real = tryTo(folder, () => realpathSync(folder))
  const listed = tryTo(folder, () => readdirSync(folder, { withFileTypes: true }))
  if ('error' in real || 'error' in listed) {
    const { error } = ('error' in real ? real : listed) as { error: NodeJS.ErrnoException }
    yield { path: folder, source: folder, files: [folder], error }
    return
  }
  // A link can lead back to a directory that is walked already.
  if (seen.has(real.value)) return
  seen.add(real.value)
  const entries = listed.value
    .filter((entry) => !isIgnored(join(folder, entry.name)))
    .sort((a, b) => (a.name < b.name ? -1 : 1))
  const kinds = entries.map((entry) => [entry.name, kindOf(folder, entry, root)] as const)
  const files = kinds.flatMap(([name, kind]) => (kind === 'file' ? [name] : []))
  const folders = kinds.flatMap(([name, kind]) => (kind === 'folder' ? [name] : []))
  if (files.some((name) => OF_WHOLE.test(name)) || isOfSteps(files, folders)) {
    yield { path: folder, source: folder, files: [...allFiles(folder, new Set())] }
    return
  }
  yield* modelsIn(folder, files)
  for (const name of folders) yield* below(join(folder, name), seen, root, isIgnored)
}

/** DeepSpeed's directory of steps: `latest` names one of them. */
function isOfSteps(files: readonly string[], folders: readonly string[]): boolean {
  const isStep = (name: string) => /^(global_step\d+|.*_universal|iter_\d+)$/.test(name)
  return files.includes('latest') && folders.some(isStep) && !files.some(isWeights)
}

/** The models among the files of one directory. */
function* modelsIn(folder: string, files: readonly string[]): Generator<Model> {
  const left = new Set(files)
  for (const name of files.filter((name) => INDEX.test(name))) {
    const path = join(folder, name)
    const named = partsOf(path)
    const parts = files.filter((file) => named.has(file))
    for (const part of [name, ...parts]) left.delete(part)
    yield { path, source: path, files: [path, ...parts.map((part) => join(folder, part))] }
  }
  const shards = new Map<string, string[]>()
  for (const name of left) {
    const match = SHARD.exec(name)
    if (match === null) continue
    const [, stem, , count, variant = '', kind] = match
    const key = `${stem} ${count} ${variant} ${kind}`
    shards.set(key, [...(shards.get(key) ?? []), name])
  }
  for (const names of shards.values()) {
    if (names.length < 2) continue
    for (const name of names) left.delete(name)
    const parts = names.map((name) => join(folder, name))
    yield { path: parts[0]!, source: parts, files: parts }
  }
  for (const name of left) {
    const path = join(folder, name)
    // Darts writes the network beside its wrapper.
    if (name.endsWith('.ckpt') && left.has(name.slice(0, -5))) continue
    if (OTHERS.test(name)) {
      yield { ...fileModel(path), isOther: true }
      continue
    }
    if (!MODELS.test(name) && !looksLikeModel(path)) continue
    const pair = left.has(`${name}.ckpt`) ? [`${path}.ckpt`] : []
    yield { ...fileModel(path), files: [path, ...pair] }
  }
}

/** The files that an index names; none of what is no index. */
function partsOf(path: string): Set<unknown> {
  try {
    const { weight_map: map } = JSON.parse(readFileSync(path, 'utf8')) as { weight_map?: object }
    return new Set(Object.values(map ?? {}))
  } catch {
    // Opening it says what is wrong.
    return new Set()
  }
}

function fileModel(path: string): Model {
  return { path, source: path, files: [path] }
}

/** By its first bytes; text is not looked at, however it is called. */
function looksLikeModel(path: string): boolean {
  const head = Buffer.alloc(HEAD)
  let length: number
  try {
    const file = openSync(path, 'r')
    try {
      length = readSync(file, head, 0, HEAD, 0)
    } finally {
      closeSync(file)
    }
  } catch {
    return false
  }
  const isPickle = length > 2 && head[0] === 0x80 && head[1]! <= 5
  const isZip = head.readUInt32LE(0) === 0x04034b50
  const isTar = head.toString('latin1', 257, 262) === 'ustar'
  const isSafetensors = length > 10 && head.readBigUInt64LE(0) < 2n ** 27n && head[8] === 0x7b
  return isPickle || isZip || isTar || isSafetensors
}

/** What a name leads to; nothing for what is neither, or leads out of `root`. */
function kindOf(folder: string, entry: Dirent, root: string): 'file' | 'folder' | undefined {
  if (entry.isFile()) return 'file'
  if (entry.isDirectory()) return 'folder'
  if (!entry.isSymbolicLink()) return undefined
  const real = tryTo(folder, () => realpathSync(join(folder, entry.name)))
  if ('error' in real || !`${real.value}${sep}`.startsWith(`${root}${sep}`)) return undefined
  const status = lstatSync(real.value)
  return status.isDirectory() ? 'folder' : status.isFile() ? 'file' : undefined
}

/** Everything below a directory, links apart. */
function* allFiles(folder: string, seen: Set<string>): Generator<string> {
  if (seen.has(folder)) return
  seen.add(folder)
  const entries = readdirSync(folder, { withFileTypes: true })
  for (const entry of entries.sort((a, b) => (a.name < b.name ? -1 : 1))) {
    const path = join(folder, entry.name)
    if (entry.isFile()) yield path
    else if (entry.isDirectory()) yield* allFiles(path, seen)
  }
}

/** @throws what is no error of the system */
function tryTo<T>(path: string, work: () => T): { value: T } | { error: NodeJS.ErrnoException } {
  try {
    return { value: work() }
  } catch (error) {
    if ((error as NodeJS.ErrnoException).syscall === undefined) throw error
    return { error: Object.assign(error as NodeJS.ErrnoException, { path }) }
  }
}

function patternOf(pattern: string): RegExp {
  const isName = !pattern.includes('/')
  const text = pattern
    .replace(/^\.?\//, '')
    .replace(/\/$/, '')
    .split(/(\*\*\/?|\*|\?)/)
    .map((part) => {
      if (part === '**/') return '(?:.*/)?'
      if (part === '**') return '.*'
      if (part === '*') return '[^/]*'
      if (part === '?') return '[^/]'
      return part.replace(/[.+^${}()|[\]\\]/g, '\\$&')
    })
    .join('')
  return new RegExp(`^${isName ? '(?:.*/)?' : ''}${text}$`)
}
