/** What `Checkpoint.stateDict` can do to the weights a checkpoint holds: other names, other values. */
import { checkOptions, wrongType, wrongValue } from './arguments'
import { binding } from './binding'
import type { Content } from './content'
import { renamed } from './derived'
import { DTYPES, type TensorData } from './dtype'
import { isCheckpointError } from './errors'
import { type Factor, type Formula, findFolds, type Unfolded } from './fold'
import type { Limits } from './limits'
import { heldData, MadeSession } from './made'
import { NamedTensors } from './named-tensors'
import { withoutPrefixes, withoutWrappers } from './prefixes'
import type { Tensor } from './tensor'
import { uniqueNames } from './tensor-map'

/** On what torch's own result depends beside the numbers, in the last places. */
export interface FoldOptions {
  /**
   * Threads that torch would use, 1 by default: it adds up norms along a last dimension that is
   * not the first (`weight_norm(linear, dim=1)`) in as many pieces, and its own results for
   * different numbers of threads are many units in the last place apart.
   */
  readonly threads?: number | undefined
}

export interface StateDictOptions {
  /** Path of the branch to take the weights from, such as `optimizer`. */
  readonly from?: string | undefined
  /**
   * Names without the levels of wrappers. `true`: `module.` at the start where every name has it,
   * `_forward_module.` at the start, `_orig_mod.`, `_fsdp_wrapped_module.` and
   * `_checkpoint_wrapped_module.` anywhere. An array: these levels at the start, where they are.
   * Of names that become equal the later ones get `#2`, `#3` behind theirs.
   */
  readonly stripPrefixes?: boolean | readonly string[] | undefined
  /**
   * Weights as the module uses them, in place of what weight norm, spectral norm and pruning keep
   * instead, under the names they have in the plain module. Each is computed when its elements are
   * first asked for.
   */
  readonly fold?: boolean | FoldOptions | undefined
}

/** Weights by name, with those that could not be computed. */
export interface StateDict extends ReadonlyMap<string, Tensor> {
  /** What looks like parts of a weight that this package does not compute; they are in the map. */
  readonly unfolded: readonly Unfolded[]
}

class FoldedTensors extends NamedTensors<Place> implements StateDict {
  readonly unfolded: readonly Unfolded[]

  constructor(
    places: ReadonlyMap<string, Place>,
    find: (name: string, place: Place) => Tensor,
    unfolded: readonly Unfolded[],
  ) {
    super(() => places, find)
    this.unfolded = unfolded
  }
}

/** Where a tensor of a folded map comes from: it is there already, or it has to be computed. */
type Place = { name: string } | { row: number }

/** The state dicts of one checkpoint: the same map each time for the same options. */
export class StateDicts {
  readonly #content: Content
  readonly #limits: Limits
  #madeHere: MadeSession | undefined
  readonly #maps = new Map<string, ReadonlyMap<string, Tensor>>()

  constructor(content: Content, limits: Limits) {
    this.#content = content
    this.#limits = limits
  }

  /** What computed weights are rows of; few checkpoints have any. */
  get #made(): MadeSession {
    this.#madeHere ??= new MadeSession(this.#content.path, this.#limits)
    return this.#madeHere
  }

  get(given: unknown): ReadonlyMap<string, Tensor> {
    const { from, stripPrefixes, threads } = checked(given)
    this.#content.checkOpen()
    const source = this.#content.stateDict(from)
    if (stripPrefixes === undefined && threads === undefined) return source
    const key = JSON.stringify([from ?? null, stripPrefixes ?? null, threads ?? null])
    let map = this.#maps.get(key)
    if (map === undefined) {
      map = stripPrefixes === undefined ? source : stripped(source, stripPrefixes)
      if (threads !== undefined) map = this.#folded(map, threads)
      this.#maps.set(key, map)
    }
    return map
  }

  /** Gives up what was computed. */
  close(): void {
    this.#madeHere?.close()
  }

  #folded(source: ReadonlyMap<string, Tensor>, threads: number): StateDict {
    const missing = new Map<string, string>()
    const factor = (name: string): Factor => {
      try {
        return factorOf(source.get(name)!)
      } catch (error) {
        // The part of the checkpoint that has it may be gone.
        if (!isCheckpointError(error)) throw error
        missing.set(name, error.message)
        return { dtype: 'float32', shape: [], isPlain: false }
      }
    }
    const { formulas, unfolded } = findFolds(source.keys(), factor)
    const targets = new Map<string, string>()
    for (const [name, formula] of formulas) {
      for (const part of partsOf(formula)) targets.set(part, name)
    }
    const places = new Map<string, Place>()
    for (const name of source.keys()) {
      const target = targets.get(name)
      if (target === undefined) places.set(name, { name })
      else if (!places.has(target)) {
        places.set(target, { row: this.#add(target, formulas.get(target)!, source, threads) })
      }
    }
    const find = (name: string, place: Place) =>
      'row' in place ? this.#made.tensor(place.row, name) : source.get(place.name)!
    return new FoldedTensors(places, find, explained(unfolded, missing))
  }

  /** A tensor that is computed when its elements are asked for. */
  #add(
    key: string,
    formula: Formula,
    source: ReadonlyMap<string, Tensor>,
    threads: number,
  ): number {
    const { dtype, shape, requiresGrad, isParameter } = source.get(mainOf(formula))!
    // Builds of torch 1, as far as they were measured, rounded once where torch 2 rounds twice.
    const isFused = this.#content.era === '1.4 to 2.0'
    const rounding: Rounding = { threads, isFused }
    const fill = (target: ArrayBuffer) => compute(formula, source, rounding, target)
    return this.#made.add({ key, dtype, shape: [...shape], requiresGrad, isParameter, fill })
  }
}

