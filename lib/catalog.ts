/**
 * The packed tables of a checkpoint: one row per tensor and storage, no object until somebody asks.
 */
import {
  type NativeQuantizer,
  type NativeTables,
  PART_ROLES,
  type PackedStrings,
  StorageColumn,
  TensorColumn,
  TensorFlag,
} from './binding'
import { DTYPES, type DTypeInfo } from './dtype'

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

/**
 * Frozen arrays of sizes or strides. Most tensors share theirs with others of the checkpoint: equal
 * ones are the same array, mostly.
 */
class DimsCache {
  readonly #known: (readonly number[] | undefined)[] = Array.from({ length: 256 })

  /** Numbers [start, end) of `dims`. */
  at(dims: Float64Array, start: number, end: number): readonly number[] {
    let hash = end - start
    for (let i = start; i < end; ++i) hash = (Math.imul(hash, 31) + dims[i]!) | 0
    const slot = (hash ^ (hash >>> 8)) & 255
    const known = this.#known[slot]
    if (known !== undefined && isSame(known, dims, start, end)) return known
    const made: number[] = []
    for (let i = start; i < end; ++i) made.push(dims[i]!)
    this.#known[slot] = Object.freeze(made)
    return made
  }
}

function isSame(known: readonly number[], dims: Float64Array, start: number, end: number): boolean {
  if (known.length !== end - start) return false
  for (let i = start; i < end; ++i) {
    if (known[i - start] !== dims[i]) return false
  }
  return true
}

export class Catalog {
  readonly #dimsCache = new DimsCache()
  #tables: NativeTables
  readonly #added: { cells: number[]; dims: Float64Array }[] = []

  constructor(tables: NativeTables) {
    this.#tables = tables
  }

  /** Takes the tables again after rows were added; rows never change or move. */
  update(tables: NativeTables): void {
    this.#tables = tables
  }

  tensor(row: number, column: keyof typeof TensorColumn): number {
    return this.#cell(row, TensorColumn[column])
  }

  /**
   * Adds a row that is a view of another one; the caller has checked that it lies in the storage.
   */
  addView(row: number, view: View): number {
    return this.add({
      ...view,
      dtype: this.tensor(row, 'dtype'),
      storage: this.tensor(row, 'storage'),
      device: this.tensor(row, 'device'),
      flags: 0,
    })
  }

  /** Of {@link TensorFlag}. */
  flags(row: number): number {
    return this.#cell(row, TensorColumn.flags)
  }

  /** Adds a strided row; `storage` and `device` are numbers, `flags` those that are no geometry. */
  add({ dtype, storage, device, flags, offset, sizes, strides }: AddedRow): number {
    const cells: number[] = Array.from({ length: TensorColumn.count }, () => 0)
    cells[TensorColumn.dtype] = dtype
    cells[TensorColumn.storage] = storage
    cells[TensorColumn.device] = device
    const numel = sizes.reduce((a, b) => a * b, 1)
    cells[TensorColumn.flags] = flags | (isContiguous(sizes, strides) ? TensorFlag.contiguous : 0)
    cells[TensorColumn.offset] = offset
    cells[TensorColumn.ndim] = sizes.length
    cells[TensorColumn.quantizer] = NO_INDEX
    cells[TensorColumn.numel] = numel
    this.#added.push({ cells, dims: Float64Array.of(...sizes, ...strides) })
    return FIRST_ADDED + this.#added.length - 1
  }

  dtype(row: number): DTypeInfo {
    return DTYPES[this.#cell(row, TensorColumn.dtype)]!
  }

  /** Sizes in elements. */
  sizes(row: number): Float64Array {
    return this.#dims(row, 0)
  }

  /** Strides in elements. */
  strides(row: number): Float64Array {
    return this.#dims(row, this.tensor(row, 'ndim'))
  }

  /** Sizes, frozen. */
  shape(row: number): readonly number[] {
    const start = this.#cell(row, TensorColumn.dims)
    const ndim = this.#cell(row, TensorColumn.ndim)
    return this.#dimsCache.at(this.#dimsOf(row), start, start + ndim)
  }

  /** Strides, frozen. */
  stride(row: number): readonly number[] {
    const ndim = this.#cell(row, TensorColumn.ndim)
    const start = this.#cell(row, TensorColumn.dims) + ndim
    return this.#dimsCache.at(this.#dimsOf(row), start, start + ndim)
  }

  #dims(row: number, from: number): Float64Array {
    const start = this.tensor(row, 'dims') + from
    return this.#dimsOf(row).subarray(start, start + this.tensor(row, 'ndim'))
  }

  #cell(row: number, column: number): number {
    if (row >= FIRST_ADDED) return this.#added[row - FIRST_ADDED]!.cells[column]!
    return this.#tables.tensors[row * TensorColumn.count + column]!
  }

  /** Where the sizes and strides of a row stand among others. */
  #dimsOf(row: number): Float64Array {
    return row >= FIRST_ADDED ? this.#added[row - FIRST_ADDED]!.dims : this.#tables.dims
  }

  device(row: number): string {
    return this.#tables.devices[this.tensor(row, 'device')]!
  }

  /** Number of the storage, or nothing. */
  storageOf(row: number): number | undefined {
    const storage = this.tensor(row, 'storage')
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
    return this.#tables.quantizers[this.tensor(row, 'quantizer')]
  }

  /** The rows that a tensor of several parts is made of. */
  parts(row: number): readonly [PartRole, number][] {
    if (this.tensor(row, 'partCount') === 0) return NO_PARTS
    const first = this.tensor(row, 'parts')
    return Array.from({ length: this.tensor(row, 'partCount') }, (_, i) => {
      const at = (first + i) * 2
      return [PART_ROLES[this.#tables.parts[at]!]!, this.#tables.parts[at + 1]!]
    })
  }

  part(row: number, role: PartRole): number | undefined {
    return this.parts(row).find(([name]) => name === role)?.[1]
  }

  storage(index: number, column: keyof typeof StorageColumn): number {
    return this.#tables.storages[index * StorageColumn.count + StorageColumn[column]]!
  }

  storageDType(index: number): DTypeInfo {
    return DTYPES[this.storage(index, 'dtype')]!
  }

  storageDevice(index: number): string {
    return this.#tables.devices[this.storage(index, 'device')]!
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
