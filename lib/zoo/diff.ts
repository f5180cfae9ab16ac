/** Two checkpoints side by side: which tensors each has, and how far their values are apart. */
import { checkOptions, wrongType, wrongValue } from '../arguments'
import { binding } from '../binding'
import type { Checkpoint } from '../checkpoint'
import type { DType } from '../dtype'
import { isLoss } from '../errors'
import { rowOf, type Tensor } from '../tensor'
import { checkWatchOptions, type Progress, type WatchOptions } from '../watch'
import { digestOf } from './digest'
import { isRagged, look, numbersOf } from './elements'
import { nearestOf } from './names'

/** How far the comparison has come: bytes of the tensors of both; `name` is one of them. */
export type DiffProgress = Progress<'diff'>

export interface DiffOptions extends WatchOptions<'diff'> {
  /**
   * Which tensors: the weights, by the names of {@link Checkpoint.stateDict}, which is the default,
   * or all of {@link Checkpoint.tensors}.
   */
  of?: 'stateDict' | 'tensors' | undefined
  /** Finite elements that are no further apart are the same; 0 by default. */
  tolerance?: number | undefined
}

/** A tensor that only one of the two has. */
export interface LoneTensor {
  readonly name: string
  readonly dtype: DType
  readonly shape: readonly number[]
  /**
   * What it may be called in the other one, of what only that has: one with the same dtype, shape
   * and elements, else a near name of the same dtype and shape.
   */
  readonly perhaps?: { readonly name: string; readonly isSame: boolean }
}

/** The values of a tensor that both have. */
export interface ValueDifference {
  /** Elements that are not the same, those of complex numbers part by part. */
  readonly differing: number
  /** Of these, such that one of the two is infinite or NaN. */
  readonly notFinite: number
  /** The largest |a - b| of elements that are both finite. */
  readonly absolute: number
  /** The largest |a - b| / max(|a|, |b|) of such. */
  readonly relative: number
}

export interface TensorDifference {
  readonly name: string
  /** Whether dtype, shape and values are. */
  readonly isSame: boolean
  readonly dtypes: readonly [DType, DType]
  readonly shapes: readonly [readonly number[], readonly number[]]
  /** Nothing where the shapes differ, and for what has no numbers to compare: see {@link why}. */
  readonly values?: ValueDifference
  /** Why values were not compared one by one. */
  readonly why?: string
}

export interface CheckpointDifference {
  readonly isSame: boolean
  /** By name, in the order of the first checkpoint. */
  readonly tensors: readonly TensorDifference[]
  readonly onlyA: readonly LoneTensor[]
  readonly onlyB: readonly LoneTensor[]
}

/**
 * Compares two checkpoints, tensor by tensor, aligned by name. Elements are compared natively and
 * in pieces: nothing of a tensor that lies in a file as it is, is copied whole. NaN is the same as
 * NaN, and 0 as -0. Where the dtypes differ, the tensors do, and elements are compared as float64;
 * 64-bit integers of one dtype exactly. Quantised elements are what they stand for.
 *
 * @throws {@link StateError} `CLOSED`, `FILE_CHANGED`
 */
export async function diffCheckpoints(
  a: Checkpoint,
  b: Checkpoint,
  options: DiffOptions = {},
): Promise<CheckpointDifference> {
  const { of = 'stateDict', tolerance = 0, signal, onProgress } = checkDiffOptions(options)
  signal?.throwIfAborted()
  const tensorsOf = (checkpoint: Checkpoint) =>
    of === 'tensors' ? checkpoint.tensors : checkpoint.stateDict()
  const [left, right] = [tensorsOf(a), tensorsOf(b)]
  const common = [...left].flatMap(([name, tensor]) => {
    const other = right.get(name)
    return other === undefined ? [] : [{ name, pair: [tensor, other] as const }]
  })
  const bytesOf = ([x, y]: readonly [Tensor, Tensor]) => x.byteLength + y.byteLength
  const total = common.reduce((sum, { pair }) => sum + bytesOf(pair), 0)
  let loaded = 0
  const tensors: TensorDifference[] = []
  for (const { name, pair } of common) {
    tensors.push(await compared(name, pair, tolerance, signal))
    loaded += bytesOf(pair)
    onProgress?.({ phase: 'diff', loaded, total, name })
  }
  const lone = (all: ReadonlyMap<string, Tensor>, others: ReadonlyMap<string, Tensor>) =>
    [...all].filter(([name]) => !others.has(name))
  const [onlyA, onlyB] = await matched(lone(left, right), lone(right, left), signal)
  const isSame = onlyA.length + onlyB.length === 0 && tensors.every((one) => one.isSame)
  return { isSame, tensors, onlyA, onlyB }
}

export function checkDiffOptions(options: DiffOptions): DiffOptions {
  checkOptions('options', options as unknown, ['of', 'tolerance', 'signal', 'onProgress'])
  checkWatchOptions(options, ['of', 'tolerance'])
  const { of, tolerance } = options
  if (of !== undefined && of !== 'stateDict' && of !== 'tensors') {
    throw wrongValue('options.of', "'stateDict' or 'tensors'", of)
  }
  if (tolerance !== undefined && typeof tolerance !== 'number') {
    throw wrongType('options.tolerance', 'a number', tolerance)
  }
  if (tolerance !== undefined && !(tolerance >= 0)) {
    throw wrongValue('options.tolerance', 'a number that is not negative', tolerance)
  }
  return options
}

