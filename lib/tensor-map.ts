/**
 * Tensors by name, in file order. Opening makes no object per tensor: the index is built when a
 * name is first looked up, and a Tensor when it is first asked for.
 */

import { inspect } from 'node:util'
import type { PackedStrings } from './binding'
import { Home } from './home'
import { printable } from './printable'
import type { Session } from './session'
import { Tensor } from './tensor'

/** The names that lead to tensor rows. */
export interface NamedRows {
  names: PackedStrings
  named: Uint32Array
  /** Whether it is known that no two names are the same. */
  distinct: boolean
}

/** What the iterators of this realm inherit from. */
const ITERATOR = Object.getPrototypeOf(Object.getPrototypeOf([].values()))

/** Names and tensors by position; both are made when they are first asked for. */
class Positions extends Home {
  readonly rows: Uint32Array
  readonly prefix: string
  readonly #names: PackedStrings
  readonly #isDistinct: boolean
  #tensors: (Tensor | undefined)[] | undefined
  #byName: Map<string, number> | undefined
  /** All names, where repeated ones have to be told apart. */
  #told: readonly string[] | undefined

  constructor(session: Session, { names, named, distinct }: NamedRows, prefix: string) {
    super(session)
    this.rows = named
    this.prefix = prefix
    this.#names = names
    this.#isDistinct = distinct
  }

  /** The name of a tensor in the whole checkpoint. */
  override nameOf(position: number): string {
    const name = this.name(position)
    return this.prefix === '' ? name : joined(this.prefix, name)
  }

  override rowAt(position: number): number {
    return this.rows[position]!
  }

  name(position: number): string {
    if (this.#isDistinct) return this.#packed(position)
    this.#told ??= [...this.byName.keys()]
    return this.#told[position]!
  }

  tensor(position: number): Tensor {
    // With room for all, so that what is there is not moved again and again.
    this.#tensors ??= new Array(this.rows.length)
    let tensor = this.#tensors[position]
    if (tensor === undefined) {
      tensor = new Tensor(this, position)
      this.#tensors[position] = tensor
    }
    return tensor
  }

  get byName(): Map<string, number> {
    if (this.#byName === undefined) {
      const all: string[] = []
      for (let position = 0; position < this.rows.length; ++position)
        all.push(this.#packed(position))
      this.#byName = uniqueNames(all)
    }
    return this.#byName
  }

  #packed(position: number): string {
    const { text, ends } = this.#names
    return text.slice(position === 0 ? 0 : ends[position - 1], ends[position])
  }
}

/**
 * An iterator over positions: a plain object, because a step of a generator costs as much as making
 * the tensor.
 */
abstract class Steps<T> {
  readonly #positions: Positions
  #next = 0
  readonly #end: number

  static {
    Object.setPrototypeOf(Steps.prototype, ITERATOR)
  }

  constructor(positions: Positions) {
    this.#positions = positions
    this.#end = positions.rows.length
  }

  next(): IteratorResult<T, undefined> {
    const done = this.#next === this.#end
    const value = done ? undefined : this.made(this.#positions, this.#next++)
    return { value, done } as IteratorResult<T, undefined>
  }

  get [Symbol.toStringTag](): string {
    return 'TensorMap Iterator'
  }

  protected abstract made(positions: Positions, position: number): T
}

class NameSteps extends Steps<string> {
  protected made(positions: Positions, position: number): string {
    return positions.name(position)
  }
}

class TensorSteps extends Steps<Tensor> {
  protected made(positions: Positions, position: number): Tensor {
    return positions.tensor(position)
  }
}

class EntrySteps extends Steps<[string, Tensor]> {
  protected made(positions: Positions, position: number): [string, Tensor] {
    return [positions.name(position), positions.tensor(position)]
  }
}

export class TensorMap implements ReadonlyMap<string, Tensor> {
  readonly #positions: Positions
  #firstNames: Map<number, string> | undefined

  /**
   * @internal
   * @param prefix what the file's own content is called in a checkpoint of several files
   */
  constructor(session: Session, rows: NamedRows, prefix = '') {
    this.#positions = new Positions(session, rows, prefix)
  }

  get size(): number {
    return this.#positions.rows.length
  }

  get(name: string): Tensor | undefined {
    const position = this.#positions.byName.get(name)
    return position === undefined ? undefined : this.#positions.tensor(position)
  }

  has(name: string): boolean {
    return this.#positions.byName.has(name)
  }

  keys(): MapIterator<string> {
    return new NameSteps(this.#positions) as unknown as MapIterator<string>
  }

  values(): MapIterator<Tensor> {
    return new TensorSteps(this.#positions) as unknown as MapIterator<Tensor>
  }

  entries(): MapIterator<[string, Tensor]> {
    return new EntrySteps(this.#positions) as unknown as MapIterator<[string, Tensor]>
  }

  [Symbol.iterator](): MapIterator<[string, Tensor]> {
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
    return shownNames(this.size, this.keys())
  }

  /**
   * The tensor of a row under its first name here, if it has one.
   *
   * @internal
   */
  ofRow(row: number): Tensor | undefined {
    if (this.#firstNames === undefined) {
      this.#firstNames = new Map()
      const { rows } = this.#positions
      for (let position = 0; position < rows.length; ++position) {
        const named = rows[position]!
        if (!this.#firstNames.has(named))
          this.#firstNames.set(named, this.#positions.name(position))
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
    const { rows, prefix } = this.#positions
    for (let position = 0; position < rows.length; ++position) {
      yield [joined(prefix, this.#positions.name(position)), rows[position]!]
    }
  }
}

/** A map of tensors as `console.log` shows it. */
export function shownNames(size: number, names: Iterable<string>): string {
  const shown: string[] = []
  for (const name of names) {
    if (shown.length === 3) break
    shown.push(`'${printable(name)}'`)
  }
  return `TensorMap(${size}) { ${shown.join(', ')}${size > 3 ? ', ...' : ''} }`
}

/** The name of what is called `name` inside `prefix`. */
export function joined(prefix: string, name: string): string {
  return prefix === '' ? name : name === '' ? prefix : `${prefix}.${name}`
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
