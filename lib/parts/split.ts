/**
 * A checkpoint split into parts that hold a share of the tensors each, with an index that says
 * which, or without.
 */
import type { Format, Skipped } from '../content'
import { FormatError, isCheckpointError, isLoss } from '../errors'
import type { FileContent } from '../file-content'
import { absolute } from '../handle/pack'
import { type FileHandle, type SplitHandle, VERSION } from '../handle/shape'
import { NamedTensors } from '../named-tensors'
import type { Tensor } from '../tensor'
import type { TensorMap } from '../tensor-map'
import type { Unit } from '../verify'
import type { PartFile } from './part-file'
import { branch, SeveralFiles, skip } from './several'

/** Where a tensor lies: in a part, under a name that may have a wrapper's key before it. */
interface Place {
  part: PartFile
  name: string
  isWrapped: boolean
}

abstract class Split extends SeveralFiles {
  readonly format: Format = 'split'
  readonly parts: readonly PartFile[]
  #root: { value: unknown } | undefined

  constructor(path: string | undefined, parts: readonly PartFile[], mayMap: boolean) {
    super(path, mayMap)
    this.parts = parts
  }

  /** That of the parts that are open, if they agree. */
  get era(): string {
    const eras = new Set(
      this.parts.filter(({ isOpen }) => isOpen).map(({ content }) => content.era),
    )
    return eras.size === 1 ? [...eras][0]! : ''
  }

  /** That of the first part: all have one writer. */
  override get outline(): unknown {
    return this.#first?.outline
  }

  /** That of the first part: writers give all parts the same. */
  override get metadata(): ReadonlyMap<string, string> | undefined {
    return this.#first?.metadata
  }

  /** Nothing where it cannot be opened. */
  get #first(): FileContent | undefined {
    try {
      return this.parts[0]?.content
    } catch (error) {
      if (isLoss(error)) return undefined
      throw error
    }
  }

  /** The dicts of all parts in one, or where they are something else, a list of them. */
  get root(): unknown {
    if (this.#root === undefined) {
      const roots = this.parts.map(({ content }) => content.root)
      const maps = roots.filter((root) => root instanceof Map)
      const value = maps.length < roots.length ? roots : merged(maps)
      this.#root = { value }
    }
    return this.#root.value
  }

  /** Under the names of the index where those are of the weights in a wrapper. */
  override units(): readonly Unit[] {
    let listed: readonly string[] | undefined
    const names = (content: FileContent) => {
      listed ??= this.listed()
      return content.tensorsByRecord(mapOf(content, listed))
    }
    return super.units().map((unit) => ({ ...unit, names }))
  }

  /** Names that an index lists; none without one. */
  protected abstract listed(): readonly string[]

  /** The part of each name, where an index says it. */
  protected abstract placesOfIndex(): ReadonlyMap<string, PartFile> | undefined

  override handle(): SplitHandle {
    this.checkOpen()
    const numbers = new Map(this.parts.map((part, i) => [part, i]))
    const places = this.placesOfIndex()
    const parts = this.parts.map((part) => ({
      path: absolute(part.path),
      file: handleOf(part),
    }))
    return {
      version: VERSION,
      kind: 'split',
      options: parts.find(({ file }) => file !== null)?.file?.options ?? { mmap: this.isMapped },
      path: this.path === undefined ? null : absolute(this.path),
      joined: this instanceof JoinedSplit,
      parts,
      index:
        places === undefined ? null : [...places].map(([name, part]) => [name, numbers.get(part)!]),
    }
  }

  protected override release(): void {
    this.#root = undefined
    for (const part of this.parts) part.close()
  }
}

/** Nothing for a part that cannot be opened. */
function handleOf(part: PartFile): FileHandle | null {
  try {
    return part.content.handle()
  } catch (error) {
    // No part has one.
    if (isCheckpointError(error, 'UNSUPPORTED_FORMAT') && error.feature === 'handle') throw error
    if (isLoss(error)) return null
    throw error
  }
}

/** The first value of each key. */
function merged(maps: readonly Map<unknown, unknown>[]): Map<unknown, unknown> {
  const all = new Map<unknown, unknown>()
  for (const map of maps) {
    for (const [key, value] of map) if (!all.has(key)) all.set(key, value)
  }
  return all
}

/** Parts with an index: a part is opened when a tensor of it is asked for. */
export class IndexedSplit extends Split {
  readonly tensors: NamedTensors<PartFile>
  readonly #list: () => ReadonlyMap<string, PartFile>
  readonly #branches = new Map<string, ReadonlyMap<string, Tensor>>()
  #skipped: readonly Skipped[] | undefined

