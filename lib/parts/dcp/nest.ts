/**
 * The nested value that flattened names stand for, and the weights in it.
 * Source: torch/distributed/checkpoint/_traverse.py, set_element (v2.13); native/core/torch/state_dict.cc.
 */
import type { Budget } from './budget'
import type { Path } from './table'

/** A dict or list made here, in contrast to values that are put in. */
export class Nest<Leaf> {
  readonly root = new Map<string | number, unknown>()
  readonly #own = new Set<unknown>([this.root])
  readonly #budget: Budget

  constructor(budget: Budget) {
    this.#budget = budget
  }

  /** Whether a value is a dict made here. */
  isDict(value: unknown): value is Map<string | number, unknown> {
    return value instanceof Map && this.#own.has(value)
  }

  isList(value: unknown): value is unknown[] {
    return Array.isArray(value) && this.#own.has(value)
  }

  /**
   * Puts a value where a path leads to; places of lists that nothing is put in hold null. False
   * when something else is in the way.
   */
  put(path: Path, leaf: Leaf): boolean {
    this.#budget.charge(path.length)
    let container: unknown = this.root
    for (const [i, key] of path.entries()) {
      const isLast = i === path.length - 1
      const found = this.#get(container, key)
      if (!isLast && this.#own.has(found)) {
        container = found
        continue
      }
      if (found !== undefined && found !== null) return false
      if (isLast) return this.#set(container, key, leaf)
      const made = typeof path[i + 1] === 'string' ? new Map() : []
      if (!this.#set(container, key, made)) return false
      this.#own.add(made)
      container = made
    }
    return false
  }

  #get(container: unknown, key: string | number): unknown {
    if (this.isDict(container)) return container.get(key)
    return this.isList(container) && typeof key === 'number' ? container[key] : undefined
  }

  #set(container: unknown, key: string | number, value: unknown): boolean {
    if (this.isDict(container)) {
      container.set(key, value)
      return true
    }
    if (!this.isList(container) || typeof key !== 'number') return false
    this.#budget.charge(Math.max(key - container.length, 0))
    while (container.length < key) container.push(null)
    container[key] = value
    return true
  }

  /** Every value below `top`, with the keys to it joined by dots. */
  *leaves(top: unknown): Generator<[string, Leaf]> {
    const stack: [string, unknown][] = [['', top]]
    for (let entry = stack.pop(); entry !== undefined; entry = stack.pop()) {
      const [name, value] = entry
      const below: [string, unknown][] = []
      if (this.isDict(value) || this.isList(value)) {
        for (const [key, inner] of value.entries()) {
          const full = name === '' && value === top ? String(key) : `${name}.${key}`
          this.#budget.charge(full.length)
          below.push([full, inner])
        }
        for (let i = below.length - 1; i >= 0; --i) stack.push(below[i]!)
      } else if (value !== null) {
        yield [name, value as Leaf]
      }
    }
  }
}

/**
 * Keys under which tools keep the weights beside other things, commonest first; those of
 * native/core/torch/state_dict.cc, and the key of torch's own examples.
 */
const WRAPPERS = [
  'state_dict',
  'model_state_dict',
  'model',
  'module',
  'net',
  'network',
  'params_ema',
  'params',
  'model_state',
  'weights',
  'ema',
  'state',
  'checkpoint',
  'app',
  'app_state',
] as const
const MOST_WRAPPERS = 4

/**
 * The value that holds the weights: the root, or what the well-known wrappers hold.
 *
 * @param isTensor whether something put in is a tensor
 * @param holdsTensors whether it is an object with tensors in it
 */
export function weightsIn<Leaf>(
  nest: Nest<Leaf>,
  isTensor: (leaf: Leaf) => boolean,
  holdsTensors: (leaf: Leaf) => boolean,
): unknown {
  const isLeaf = (value: unknown): value is Leaf =>
    value !== undefined && value !== null && !nest.isDict(value) && !nest.isList(value)
  const isWeights = (value: unknown) => {
    if (!nest.isDict(value)) return isLeaf(value) && !isTensor(value) && holdsTensors(value)
    for (const inner of value.values()) {
      if (nest.isDict(inner) || (isLeaf(inner) && isTensor(inner))) return true
    }
    return false
  }
  let found: unknown = nest.root
  for (let level = 0; level < MOST_WRAPPERS && nest.isDict(found); ++level) {
    const dict = found
    const wrapper = WRAPPERS.find((key) => isWeights(dict.get(key)))
    if (wrapper === undefined) break
    found = dict.get(wrapper)
  }
  return found
}
