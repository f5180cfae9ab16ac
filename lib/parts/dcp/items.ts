/** The tensors and objects of a distributed checkpoint: made of the chunks, decoded, when asked for. */
import { join } from 'node:path'
import { binding } from '../../binding'
import type { Skipped } from '../../content'
import { FormatError, isLoss, type Loss } from '../../errors'
import type { FileContent } from '../../file-content'
import { heldData, MadeSession } from '../../made'
import type { Request } from '../../request'
import type { Tensor } from '../../tensor'
import type { Unit } from '../../verify'
import { skip } from '../several'
import { ItemFile } from './files'
import type { Chunk, Place, Table, TensorItem } from './table'
import type { Box } from './tiling'

export class Items {
  readonly files: ReadonlyMap<string, ItemFile>
  readonly #table: Table
  readonly #session: MadeSession
  readonly #objects = new Map<string, FileContent | Loss>()

  constructor(folder: string, table: Table, request: Request) {
    this.#table = table
    this.#session = new MadeSession(folder, request.limits)
    const names = new Set<string>()
    for (const item of table.items.values()) {
      if (item.kind === 'bytes') names.add(item.place.file)
      else if (item.kind === 'tensor') for (const { place } of item.chunks) names.add(place.file)
    }
    this.files = new Map(
      [...names].sort().map((name) => [name, new ItemFile(join(folder, name), request)]),
    )
  }

  /** Items that cannot be given, as far as sizes of files tell. */
  faults(): Skipped[] {
    const skipped: Skipped[] = []
    for (const [name, item] of this.#table.items) {
      try {
        if (item.kind === 'bytes') this.#check(item.place, name)
        else if (item.error !== undefined) throw item.error
        else if (item.kind === 'tensor') this.#checkChunks(name, item)
      } catch (error) {
        skipped.push(skip(name, error))
      }
    }
    return skipped
  }

  tensor(name: string, item: TensorItem): Tensor {
    const { dtype, shape, requiresGrad, chunks, error } = item
    const recipe = { dtype: dtype.name, shape, requiresGrad, key: name }
    const [first] = chunks
    const check = () => {
      if (error !== undefined) throw error
      this.#checkChunks(name, item)
    }
    const row = this.#session.add(
      chunks.length === 1
        ? { ...recipe, check, whole: () => this.#chunk(name, item, first!).tensor }
        : {
            ...recipe,
            check,
            fill: (target) => {
              for (const chunk of chunks) this.#place(name, item, chunk, target)
            },
          },
    )
    return this.#session.tensor(row, name)
  }

  /** The decoded object of an item, or why there is none. */
  object(name: string, place: Place): FileContent | Loss {
    let found = this.#objects.get(name)
    if (found === undefined) {
      try {
        found = this.#fileOf(place).item(place, name)
      } catch (error) {
        if (!isLoss(error)) throw error
        found = error
      }
      this.#objects.set(name, found)
    }
    return found
  }

  /** Every item and chunk that has a place, each an archive of its own. */
  units(): Unit[] {
    const units: Unit[] = []
    /** Items at the same place. */
    const names = new Map<string, Set<string>>()
    const add = (name: string, place: Place) => {
      const key = `${place.offset} ${place.length} ${place.file}`
      const known = names.get(key)
      known?.add(name)
      if (known !== undefined) return
      const all = new Set([name])
      names.set(key, all)
      const file = this.#fileOf(place)
      units.push({
        name,
        path: file.path,
        item: name,
        bytes: place.length,
        open: () => file.item(place, name),
        names: (content) => shared(content.tensorsByRecord(), name, all),
        release: (content) => file.release(content),
      })
    }
    for (const [name, item] of this.#table.items) {
      if (item.kind === 'bytes') add(name, item.place)
      else if (item.kind === 'tensor') for (const { place } of item.chunks) add(name, place)
    }
    return units
  }

  close(): void {
    this.#session.close()
    for (const file of this.files.values()) file.close()
  }

  #fileOf({ file }: Place): ItemFile {
    return this.files.get(file)!
  }

  #check(place: Place, name: string): void {
    this.#fileOf(place).check(place, name)
  }

  #checkChunks(name: string, { chunks }: TensorItem): void {
    for (const { place } of chunks) this.#check(place, name)
  }

  /** The tensor in a file that a chunk is, as the index has it. */
  #chunk(name: string, item: TensorItem, { place, sizes, offsets }: Chunk) {
    const file = this.#fileOf(place)
    const content = file.item(place, name)
    const tensor = content.tensors.get('')
    const found =
      tensor === undefined
        ? 'no tensor'
        : `${tensor.layout} ${tensor.dtype}[${tensor.shape.join(', ')}]`
    const wanted = `strided ${item.dtype.name}[${sizes.join(', ')}]`
    if (tensor === undefined || found !== wanted) {
      file.release(content)
      const message =
        `the chunk of '${name}' at [${offsets.join(', ')}] is ${found} ` +
        `where the index has ${wanted}`
      throw new FormatError('BAD_TENSOR', message, { path: file.path, offset: place.offset })
    }
    return { file, content, tensor }
  }

  #place(name: string, item: TensorItem, chunk: Chunk, target: ArrayBuffer): void {
    const { file, content, tensor } = this.#chunk(name, item, chunk)
    try {
      place(tensor, chunk, item, target)
    } finally {
      file.release(content)
    }
  }
}

/** The names that tensors of the item `name` have, with those of other items at its place. */
function shared(
  names: Map<number, string[]>,
  name: string,
  items: ReadonlySet<string>,
): Map<number, string[]> {
  if (items.size === 1) return names
  const others = (own: string) => [...items].map((item) => item + own.slice(name.length))
  return new Map([...names].map(([record, own]) => [record, own.flatMap(others)]))
}

/** Copies a chunk to its place among the elements of the whole tensor. */
export function place(
  chunk: Tensor,
  { sizes, offsets }: Box,
  { dtype, shape }: Pick<TensorItem, 'dtype' | 'shape'>,
  target: ArrayBuffer,
): void {
  const { buffer, byteOffset } = heldData(chunk)
  binding.place(
    buffer as ArrayBuffer,
    byteOffset,
    dtype.index,
    Float64Array.from(sizes),
    Float64Array.from(offsets),
    Float64Array.from(shape),
    target,
  )
}
