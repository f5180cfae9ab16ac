/** Tensors by name that are made, or found in another file, when they are first asked for. */
import { inspect } from 'node:util'
import type { Tensor } from './tensor'
import { shownNames } from './tensor-map'

export class NamedTensors<Place> implements ReadonlyMap<string, Tensor> {
  #known: ReadonlyMap<string, Place> | undefined
  readonly #list: () => ReadonlyMap<string, Place>
  readonly #find: (name: string, place: Place) => Tensor
  readonly #tensors = new Map<string, Tensor>()

  /**
   * @param list where each tensor comes from, in order; called once, when a name is first asked for
   * @param find makes the tensor of a place, once for each name; what it throws, {@link get} throws
   */
  constructor(
    list: () => ReadonlyMap<string, Place>,
    find: (name: string, place: Place) => Tensor,
  ) {
    this.#list = list
    this.#find = find
  }

  get #places(): ReadonlyMap<string, Place> {
    this.#known ??= this.#list()
    return this.#known
  }

  get size(): number {
    return this.#places.size
  }

  get(name: string): Tensor | undefined {
    let tensor = this.#tensors.get(name)
    if (tensor === undefined && this.#places.has(name)) {
      tensor = this.#find(name, this.#places.get(name)!)
      this.#tensors.set(name, tensor)
    }
    return tensor
  }

  has(name: string): boolean {
    return this.#places.has(name)
  }

  keys(): MapIterator<string> {
    return this.#places.keys()
  }

  *values(): Generator<Tensor, undefined, unknown> {
    for (const name of this.#places.keys()) yield this.get(name)!
  }

  *entries(): Generator<[string, Tensor], undefined, unknown> {
    for (const name of this.#places.keys()) yield [name, this.get(name)!]
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
    return shownNames(this.size, this.keys())
  }
}
