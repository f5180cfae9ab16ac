/** Whether all tensors are there that belong together, or that somebody expects. */
import { readFileSync } from 'node:fs'
import { wrongValue } from '../arguments'
import type { DType } from '../dtype'
import { openSync } from '../open'
import type { Tensor } from '../tensor'
import { finding } from './finding'
import { nearestOf } from './names'
import type { Finding } from './result'

/** What a tensor should be, as far as known. */
export interface Expected {
  readonly shape?: readonly number[]
  readonly dtype?: DType
}

/** Tensors of reparametrised weights, by the ends of their names, that mean nothing alone. */
const PAIRS: readonly (readonly string[])[] = [
  ['weight_g', 'weight_v'],
  ['parametrizations.weight.original0', 'parametrizations.weight.original1'],
  ['weight_orig', 'weight_u', 'weight_v'],
  ['weight_orig', 'weight_mask'],
]

/** What is missing of normalisation layers and of reparametrised weights. */
export function gapsOf(names: Iterable<string>): Finding[] {
  const all = new Set(names)
  const found: Finding[] = []
  for (const name of all) {
    if (name.endsWith('running_mean')) found.push(...ofNorm(name.slice(0, -12), all))
    else if (name.endsWith('running_var')) {
      const mean = `${name.slice(0, -3)}mean`
      if (!all.has(mean)) found.push(missingOfNorm(name.slice(0, -11), mean))
    }
  }
  return [...found, ...pairsOf(all)]
}

/** @param prefix of the layer, with its dot */
function ofNorm(prefix: string, all: ReadonlySet<string>): Finding[] {
  const wanted = ['running_var', 'num_batches_tracked']
  // Layers without affine parameters have neither.
  if (all.has(`${prefix}weight`) !== all.has(`${prefix}bias`)) wanted.push('weight', 'bias')
  const missing = wanted.map((end) => `${prefix}${end}`).filter((name) => !all.has(name))
  return missing.map((name) => missingOfNorm(prefix, name))
}

function missingOfNorm(prefix: string, name: string): Finding {
  const layer = prefix === '' ? 'the layer' : `layer '${prefix.slice(0, -1)}'`
  const why = name.endsWith('num_batches_tracked') ? ', which torch before 0.4.1 did not have' : ''
  return finding('complete/norm', `${layer} has statistics but no '${name}'${why}`, {
    tensor: name,
  })
}

function pairsOf(all: ReadonlySet<string>): Finding[] {
  const found: Finding[] = []
  for (const name of all) {
    const sets = PAIRS.flatMap((ends) => {
      const end = ends.find((end) => name === end || name.endsWith(`.${end}`))
      return end === undefined ? [] : [{ prefix: name.slice(0, -end.length), ends }]
    })
    const others = sets.map(({ prefix, ends }) => ends.map((end) => `${prefix}${end}`))
    if (others.length === 0 || others.some((names) => names.every((other) => all.has(other))))
      continue
    const nearest = others.sort((a, b) => absent(a, all).length - absent(b, all).length)[0]!
    // The first one that is there speaks for all.
    if (nearest.find((other) => all.has(other)) !== name) continue
    const missing = absent(nearest, all).map((other) => `'${other}'`)
    const message = `weight '${name}' cannot be computed without ${missing.join(' and ')}`
    found.push(finding('complete/pair', message, { tensor: name }))
  }
  return found
}

function absent(names: readonly string[], all: ReadonlySet<string>): string[] {
  return names.filter((name) => !all.has(name))
}

/** What of `expected` is missing, other, or too much. */
export function compareExpected(
  tensors: ReadonlyMap<string, Tensor>,
  expected: ReadonlyMap<string, Expected>,
): Finding[] {
  const extra = [...tensors.keys()].filter((name) => !expected.has(name))
  const gone = [...expected.keys()].filter((name) => !tensors.has(name))
  const near = (name: string, names: readonly string[]) => {
    const found = nearestOf(name, names)
    return found === undefined ? '' : `; the nearest name that is left is '${found}'`
  }
  const missing = gone.map((name) => {
    return finding('complete/missing', `tensor '${name}' is not there${near(name, extra)}`, {
      tensor: name,
    })
  })
  const unexpected = extra.map((name) => {
    const message = `tensor '${name}' is not expected${near(name, gone)}`
    return finding('complete/unexpected', message, { tensor: name })
  })
  const other = [...expected].flatMap(([name, { shape, dtype }]) => {
    const tensor = tensors.get(name)
    if (tensor === undefined) return []
    const isShape = shape === undefined || shape.join() === tensor.shape.join()
    if (isShape && (dtype === undefined || dtype === tensor.dtype)) return []
    const was = `${tensor.dtype}[${tensor.shape.join(', ')}]`
    const wanted = `${dtype ?? tensor.dtype}[${(shape ?? tensor.shape).join(', ')}]`
    const message = `tensor '${name}' is ${was} where ${wanted} is expected`
    return [finding('complete/shape', message, { tensor: name })]
  })
  return [...missing, ...other, ...unexpected]
}

/**
 * What tensors a model should have: the state dict of another checkpoint, the names of an index, or
 * JSON: a list of names, or an object of shapes or of `{ shape, dtype }` by name.
 *
 * @throws a RangeError for JSON that is neither; what {@link openSync} throws
 */
export function readExpected(path: string): ReadonlyMap<string, Expected> {
  if (!path.endsWith('.json')) {
    const checkpoint = openSync(path)
    try {
      return new Map(
        Array.from(checkpoint.stateDict(), ([name, { shape, dtype }]) => [name, { shape, dtype }]),
      )
    } finally {
      checkpoint.close()
    }
  }
  const value: unknown = JSON.parse(readFileSync(path, 'utf8'))
  if (isList(value, 'string')) return new Map(value.map((name) => [name as string, {}]))
  if (typeof value !== 'object' || value === null || Array.isArray(value)) throw unknown(path)
  const { weight_map: weightMap } = value as { weight_map?: object }
  if (typeof weightMap === 'object' && weightMap !== null) {
    return new Map(Object.keys(weightMap).map((name) => [name, {}]))
  }
  return new Map(
    Object.entries(value).map(([name, entry]) => {
      if (isList(entry, 'number')) return [name, { shape: entry as number[] }]
      if (typeof entry !== 'object' || entry === null) throw unknown(path)
      const { shape, dtype } = entry as { shape?: unknown; dtype?: unknown }
      const isShape = shape === undefined || isList(shape, 'number')
      if (!isShape || (dtype !== undefined && typeof dtype !== 'string')) throw unknown(path)
      return [name, { ...(shape ? { shape } : {}), ...(dtype ? { dtype } : {}) } as Expected]
    }),
  )
}

function isList(value: unknown, type: 'string' | 'number'): value is unknown[] {
  return Array.isArray(value) && value.every((entry) => typeof entry === type)
}

function unknown(path: string): Error {
  return wrongValue('options.expect', 'a list of names, or an object of shapes by name', path)
}
