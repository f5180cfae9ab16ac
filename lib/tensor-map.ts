/**
 * Tensors by name, in file order. Opening makes no object per tensor: the index is built when a
 * name is first looked up, and a Tensor when it is first asked for.
 */

import { inspect } from 'node:util'
import type { PackedStrings } from './binding'
import { printable } from './printable'
import type { Session } from './session'
import { Tensor } from './tensor'

/** The names that lead to tensor rows. */
export interface NamedRows {
  names: PackedStrings
  named: Uint32Array
}

export class TensorMap implements ReadonlyMap<string, Tensor> {
  readonly #session: Session
  readonly #packed: NamedRows
  readonly #prefix: string
  readonly #tensors: (Tensor | undefined)[] = []
  /** Position by name, in file order. */
  #positions: Map<string, number> | undefined
  #firstNames: Map<number, string> | undefined

  /**
   * @internal
   * @param prefix what the file's own content is called in a checkpoint of several files
   */
  constructor(session: Session, packed: NamedRows, prefix = '') {
    this.#session = session
    this.#packed = packed
    this.#prefix = prefix
  }

  get size(): number {
    return this.#packed.named.length
  }

  get(name: string): Tensor | undefined {
    const position = this.#named.get(name)
    return position === undefined ? undefined : this.#at(position, name)
  }

  has(name: string): boolean {
    return this.#named.has(name)
  }

  keys(): MapIterator<string> {
    return this.#named.keys()
  }

  *values(): Generator<Tensor, undefined, unknown> {
    for (const [, tensor] of this.entries()) yield tensor
  }

  *entries(): Generator<[string, Tensor], undefined, unknown> {
    for (const [name, position] of this.#named) yield [name, this.#at(position, name)]
  }

  [Symbol.iterator](): Generator<[string, Tensor], undefined, unknown> {
    return this.entries()
  }

  forEach(
    visit: (value: Tensor, key: string, map: ReadonlyMap<string, Tensor>) => void,
    thisArg?: unknown,
  ): void {
    for (const [name, tensor] of this) visit.call(thisArg, tensor, name, this)
  }

  get [Symbol.toStringTag](): string {
    return 'TensorMap'
  }

  [inspect.custom](): string {
    const shown = [...this.#named.keys()].slice(0, 3).map((name) => `'${printable(name)}'`)
    return `TensorMap(${this.size}) { ${shown.join(', ')}${this.size > 3 ? ', ...' : ''} }`
  }

  /**
   * The tensor of a row under its first name here, if it has one.
   *
   * @internal
   */
  ofRow(row: number): Tensor | undefined {
    if (this.#firstNames === undefined) {
      this.#firstNames = new Map()
      const { named: rows } = this.#packed
      for (const [name, position] of this.#named) {
        const named = rows[position]!
        if (!this.#firstNames.has(named)) this.#firstNames.set(named, name)
      }
    }
    const name = this.#firstNames.get(row)
    return name === undefined ? undefined : this.get(name)
  }

  /**
   * Full names and rows, without making tensors.
   *
   * @internal
   */
  *rows(): Generator<[string, number], void> {
    const { named: rows } = this.#packed
    for (const [name, position] of this.#named) {
      yield [joined(this.#prefix, name), rows[position]!]
    }
  }

  #at(position: number, name: string): Tensor {
    let tensor = this.#tensors[position]
    if (tensor === undefined) {
      const full = joined(this.#prefix, name)
      tensor = new Tensor(this.#session, this.#packed.named[position]!, full)
      this.#tensors[position] = tensor
    }
    return tensor
  }

  get #named(): Map<string, number> {
    this.#positions ??= positionsOf(this.#packed)
    return this.#positions
  }
}

/** The name of what is called `name` inside `prefix`. */
export function joined(prefix: string, name: string): string {
  return prefix === '' ? name : name === '' ? prefix : `${prefix}.${name}`
}

function positionsOf({ names, named }: NamedRows): Map<string, number> {
  const { text, ends } = names
  const all: string[] = []
  let start = 0
  for (let position = 0; position < named.length; ++position) {
    const end = ends[position]!
    all.push(text.slice(start, end))
    start = end
  }
  return uniqueNames(all)
}

/**
 * Position by name. Different paths can join to one name: {'a.b': x, 'a': {'b': y}}. The later ones
 * get '#2', '#3' behind theirs, so that nothing is lost and no name that is really in the file
 * moves.
 */
export function uniqueNames(names: readonly string[]): Map<string, number> {
  const positions = new Map<string, number>()
  for (let position = 0; position < names.length; ++position)
    positions.set(names[position]!, position)
  return positions.size === names.length ? positions : withRepeated(names)
}

function withRepeated(names: readonly string[]): Map<string, number> {
  const positions = new Map<string, number>()
  const repeated: [string, number][] = []
  for (const [position, name] of names.entries()) {
    if (positions.has(name)) repeated.push([name, position])
    else positions.set(name, position)
  }
  const all = new Map(positions)
  const counters = new Map<string, number>()
  for (const [name, position] of repeated) {
    let count = counters.get(name) ?? 1
    let free: string
    do free = `${name}#${++count}`
    while (all.has(free))
    counters.set(name, count)
    all.set(free, position)
  }
  return new Map([...all].sort(([, a], [, b]) => a - b))
}
