/**
 * The packed tables of a checkpoint: one row per tensor and storage, no object until somebody asks.
 */
import type { NativeQuantizer, NativeTables, PackedStrings } from './binding'
import { DTYPES, type DTypeInfo } from './dtype'
import { ExtraWord, PART_ROLES, StorageColumn, TensorFlag, TensorWord } from './tables'

/** In columns that refer to other rows: none. */
const NO_INDEX = 0xffff_ffff

/** Rows from here on were added on this side. */
const FIRST_ADDED = 2 ** 32

/** What a part is to the tensor it belongs to. */
export type PartRole = (typeof PART_ROLES)[number]

const NO_PARTS: readonly never[] = []

/** String `index` of many packed into one. */
export function stringAt({ text, ends }: PackedStrings, index: number): string {
  return text.slice(index === 0 ? 0 : ends[index - 1], ends[index])
}

/** A strided view over the storage of another row, in elements. */
export interface View {
  offset: number
  sizes: readonly number[]
  strides: readonly number[]
}

/** A row to add. */
export interface AddedRow extends View {
  /** Index into {@link DTYPES}. */
  dtype: number
  storage: number
  /** Index into the tables' devices. */
  device: number
  /** Of {@link TensorFlag}. */
  flags: number
}

const NO_DIMS: readonly number[] = Object.freeze([])

/**
 * Frozen arrays of sizes or strides by where they stand. Most tensors share theirs with others of
 * the checkpoint, and what stands in one place is mostly one array.
 */
class DimsCache {
  readonly #places = new Uint32Array(256).fill(NO_INDEX)
  readonly #known: (readonly number[])[] = new Array(256).fill(NO_DIMS)

  /** Numbers [start, end) of `dims`. */
  at(dims: Float64Array, start: number, end: number): readonly number[] {
    if (start === end) return NO_DIMS
    const slot = start & 255
    if (this.#places[slot] === start) return this.#known[slot]!
    const made = Object.freeze(Array.from(dims.subarray(start, end)))
    this.#places[slot] = start
    this.#known[slot] = made
    return made
  }
}

function setLong(words: Uint32Array, word: number, value: number): void {
  words[word] = value % 2 ** 32
  words[word + 1] = Math.floor(value / 2 ** 32)
}

export class Catalog {
  #knownDims: DimsCache | undefined
  #lastStart = NO_INDEX
  #lastShape = NO_DIMS
  #tables: NativeTables
  readonly #added: { words: Uint32Array; dims: Float64Array }[] = []

  constructor(tables: NativeTables) {
    this.#tables = tables
  }

  get #dimsCache(): DimsCache {
    this.#knownDims ??= new DimsCache()
    return this.#knownDims
  }

  get tables(): NativeTables {
    return this.#tables
  }

  /** Takes the tables again after rows were added; rows never change or move. */
  update(tables: NativeTables): void {
    this.#tables = tables
  }

  /** Index into {@link LAYOUTS}. */
  layout(row: number): number {
    return (this.#word(row, TensorWord.kind) >>> 8) & 0xff
  }

  /** Of {@link TensorFlag}. */
  flags(row: number): number {
    return this.#word(row, TensorWord.kind) >>> 16
  }

  /** Elements from the start of the storage to the first one. */
  offset(row: number): number {
    return this.#long(row, TensorWord.offset)
  }

  /** Elements. */
  numel(row: number): number {
    return this.#long(row, TensorWord.numel)
  }

  ndim(row: number): number {
    return this.#word(row, TensorWord.ndim)
  }

  /**
   * Adds a row that is a view of another one; the caller has checked that it lies in the storage.
   */
  addView(row: number, view: View): number {
    return this.addLike(row, view, 0)
  }

  /** The same, with these of {@link TensorFlag}. */
  addLike(row: number, view: View, flags: number): number {
    return this.add({
      ...view,
      dtype: this.#word(row, TensorWord.kind) & 0xff,
      storage: this.#word(row, TensorWord.storage),
      device: this.#word(row, TensorWord.device),
      flags,
    })
  }

  /** Adds a strided row; `storage` and `device` are numbers, `flags` those that are no geometry. */
  add({ dtype, storage, device, flags, offset, sizes, strides }: AddedRow): number {
    const words = new Uint32Array(TensorWord.count)
    const all = flags | (isContiguous(sizes, strides) ? TensorFlag.contiguous : 0)
    const numel = sizes.reduce((a, b) => a * b, 1)
    words[TensorWord.kind] = dtype | (all << 16)
    words[TensorWord.storage] = storage
    setLong(words, TensorWord.offset, offset)
    setLong(words, TensorWord.numel, numel)
    words[TensorWord.ndim] = sizes.length
    words[TensorWord.device] = device
    words[TensorWord.extra] = NO_INDEX
    this.#added.push({ words, dims: Float64Array.of(...sizes, ...strides) })
    return FIRST_ADDED + this.#added.length - 1
  }

  dtype(row: number): DTypeInfo {
    const kind =
      row < FIRST_ADDED
        ? this.#tables.tensors[row * TensorWord.count + TensorWord.kind]!
        : this.#word(row, TensorWord.kind)
    return DTYPES[kind & 0xff]!
  }

  /** Whether the elements lie row-major in the storage, without gaps. */
  isContiguous(row: number): boolean {
    return (this.flags(row) & TensorFlag.contiguous) !== 0
  }

  /** Whether it is nested or jagged. Rows that were added are not. */
  isRagged(row: number): boolean {
    if (row >= FIRST_ADDED) return false
    const kind = this.#tables.tensors[row * TensorWord.count + TensorWord.kind]!
    return ((kind >>> 16) & TensorFlag.ragged) !== 0
  }

  /** Sizes in elements. */
  sizes(row: number): Float64Array {
    return this.#dims(row, 0)
  }

  /** Strides in elements. */
  strides(row: number): Float64Array {
    return this.#dims(row, this.ndim(row))
  }

  /** Sizes, frozen; nothing for a ragged row, of whose {@link sizes} one is -1. */
  shape(row: number): readonly number[] | undefined {
    if (row >= FIRST_ADDED) return Object.freeze([...this.sizes(row)])
    const { tensors, dims } = this.#tables
    const at = row * TensorWord.count
    if ((tensors[at + TensorWord.kind]! >>> 16) & TensorFlag.ragged) return undefined
    const start = tensors[at + TensorWord.dims]!
    const ndim = tensors[at + TensorWord.ndim]!
    // Tensors are mostly asked for in order, and neighbours are often of one shape.
    if (start !== this.#lastStart || ndim !== this.#lastShape.length) {
      this.#lastShape = this.#dimsCache.at(dims, start, start + ndim)
      this.#lastStart = start
    }
    return this.#lastShape
  }

  /** Strides, frozen. */
  stride(row: number): readonly number[] {
    if (row >= FIRST_ADDED) return Object.freeze([...this.strides(row)])
    const { tensors, dims } = this.#tables
    const at = row * TensorWord.count
    const ndim = tensors[at + TensorWord.ndim]!
    const start = tensors[at + TensorWord.dims]! + ndim
    return this.#dimsCache.at(dims, start, start + ndim)
  }

  #dims(row: number, from: number): Float64Array {
    const start = this.#word(row, TensorWord.dims) + from
    return this.#dimsOf(row).subarray(start, start + this.ndim(row))
  }