async function compared(
  name: string,
  [a, b]: readonly [Tensor, Tensor],
  tolerance: number,
  signal: AbortSignal | undefined,
): Promise<TensorDifference> {
  const base = {
    name,
    dtypes: [a.dtype, b.dtype] as const,
    shapes: [a.shape, b.shape] as const,
  }
  if (a.shape.join() !== b.shape.join()) return { ...base, isSame: false }
  try {
    if (!hasNumbers(a) || !hasNumbers(b)) return { ...base, ...(await byDigest(a, b, signal)) }
    const values = await valuesOf(a, b, tolerance, signal)
    return { ...base, isSame: a.dtype === b.dtype && values.differing === 0, values }
  } catch (error) {
    const { code } = error as { code?: string }
    if (!isLoss(error) || code === 'CLOSED' || code === 'FILE_CHANGED') throw error
    return { ...base, isSame: false, why: error.message }
  }
}

/** Whether there is a number at every place of the shape. */
function hasNumbers(tensor: Tensor): boolean {
  const { session, row } = rowOf(tensor)
  const isPlain = tensor.layout === 'strided' && !isRagged(tensor) && tensor.local === undefined
  return isPlain && !tensor.isMeta && session.catalog.dtype(row).kind !== 'Bits'
}

async function byDigest(a: Tensor, b: Tensor, signal: AbortSignal | undefined) {
  const isSame = (await digestOf(a, { signal })) === (await digestOf(b, { signal }))
  const what = a.isMeta ? 'meta' : a.layout === 'strided' ? a.dtype : a.layout
  return { isSame, why: `${what}: compared by digest` }
}

async function valuesOf(
  a: Tensor,
  b: Tensor,
  tolerance: number,
  signal: AbortSignal | undefined,
): Promise<ValueDifference> {
  const x = await numbersOf(a, signal)
  try {
    const y = await numbersOf(b, signal)
    try {
      // A complex tensor and a real one: every part is one more than the other has.
      if (x.count !== y.count) {
        const most = Math.max(x.count, y.count)
        return { differing: most, notFinite: 0, absolute: 0, relative: 0 }
      }
      const { differing, notFinite, absolute, relative } = await look([x, y], signal, (control) =>
        control === undefined
          ? binding.compare(x.elements, y.elements, x.count, tolerance)
          : binding.compare(x.elements, y.elements, x.count, tolerance, control),
      )
      return { differing, notFinite, absolute, relative }
    } finally {
      y.release()
    }
  } finally {
    x.release()
  }
}

type Named = readonly (readonly [string, Tensor])[]

/** What each has alone, with what it may be called in the other. */
async function matched(a: Named, b: Named, signal: AbortSignal | undefined) {
  const kindOf = (tensor: Tensor) => `${tensor.dtype} ${tensor.shape.join()} ${tensor.layout}`
  const groupsOf = (all: Named) => {
    const groups = new Map<string, Named[number][]>()
    for (const entry of all) {
      const kind = kindOf(entry[1])
      const known = groups.get(kind)
      if (known === undefined) groups.set(kind, [entry])
      else known.push(entry)
    }
    return groups
  }
  const [left, right] = [groupsOf(a), groupsOf(b)]
  const perhaps = [
    new Map<string, LoneTensor['perhaps']>(),
    new Map<string, LoneTensor['perhaps']>(),
  ]
  const pair = (x: string, y: string, isSame: boolean) => {
    perhaps[0]!.set(x, { name: y, isSame })
    perhaps[1]!.set(y, { name: x, isSame })
  }
  for (const [kind, own] of left) {
    const others = right.get(kind)
    if (others === undefined) continue
    const byDigests = new Map<string, Set<string>>()
    for (const [name, tensor] of others) {
      const digest = await digestOrNothing(tensor, signal)
      if (digest === undefined) continue
      const names = byDigests.get(digest) ?? new Set()
      byDigests.set(digest, names.add(name))
    }
    for (const [name, tensor] of own) {
      const names = byDigests.get((await digestOrNothing(tensor, signal)) ?? '')
      if (names === undefined || names.size === 0) continue
      const other = nearestOf(name, names) ?? [...names][0]!
      names.delete(other)
      pair(name, other, true)
    }
    const rest = new Set(others.map(([name]) => name).filter((name) => !perhaps[1]!.has(name)))
    for (const [name] of own) {
      if (perhaps[0]!.has(name)) continue
      const other = nearestOf(name, rest)
      if (other === undefined) continue
      rest.delete(other)
      pair(name, other, false)
    }
  }
  return [a, b].map((all, side) =>
    all.map(([name, { dtype, shape }]): LoneTensor => {
      const known = perhaps[side]!.get(name)
      return { name, dtype, shape, ...(known === undefined ? {} : { perhaps: known }) }
    }),
  ) as [LoneTensor[], LoneTensor[]]
}

async function digestOrNothing(tensor: Tensor, signal: AbortSignal | undefined) {
  try {
    return await digestOf(tensor, { signal })
  } catch (error) {
    const { code } = error as { code?: string }
    if (!isLoss(error) || code === 'CLOSED' || code === 'FILE_CHANGED') throw error
    return undefined
  }
}
