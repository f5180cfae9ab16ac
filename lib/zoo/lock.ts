/**
 * The lock file: what models were when they were recorded, to be compared with what they are.
 *
 *     { "version": 1,
 *       "models": {
 *         "path/of/model.pth": {
 *           "bytes": 123,
 *           "files": { "path/of/model.pth": "<SHA-256>" },
 *           "digest": "<of all tensors>",
 *           "tensors": { "name": "<digest>" } } } }
 *
 * Paths are relative to the folder of the lock file, with strokes. What stands in it is sorted, a
 * file and a tensor on a line each, so that a change of one shows as a change of one line.
 * `digest` and `tensors` are there where tensors were looked at (lib/zoo/digest.ts says how).
 */
import { readFile, writeFile } from 'node:fs/promises'
import { dirname, relative, resolve, sep } from 'node:path'
import { FormatError } from '../errors'
import { digestOfAll } from './digest'
import { finding } from './finding'
import type { Finding, Result } from './result'

const VERSION = 1

/** Tensors that have a finding of their own; the others of a model have one in common. */
const MOST_FINDINGS = 20

/** What a model was. */
export interface LockedModel {
  /** Bytes of all files. */
  readonly bytes: number
  /** SHA-256 of each file, by path. */
  readonly files: ReadonlyMap<string, string>
  /** By name; nothing where tensors were not looked at. */
  readonly tensors?: ReadonlyMap<string, string>
}

export interface Lock {
  /** The folder that paths are relative to. */
  readonly folder: string
  /** By path, relative to {@link folder}, with strokes. */
  readonly models: ReadonlyMap<string, LockedModel>
}

/** What a lock says, or is to say, of a result. */
type Recorded = Pick<Result, 'path' | 'bytes' | 'files' | 'details'>

/**
 * The lock of models, with what their results have: `files` and the digests of `details`.
 *
 * @param folder the one that the lock file is to stand in
 */
export function lockOf(results: Iterable<Recorded>, folder: string): Lock {
  const models = new Map<string, LockedModel>()
  for (const result of results) models.set(pathIn(folder, result.path), modelOf(result, folder))
  return { folder, models }
}

function modelOf({ bytes, files = {}, details }: Recorded, folder: string): LockedModel {
  const own = Object.entries(files).map(([path, digest]) => [pathIn(folder, path), digest] as const)
  const digests = details?.flatMap(({ name, digest }) =>
    digest === undefined ? [] : [[name, digest] as const],
  )
  const base = { bytes, files: new Map(own) }
  // Digests that were not asked for are not the same as a model without tensors.
  const isKnown = details !== undefined && (digests!.length > 0 || details.length === 0)
  return isKnown ? { ...base, tensors: new Map(digests) } : base
}

/** A path as a lock has it. */
function pathIn(folder: string, path: string): string {
  const inside = relative(resolve(folder), resolve(path))
  return sep === '/' ? inside : inside.split(sep).join('/')
}

/** The lock as text: the same for the same models. */
export function lockText({ models }: Lock): string {
  const blocks = sorted(models).map(([path, { bytes, files, tensors }]) => {
    const lines = [`      "bytes": ${bytes}`, `      "files": ${linesOf(files)}`]
    if (tensors !== undefined) {
      lines.push(
        `      "digest": "${digestOfAll(tensors)}"`,
        `      "tensors": ${linesOf(tensors)}`,
      )
    }
    return `    ${JSON.stringify(path)}: {\n${lines.join(',\n')}\n    }`
  })
  const all = blocks.length === 0 ? '{}' : `{\n${blocks.join(',\n')}\n  }`
  return `{\n  "version": ${VERSION},\n  "models": ${all}\n}\n`
}

function linesOf(digests: ReadonlyMap<string, string>): string {
  if (digests.size === 0) return '{}'
  const lines = sorted(digests).map(([name, digest]) => {
    return `        ${JSON.stringify(name)}: ${JSON.stringify(digest)}`
  })
  return `{\n${lines.join(',\n')}\n      }`
}

