/** Which checkpoint a directory is. */
import { join } from 'node:path'
import { FormatError, StateError } from '../errors'
import type { Request } from '../request'
import { planOfDcp } from './dcp/plan'
import { planOfDeepSpeed } from './deepspeed/plan'
import { type Folder, INDEX, isWeights, readFolder, SHARD } from './folder'
import { planOfIndex } from './index-file'
import { joinedPlan } from './joined'
import type { Plan } from './plan'

type Recogniser = (folder: Folder, request: Request) => Plan | undefined

/** The first one that knows the directory reads it. */
const RECOGNISERS: readonly Recogniser[] = [
  planOfDcp,
  planOfIndexIn,
  planOfShards,
  planOfKnown,
  planOfDeepSpeed,
  planOfSingle,
]

/**
 * @throws {@link FormatError} `NOT_A_CHECKPOINT` for a directory that is none
 * @throws {@link StateError} `MISSING_SHARD`
 */
export function planOfDirectory(path: string, request: Request): Plan {
  const folder = readFolder(path)
  for (const recognise of RECOGNISERS) {
    const plan = recognise(folder, request)
    if (plan !== undefined) return plan
  }
  const names = [...folder.files, ...[...folder.folders].map((name) => `${name}/`)]
  const shown = names.slice(0, 5).map((name) => `'${name}'`)
  const more = names.length > shown.length ? ` and ${names.length - shown.length} more` : ''
  const what = names.length === 0 ? 'is empty' : `holds ${shown.join(', ')}${more}`
  const message = `the directory is no checkpoint that is known here: it ${what}`
  throw new FormatError('NOT_A_CHECKPOINT', message, { path })
}

/**
 * The names that Hugging Face's libraries look for, best first; a variant such as `fp16` stands
 * before the extension, in an index before `.json` or `.index`.
 * Source: transformers/utils/__init__.py (SAFE_WEIGHTS_NAME ...); diffusers/utils/constants.py.
 */
const STEMS = ['model', 'diffusion_pytorch_model', 'pytorch_model', 'adapter_model'] as const
const KINDS = ['safetensors', 'bin'] as const

/** The index of a directory: the one without a variant, else the only one there is. */
function planOfIndexIn({ path, files }: Folder, request: Request): Plan | undefined {
  // A file of the whole model goes before an index of its parts.
  const indexes = [...files].filter((name) => INDEX.test(name))
  const preferred = KINDS.flatMap((kind) =>
    STEMS.flatMap((stem) => [`${stem}.${kind}`, `${stem}.${kind}.index.json`]),
  ).find((name) => files.has(name))
  if (preferred !== undefined && !preferred.endsWith('.json')) return undefined
  if (preferred !== undefined) return planOfIndex(join(path, preferred), request)
  if (indexes.length > 1) {
    const shown = indexes.map((name) => `'${name}'`).join(', ')
    throw new FormatError('BAD_INDEX', `the directory has several indexes: ${shown}`, { path })
  }
  const [only] = indexes
  return only === undefined ? undefined : planOfIndex(join(path, only), request)
}

/** Shards that count themselves, without an index. */
function planOfShards({ path, files }: Folder, request: Request): Plan | undefined {
  const groups = new Map<string, { count: number; numbers: Map<number, string> }>()
  for (const file of files) {
    const match = SHARD.exec(file)
    if (match === null) continue
    const [, stem, number, count, variant = '', kind] = match
    const key = `${kind} ${stem} ${variant} ${count}`
    const group = groups.get(key) ?? { count: Number(count), numbers: new Map() }
    group.numbers.set(Number(number), file)
    groups.set(key, group)
  }
  if (groups.size !== 1) return undefined
  const [{ count, numbers }] = groups.values() as unknown as [
    { count: number; numbers: Map<number, string> },
  ]
  const base = numbers.has(0) ? 0 : 1
  for (let i = base; i < count + base; ++i) {
    if (numbers.has(i)) continue
    const example = [...numbers.values()][0]
    const message = `shard ${i} of ${count} is missing beside '${example}'`
    throw new StateError('MISSING_SHARD', message, { path })
  }
  const sorted = [...numbers].sort(([a], [b]) => a - b).map(([, file]) => join(path, file))
  return joinedPlan(sorted, request, path)
}

/** A directory with a file of weights that is called as libraries call it. */
function planOfKnown({ path, files }: Folder): Plan | undefined {
  const known = KINDS.flatMap((kind) => STEMS.map((stem) => `${stem}.${kind}`))
  const file = known.find((name) => files.has(name))
  return file === undefined ? undefined : planOfOne(join(path, file))
}

/** A directory with one file of weights. */
function planOfSingle({ path, files }: Folder): Plan | undefined {
  const [file, ...others] = [...files].filter(isWeights)
  return file === undefined || others.length > 0 ? undefined : planOfOne(join(path, file))
}

function planOfOne(file: string): Plan {
  return { files: [file], build: ([content]) => content! }
}