interface Rounding {
  threads: number
  isFused: boolean
}

function compute(
  formula: Formula,
  source: ReadonlyMap<string, Tensor>,
  { threads, isFused }: Rounding,
  target: ArrayBuffer,
): void {
  const main = source.get(mainOf(formula))!
  const dtype = dtypeOf(main)
  const sizes = Float64Array.from(main.shape)
  const data = (name: string): TensorData => heldData(source.get(name)!)
  switch (formula.kind) {
    case 'weightNorm': {
      const { g, v, dim } = formula
      binding.weightNorm(dtype, data(g), data(v), sizes, dim, threads, isFused, target)
      break
    }
    case 'spectralNorm': {
      const { weight, u, v, dim, other } = formula
      binding.spectralNorm(dtype, data(weight), sizes, dim, other, data(u), data(v), target)
      break
    }
    case 'unitNorm':
      binding.unitNorm(dtype, data(formula.weight), isFused, target)
      break
    case 'mask': {
      const mask = source.get(formula.mask)!
      binding.applyMask(dtype, data(formula.weight), dtypeOf(mask), heldData(mask), target)
      break
    }
  }
}

function dtypeOf({ dtype }: Tensor): number {
  return DTYPES.findIndex(({ name }) => name === dtype)
}

function partsOf(formula: Formula): string[] {
  switch (formula.kind) {
    case 'weightNorm':
      return [formula.g, formula.v]
    case 'spectralNorm':
      return [formula.weight, formula.u, formula.v]
    case 'unitNorm':
      return [formula.weight]
    case 'mask':
      return [formula.weight, formula.mask]
  }
}

/** The part that has the weight's own shape and dtype. */
function mainOf(formula: Formula): string {
  return formula.kind === 'weightNorm' ? formula.v : formula.weight
}

function factorOf(tensor: Tensor): Factor {
  const { dtype, layout, shape, isMeta, parts } = tensor
  const isPlain = layout === 'strided' && !isMeta && Object.keys(parts).length === 0
  return { dtype, shape, isPlain: isPlain && !shape.includes(-1) }
}

/** With the reason why a tensor could not be looked at. */
function explained(
  unfolded: readonly Unfolded[],
  missing: ReadonlyMap<string, string>,
): readonly Unfolded[] {
  if (missing.size === 0) return unfolded
  return Object.freeze(
    unfolded.map((entry) => {
      const part = entry.parts.find((name) => missing.has(name))
      return part === undefined ? entry : Object.freeze({ ...entry, reason: missing.get(part)! })
    }),
  )
}

function stripped(
  source: ReadonlyMap<string, Tensor>,
  prefixes: true | readonly string[],
): ReadonlyMap<string, Tensor> {
  const names = [...source.keys()]
  const shorter = prefixes === true ? withoutWrappers(names) : withoutPrefixes(names, prefixes)
  return new NamedTensors(
    () => uniqueNames(shorter),
    (name, position) => renamed(source.get(names[position]!)!, name),
  )
}

interface Checked {
  from: string | undefined
  stripPrefixes: true | readonly string[] | undefined
  /** Nothing: no folding. */
  threads: number | undefined
}

function checked(given: unknown): Checked {
  // An array, which is an object, has none of the options.
  if (!Array.isArray(given)) checkOptions('options', given, ['from', 'fold', 'stripPrefixes'])
  const { from, fold, stripPrefixes } = given as Record<string, unknown>
  if (from !== undefined && typeof from !== 'string') {
    throw wrongType('options.from', 'a string', from)
  }
  return { from, stripPrefixes: checkedPrefixes(stripPrefixes), threads: checkedFold(fold) }
}

function checkedPrefixes(given: unknown): true | readonly string[] | undefined {
  if (given === undefined || given === false) return undefined
  if (given === true) return true
  if (!Array.isArray(given) || given.some((prefix) => typeof prefix !== 'string')) {
    throw wrongType('options.stripPrefixes', 'a boolean or an array of strings', given)
  }
  if (given.some((prefix) => prefix === '' || prefix === '.')) {
    throw wrongValue('options.stripPrefixes', 'names of levels', given)
  }
  return given as string[]
}

function checkedFold(given: unknown): number | undefined {
  if (given === undefined || given === false) return undefined
  if (given === true) return 1
  if (typeof given !== 'object') throw wrongType('options.fold', 'a boolean or an object', given)
  checkOptions('options.fold', given, ['threads'])
  const { threads = 1 } = given
  if (typeof threads !== 'number') throw wrongType('options.fold.threads', 'a number', threads)
  if (!Number.isSafeInteger(threads) || threads <= 0) {
    throw wrongValue('options.fold.threads', 'a positive integer', threads)
  }
  return threads
}