/** By UTF-16 units, which no locale changes. */
function sorted<T>(map: ReadonlyMap<string, T>): [string, T][] {
  return [...map].sort(([a], [b]) => (a < b ? -1 : a > b ? 1 : 0))
}

export async function writeLock(path: string, lock: Lock): Promise<void> {
  await writeFile(path, lockText(lock))
}

/**
 * @throws {@link FormatError} `BAD_INDEX` for what is no lock file
 * @throws what the system refuses, in Node's shape
 */
export async function readLock(path: string): Promise<Lock> {
  return parseLock(await readFile(path, 'utf8'), path)
}

/**
 * @param path of the lock file, whose folder paths are relative to
 * @throws {@link FormatError} `BAD_INDEX`
 */
export function parseLock(text: string, path: string): Lock {
  const refuse = (message: string, cause?: unknown) =>
    new FormatError('BAD_INDEX', `the lock file ${message}`, { path, cause })
  let content: unknown
  try {
    content = JSON.parse(text)
  } catch (error) {
    throw refuse(`is no JSON: ${(error as Error).message}`, error)
  }
  const objectOf = (value: unknown, what: string): [string, unknown][] => {
    if (typeof value === 'object' && value !== null && !Array.isArray(value)) {
      return Object.entries(value)
    }
    throw refuse(`has no object for ${what}`)
  }
  const digestsOf = (value: unknown, what: string): Map<string, string> => {
    const entries = objectOf(value, what)
    for (const [name, digest] of entries) {
      if (typeof digest !== 'string' || !/^[0-9a-f]{64}$/.test(digest)) {
        throw refuse(`has no SHA-256 for '${name}' in ${what}`)
      }
    }
    return new Map(entries as [string, string][])
  }
  const fields = new Map(objectOf(content, 'its content'))
  const version = fields.get('version')
  if (version !== VERSION) {
    throw refuse(`has the version ${JSON.stringify(version)}, which is not ${VERSION}`)
  }
  const models = objectOf(fields.get('models'), 'models').map(([name, value]) => {
    const model = new Map(objectOf(value, `'${name}'`))
    const bytes = model.get('bytes')
    if (!Number.isSafeInteger(bytes) || (bytes as number) < 0) {
      throw refuse(`has no number of bytes for '${name}'`)
    }
    const files = digestsOf(model.get('files'), `files of '${name}'`)
    const base = { bytes: bytes as number, files }
    if (!model.has('tensors')) return [name, base] as const
    const tensors = digestsOf(model.get('tensors'), `tensors of '${name}'`)
    if (model.get('digest') !== digestOfAll(tensors)) {
      throw refuse(`has tensors of '${name}' that its digest is not of`)
    }
    return [name, { ...base, tensors }] as const
  })
  return { folder: dirname(path), models: new Map(models) }
}

/** What about a model is not as it was recorded. */
export function checkLock(lock: Lock, result: Recorded): Finding[] {
  const path = pathIn(lock.folder, result.path)
  const recorded = lock.models.get(path)
  const now = modelOf(result, lock.folder)
  if (recorded === undefined) return [newModel(lock, path, now)]
  const tensors = tensorFindings(recorded.tensors, now.tensors)
  return [...fileFindings(path, recorded, now, tensors.length), ...tensors]
}

function newModel({ models }: Lock, path: string, now: LockedModel): Finding {
  const digests = digestsText(now)
  const twin =
    digests !== '' && sorted(models).find(([, recorded]) => digestsText(recorded) === digests)
  if (!twin) return finding('recorded/new', `'${path}' is not in the lock file.`)
  const [other, { tensors }] = twin
  const isSame = digestOfAll(tensors!) === digestOfAll(now.tensors!)
  const names = isSame ? '' : ', under other names'
  const message = `'${path}' is not in the lock file; its ${tensorsText(now.tensors!.size)} those recorded for '${other}'${names}.`
  return finding('recorded/new', message)
}