  /** @param list makes the map of tensor names to parts, as the index has it */
  constructor(
    path: string,
    parts: readonly PartFile[],
    list: () => ReadonlyMap<string, PartFile>,
    mayMap: boolean,
  ) {
    super(path, parts, mayMap)
    this.#list = list
    this.tensors = new NamedTensors(list, (name, part) => this.#find(name, part))
  }

  stateDict(from: string | undefined): ReadonlyMap<string, Tensor> {
    if (from === undefined) return this.tensors
    let found = this.#branches.get(from)
    if (found === undefined) {
      const full = (name: string) => (from === '' ? name : name === '' ? from : `${from}.${name}`)
      const places = branch(this.#list(), from, this.path)
      found = new NamedTensors(
        () => places,
        (name) => this.tensors.get(full(name))!,
      )
      this.#branches.set(from, found)
    }
    return found
  }

  get skipped(): readonly Skipped[] {
    if (this.#skipped === undefined) {
      this.checkOpen()
      this.#skipped = Object.freeze(this.#disagreements())
    }
    return this.#skipped
  }

  protected override listed(): readonly string[] {
    return [...this.#list().keys()]
  }

  protected override placesOfIndex(): ReadonlyMap<string, PartFile> {
    return this.#list()
  }

  #find(name: string, part: PartFile): Tensor {
    this.checkOpen()
    const found = lookUp(part.content, name)
    if (found !== undefined) return found
    throw new FormatError('BAD_INDEX', notThere(name, part), { path: this.path })
  }

  #disagreements(): Skipped[] {
    const skipped: Skipped[] = []
    const wanted = new Map<PartFile, string[]>(this.parts.map((part) => [part, []]))
    for (const [name, part] of this.#list()) wanted.get(part)!.push(name)
    for (const [part, names] of wanted) {
      let content: FileContent
      try {
        content = part.content
      } catch (error) {
        for (const name of names) skipped.push(skip(name, error))
        continue
      }
      const own = namesOf(content, names)
      for (const name of names) {
        if (own.has(name)) own.delete(name)
        else skipped.push({ name, code: 'BAD_INDEX', message: notThere(name, part) })
      }
      for (const name of own) {
        const message = `'${part.path}' has it but the index does not; parts: 'open' gives it`
        skipped.push({ name, code: 'BAD_INDEX', message })
      }
      skipped.push(...content.skipped)
    }
    return skipped
  }
}

/** Parts that are all open: what they hold says which tensors there are. */
export class JoinedSplit extends Split {
  readonly tensors: NamedTensors<Place>
  readonly skipped: readonly Skipped[]
  readonly #stateDicts = new Map<string | undefined, ReadonlyMap<string, Tensor>>()
  readonly #index: ReadonlyMap<string, PartFile> | undefined
  readonly #listed: readonly string[] | undefined

  /** @param listed the part of each tensor, where there is an index */
  constructor(
    path: string | undefined,
    parts: readonly PartFile[],
    mayMap: boolean,
    listed?: ReadonlyMap<string, PartFile>,
  ) {
    super(path, parts, mayMap)
    const skipped: Skipped[] = []
    this.#index = listed
    this.#listed = listed && [...listed.keys()]
    const places = listed === undefined ? new Map() : this.#listedPlaces(listed, skipped)
    for (const part of parts) {
      const names = namesOf(part.content, this.listed())
      for (const name of names) {
        const known = places.get(name)
        if (known === undefined) places.set(name, { part, name, isWrapped: false })
        else if (known.part !== part) {
          const message = `'${part.path}' has it too; the one of '${known.part.path}' is given`
          skipped.push({ name, code: 'BAD_INDEX', message })
        }
      }
      skipped.push(...part.content.skipped)
    }
    this.skipped = Object.freeze(skipped.map((entry) => Object.freeze(entry)))
    this.tensors = new NamedTensors<Place>(
      () => places,
      (_, { part, name, isWrapped }) => {
        this.checkOpen()
        const { content } = part
        return (isWrapped ? content.stateDict(undefined) : content.tensors).get(name)!
      },
    )
  }

  stateDict(from: string | undefined): ReadonlyMap<string, Tensor> {
    if (this.#listed !== undefined && from === undefined) return this.tensors
    let found = this.#stateDicts.get(from)
    if (found === undefined) {
      const places = new Map<string, PartFile>()
      for (const part of this.parts) {
        for (const name of stateDictNames(part.content, from)) {
          if (!places.has(name)) places.set(name, part)
        }
      }
      // No part has the branch: the error says so.
      if (places.size === 0 && from !== undefined) this.parts[0]!.content.stateDict(from)
      found = new NamedTensors(
        () => places,
        (name, { content }) => content.stateDict(from).get(name)!,
      )
      this.#stateDicts.set(from, found)
    }
    return found
  }

  protected override listed(): readonly string[] {
    return this.#listed ?? []
  }

  protected override placesOfIndex(): ReadonlyMap<string, PartFile> | undefined {
    return this.#index
  }

  #listedPlaces(listed: ReadonlyMap<string, PartFile>, skipped: Skipped[]): Map<string, Place> {
    const places = new Map<string, Place>()
    for (const [name, part] of listed) {
      const { tensors } = part.content
      const isWrapped = !tensors.has(name)
      if (isWrapped && !part.content.stateDict(undefined).has(name)) {
        skipped.push({ name, code: 'BAD_INDEX', message: notThere(name, part) })
      } else {
        places.set(name, { part, name, isWrapped })
      }
    }
    return places
  }
}

function notThere(name: string, part: PartFile): string {
  return `the index has tensor '${name}' in '${part.path}', where it is not`
}

function lookUp(content: FileContent, name: string): Tensor | undefined {
  return content.tensors.get(name) ?? content.stateDict(undefined).get(name)
}

/** The names of a part, as an index would have them. */
function namesOf(content: FileContent, listed: readonly string[]): Set<string> {
  return new Set(mapOf(content, listed).keys())
}

/** The tensors of a part: those of its state dict where the listed names are in that only. */
function mapOf(content: FileContent, listed: readonly string[]): TensorMap {
  const isWrapped =
    listed.length > 0 &&
    !listed.some((name) => content.tensors.has(name)) &&
    listed.some((name) => content.stateDict(undefined).has(name))
  return isWrapped ? content.stateDict(undefined) : content.tensors
}

/** Nothing where the part has no such branch. */
function stateDictNames(content: FileContent, from: string | undefined): Iterable<string> {
  try {
    return content.stateDict(from).keys()
  } catch (error) {
    if (isCheckpointError(error, 'NO_SUCH_TENSOR')) return []
    throw error
  }
}
