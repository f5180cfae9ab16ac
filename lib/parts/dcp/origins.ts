/** Where the tensors of a distributed checkpoint come from. */
import type { FileContent } from '../../file-content'
import { joined } from '../../tensor-map'
import type { Table } from './table'

/** Where a tensor comes from: an item, or the content of an object or of a file beside. */
export type Origin =
  | { readonly item: string }
  | { readonly content: FileContent; readonly inner: string }

/** Origins by name. Those in objects are found out when a name is asked for that is no item's. */
export class Origins implements ReadonlyMap<string, Origin> {
  readonly #table: Table
  readonly #beside: FileContent | undefined
  readonly #object: (name: string) => FileContent | undefined
  /** For each object the names of its tensors there, and here. */
  readonly #inside = new Map<string, [string, string][]>()
  #all: Map<string, Origin> | undefined

  constructor(
    table: Table,
    beside: FileContent | undefined,
    object: (name: string) => FileContent | undefined,
  ) {
    this.#table = table
    this.#beside = beside
    this.#object = object
  }

  /** Names below an item, each with that among all tensors; the item itself if it is a tensor. */
  inside(name: string): readonly (readonly [string, string])[] {
    if (this.#isTensor(name)) return [['', name]]
    this.#complete()
    return this.#inside.get(name) ?? []
  }

  get(name: string): Origin | undefined {
    return this.#isTensor(name) ? { item: name } : this.#complete().get(name)
  }

  has(name: string): boolean {
    return this.get(name) !== undefined
  }

  get size(): number {
    return this.#complete().size
  }

  keys(): MapIterator<string> {
    return this.#complete().keys()
  }

  values(): MapIterator<Origin> {
    return this.#complete().values()
  }

  entries(): MapIterator<[string, Origin]> {
    return this.#complete().entries()
  }

  [Symbol.iterator](): MapIterator<[string, Origin]> {
    return this.entries()
  }

  forEach(visit: (value: Origin, key: string, map: ReadonlyMap<string, Origin>) => void): void {
    for (const [name, place] of this) visit(place, name, this)
  }

  #isTensor(name: string): boolean {
    return this.#table.items.get(name)?.kind === 'tensor'
  }

  #complete(): Map<string, Origin> {
    if (this.#all !== undefined) return this.#all
    const all = new Map<string, Origin>()
    // Names can meet: the later ones get '#2', '#3', and those of items stay as they are.
    const free = (name: string) => {
      if (!all.has(name) && !this.#isTensor(name)) return name
      for (let n = 2; ; ++n) {
        const other = `${name}#${n}`
        if (!all.has(other) && !this.#isTensor(other)) return other
      }
    }
    for (const [name, item] of this.#table.items) {
      if (item.kind === 'tensor') all.set(name, { item: name })
      const content = item.kind === 'bytes' ? this.#object(name) : undefined
      if (content === undefined) continue
      const names: [string, string][] = []
      for (const inner of content.tensors.keys()) {
        const full = free(joined(name, inner))
        all.set(full, { content, inner })
        names.push([inner, full])
      }
      if (names.length > 0) this.#inside.set(name, names)
    }
    for (const inner of this.#beside?.tensors.keys() ?? []) {
      all.set(free(inner), { content: this.#beside!, inner })
    }
    this.#all = all
    return all
  }
}