/** The digests of all tensors, whatever they are called; empty where there are none. */
function digestsText({ tensors }: LockedModel): string {
  return tensors === undefined ? '' : [...tensors.values()].sort().join()
}

/** @param differing findings about tensors */
function fileFindings(
  path: string,
  recorded: LockedModel,
  now: LockedModel,
  differing: number,
): Finding[] {
  if (now.files.size === 0) return []
  const areCompared = recorded.tensors !== undefined && now.tensors !== undefined
  const outcome = !areCompared
    ? 'tensors were not compared'
    : differing > 0
      ? 'so are tensors'
      : `all ${tensorsText(recorded.tensors.size)} the recorded ones`
  const found: Finding[] = []
  for (const [file, digest] of sorted(recorded.files)) {
    const place = file === path ? {} : { path: file }
    const actual = now.files.get(file)
    if (actual === undefined) {
      const message = `'${file}' was recorded as a part of '${path}', and is none now; ${outcome}.`
      found.push(finding('recorded/file', message, place))
    } else if (actual !== digest) {
      const message = `'${file}' has SHA-256 ${short(actual)}, recorded is ${short(digest)}; ${outcome}.`
      found.push(finding('recorded/file', message, place))
    }
  }
  for (const [file] of sorted(now.files)) {
    if (recorded.files.has(file)) continue
    const message = `'${file}' is a part of '${path}' now, and was none when that was recorded; ${outcome}.`
    found.push(finding('recorded/file', message, { path: file }))
  }
  return found
}

function tensorFindings(
  recorded: ReadonlyMap<string, string> | undefined,
  now: ReadonlyMap<string, string> | undefined,
): Finding[] {
  if (recorded === undefined || now === undefined) return []
  const added = sorted(now).filter(([name]) => !recorded.has(name))
  const namesOf = new Map<string, string[]>()
  for (const [name, digest] of added) namesOf.set(digest, [...(namesOf.get(digest) ?? []), name])
  const found: [string, string][] = []
  const renamed = new Set<string>()
  for (const [name, digest] of sorted(recorded)) {
    const actual = now.get(name)
    if (actual === digest) continue
    if (actual !== undefined) {
      const message = `'${name}' has the digest ${short(actual)}, recorded is ${short(digest)}.`
      found.push([name, message])
      continue
    }
    const other = namesOf.get(digest)?.shift()
    if (other !== undefined) renamed.add(other)
    const what =
      other === undefined ? 'is not there any more' : `is called '${other}' now, and the same`
    found.push([name, `'${name}' was recorded and ${what}.`])
  }
  for (const [name] of added) {
    if (!renamed.has(name)) found.push([name, `'${name}' was not there when this was recorded.`])
  }
  const findings = found
    .slice(0, MOST_FINDINGS)
    .map(([tensor, message]) => finding('recorded/tensor', message, { tensor }))
  const rest = found.length - findings.length
  if (rest > 0) {
    const message = `${rest.toLocaleString('en-US')} more tensors are not the recorded ones.`
    findings.push(finding('recorded/tensor', message))
  }
  return findings
}

/** The models that were recorded and have no result; the path of each is relative to the folder. */
export function absentModels(lock: Lock, results: Iterable<Pick<Result, 'path'>>): Finding[] {
  const seen = new Set(Array.from(results, ({ path }) => pathIn(lock.folder, path)))
  return sorted(lock.models)
    .filter(([path]) => !seen.has(path))
    .map(([path]) =>
      finding('recorded/absent', `'${path}' was recorded and is not there.`, { path }),
    )
}

const short = (digest: string) => `${digest.slice(0, 12)}...`

function tensorsText(count: number): string {
  return count === 1 ? '1 tensor is' : `${count.toLocaleString('en-US')} tensors are`
}
