/**
 * A checkpoint of torch.distributed.checkpoint (DCP): an index, `.metadata`, and files in which the
 * chunks of tensors and any other objects lie, each as torch.save writes it.
 * Source: torch/distributed/checkpoint/filesystem.py, default_planner.py (v2.13).
 */
import type { Format, Skipped } from '../../content'
import { isCheckpointError, isLoss } from '../../errors'
import type { FileContent } from '../../file-content'
import { NamedTensors } from '../../named-tensors'
import type { Request } from '../../request'
import type { Tensor } from '../../tensor'
import { joined } from '../../tensor-map'
import type { Unit } from '../../verify'
import { branch, SeveralFiles, type SizedPart, skip } from '../several'
import type { Budget } from './budget'
import { Items } from './items'
import { Nest, weightsIn } from './nest'
import { type Origin, Origins } from './origins'
import type { Path, Table } from './table'

/** What the plan found out. */
export interface DcpSource {
  readonly folder: string
  readonly era: string
  readonly table: Table
  readonly budget: Budget
  /** The index and files beside it. */
  readonly parts: readonly SizedPart[]
  /** A dict with the rest of the checkpoint. */
  readonly beside?: FileContent | undefined
  /** Whether an item is one of the weights, where no wrapper says so. */
  readonly isWeight?: ((name: string) => boolean) | undefined
}

export class DcpContent extends SeveralFiles {
  readonly format: Format = 'dcp'
  readonly era: string
  readonly parts: readonly SizedPart[]
  readonly tensors: NamedTensors<Origin>
  readonly #source: DcpSource
  readonly #items: Items
  readonly #origins: Origins
  readonly #stateDicts = new Map<string | undefined, ReadonlyMap<string, Tensor>>()
  #faults: readonly Skipped[] | undefined
  #skipped: readonly Skipped[] | undefined
  #nest: { nest: Nest<string>; misfits: readonly string[] } | undefined
  #paths: readonly (readonly [string, string])[] | undefined
  #root: { value: unknown } | undefined