  #word(row: number, word: number): number {
    if (row >= FIRST_ADDED) return this.#added[row - FIRST_ADDED]!.words[word]!
    return this.#tables.tensors[row * TensorWord.count + word]!
  }

  #long(row: number, word: number): number {
    return this.#word(row, word) + 2 ** 32 * this.#word(row, word + 1)
  }

  /** Nothing for most tensors. */
  #extra(row: number, word: number): number | undefined {
    const extra = this.#word(row, TensorWord.extra)
    return extra === NO_INDEX ? undefined : this.#tables.extras[extra * ExtraWord.count + word]
  }

  /** Where the sizes and strides of a row stand among others. */
  #dimsOf(row: number): Float64Array {
    return row >= FIRST_ADDED ? this.#added[row - FIRST_ADDED]!.dims : this.#tables.dims
  }

  device(row: number): string {
    return this.#tables.devices[this.#word(row, TensorWord.device)]!
  }

  /** Number of the storage, or nothing. */
  storageOf(row: number): number | undefined {
    const storage = this.#word(row, TensorWord.storage)
    return storage === NO_INDEX ? undefined : storage
  }

  /** The storages of a tensor and of all its parts. */
  storagesOf(row: number): Set<number> {
    const found = new Set<number>()
    const seen = new Set<number>([row])
    for (const next of seen) {
      const storage = this.storageOf(next)
      if (storage !== undefined) found.add(storage)
      for (const [, part] of this.parts(next)) seen.add(part)
    }
    return found
  }

  quantizer(row: number): NativeQuantizer | undefined {
    return this.#tables.quantizers[this.#extra(row, ExtraWord.quantizer) ?? NO_INDEX]
  }

  /** The rows that a tensor of several parts is made of. */
  parts(row: number): readonly [PartRole, number][] {
    const length = this.#extra(row, ExtraWord.partCount) ?? 0
    if (length === 0) return NO_PARTS
    const first = this.#extra(row, ExtraWord.parts)!
    return Array.from({ length }, (_, i) => {
      const at = (first + i) * 2
      return [PART_ROLES[this.#tables.parts[at]!]!, this.#tables.parts[at + 1]!]
    })
  }

  part(row: number, role: PartRole): number | undefined {
    return this.parts(row).find(([name]) => name === role)?.[1]
  }

  get storageCount(): number {
    return this.#tables.storages.length / StorageColumn.count
  }

  /** Bytes. */
  storageBytes(index: number): number {
    return this.#tables.storages[index * StorageColumn.count + StorageColumn.bytes]!
  }

  /** Bytes stored of a deflated record; 0 where the bytes are not deflated. */
  deflatedBytes(index: number): number {
    return this.#tables.storages[index * StorageColumn.count + StorageColumn.deflated]!
  }

  /** One of {@link StoragePlace}. */
  storagePlace(index: number): number {
    return (this.#storageKind(index) >>> 8) & 3
  }

  /** Bytes per unit whose order must be reversed; 1 is none. */
  storageSwap(index: number): number {
    return (this.#storageKind(index) >>> 10) & 63
  }

  storageDType(index: number): DTypeInfo {
    return DTYPES[this.#storageKind(index) & 0xff]!
  }

  storageDevice(index: number): string {
    return this.#tables.devices[Math.floor(this.#storageKind(index) / 2 ** 16)]!
  }

  #storageKind(index: number): number {
    return this.#tables.storages[index * StorageColumn.count + StorageColumn.kind]!
  }

  storageKey(index: number): string {
    const { keys } = this.#tables
    return keys === undefined ? String(index) : stringAt(keys, index)
  }
}

/**
 * torch's rule: the stride of a dimension of 1 does not matter, and nothing does where there are no
 * elements.
 */
function isContiguous(sizes: readonly number[], strides: readonly number[]): boolean {
  if (sizes.includes(0)) return true
  let expected = 1
  for (let d = sizes.length - 1; d >= 0; --d) {
    if (sizes[d] === 1) continue
    if (strides[d] !== expected) return false
    expected *= sizes[d]!
  }
  return true
}