  constructor(source: DcpSource, request: Request) {
    super(source.folder, request.mayMap)
    this.era = source.era
    this.#source = source
    this.#items = new Items(source.folder, source.table, request)
    this.parts = [...source.parts, ...this.#items.files.values()]
    this.#origins = new Origins(source.table, source.beside, (name) => this.#object(name))
    this.tensors = new NamedTensors<Origin>(
      () => this.#origins,
      (name, place) => {
        if (!('item' in place)) return place.content.tensors.get(place.inner)!
        const item = source.table.items.get(place.item)!
        if (item.kind !== 'tensor') throw new Error(`'${name}' is no tensor`)
        return this.#items.tensor(name, item)
      },
    )
    try {
      if (request.parts === 'open') {
        // A file that is missing is a fault of its items.
        for (const file of this.#items.files.values()) if (exists(file)) file.open()
      }
      if (request.parts !== 'lazy') this.#faults = this.#items.faults()
    } catch (error) {
      this.#items.close()
      throw error
    }
  }

  /** Opens the objects, whose content is known only then. */
  get skipped(): readonly Skipped[] {
    if (this.#skipped === undefined) {
      this.checkOpen()
      this.#faults ??= this.#items.faults()
      const skipped = new Map(this.#faults.map((fault) => [fault.name, fault]))
      const inside: Skipped[] = []
      for (const [name, item] of this.#source.table.items) {
        if (item.kind !== 'bytes' || skipped.has(name)) continue
        const object = this.#items.object(name, item.place)
        if (isLoss(object)) skipped.set(name, skip(name, object))
        else {
          for (const fault of object.skipped) {
            inside.push(Object.freeze({ ...fault, name: joined(name, fault.name) }))
          }
        }
      }
      for (const name of this.#nested.misfits) {
        const message = `nothing can be put where the index has '${name}' in the root`
        inside.push(Object.freeze({ name, code: 'BAD_INDEX', message }))
      }
      const beside = this.#source.beside?.skipped ?? []
      this.#skipped = Object.freeze([...skipped.values(), ...inside, ...beside])
    }
    return this.#skipped
  }

  /** Items that cannot be given are not in it; tensors whose chunks are missing are. */
  get root(): unknown {
    if (this.#root === undefined) {
      const { table, beside, budget } = this.#source
      const nest = new Nest<unknown>(budget)
      const rest = beside?.root
      if (rest instanceof Map) for (const [key, value] of rest) nest.root.set(key, value)
      for (const [name, item] of table.items) {
        if (item.kind === 'broken') continue
        const path = this.#pathOf(name)
        const key = path[0]!
        if (rest instanceof Map && nest.root.get(key) === rest.get(key)) nest.root.delete(key)
        if (item.kind === 'tensor') nest.put(path, this.tensors.get(name))
        else {
          const object = this.#object(name)
          if (object !== undefined) nest.put(path, object.root)
        }
      }
      this.#root = { value: nest.root }
    }
    return this.#root.value
  }

  stateDict(from: string | undefined): ReadonlyMap<string, Tensor> {
    let found = this.#stateDicts.get(from)
    if (found === undefined) {
      const names = from === undefined ? this.#weights() : this.#branch(from)
      found = new NamedTensors(
        () => names,
        (_, name) => this.tensors.get(name)!,
      )
      this.#stateDicts.set(from, found)
    }
    return found
  }

  /** The index is a bare pickle. */
  override units(): readonly Unit[] {
    const { parts, beside } = this.#source
    const files = parts.map(({ path, size }) =>
      path === beside?.path
        ? { name: path, path, bytes: size, open: () => beside }
        : { name: path, path, bytes: size },
    )
    return [...files, ...this.#items.units()]
  }

  protected override release(): void {
    this.#root = undefined
    this.#items.close()
    this.#source.beside?.close()
  }

  /** Names in the state dict, each with that among all tensors. */
  #weights(): Map<string, string> {
    const { nest } = this.#nested
    const top = weightsIn(
      nest,
      (name) => this.#source.table.items.get(name)!.kind === 'tensor',
      (name) => this.#origins.inside(name).length > 0,
    )
    const { isWeight } = this.#source
    const isChosen = top !== nest.root || isWeight === undefined ? () => true : isWeight
    const weights = new Map<string, string>()
    for (const [below, item] of nest.leaves(top)) {
      if (!isChosen(item)) continue
      for (const [inner, name] of this.#origins.inside(item))
        weights.set(joined(below, inner), name)
    }
    return weights
  }

  /** By the names of tensors, or by keys of the root where those are others. */
  #branch(from: string): Map<string, string> {
    const names = [...this.tensors.keys()].map((name) => [name, name] as const)
    try {
      return branch(names, from, this.path)
    } catch (error) {
      if (!isCheckpointError(error, 'NO_SUCH_TENSOR')) throw error
      this.#paths ??= this.#pathsOfTensors()
      return branch(this.#paths, from, this.path)
    }
  }

  /** Keys of the root that lead to tensors, each with the name among all tensors. */
  #pathsOfTensors(): [string, string][] {
    const { nest } = this.#nested
    const paths: [string, string][] = []
    for (const [path, item] of nest.leaves(nest.root)) {
      for (const [inner, name] of this.#origins.inside(item))
        paths.push([joined(path, inner), name])
    }
    return paths
  }

  get #nested() {
    if (this.#nest === undefined) {
      const nest = new Nest<string>(this.#source.budget)
      const misfits: string[] = []
      for (const [name, item] of this.#source.table.items) {
        if (item.kind !== 'broken' && !nest.put(this.#pathOf(name), name)) misfits.push(name)
      }
      this.#nest = { nest, misfits }
    }
    return this.#nest
  }

  #pathOf(name: string): Path {
    return this.#source.table.paths?.get(name) ?? [name]
  }

  #object(name: string): FileContent | undefined {
    const item = this.#source.table.items.get(name)
    if (item?.kind !== 'bytes') return undefined
    this.checkOpen()
    const object = this.#items.object(name, item.place)
    return isLoss(object) ? undefined : object
  }
}

function exists(file: { readonly size: number }): boolean {
  try {
    return file.size >= 0
  } catch {
    return false
  }
}
