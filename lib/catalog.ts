/**
 * The packed tables of a checkpoint: one row per tensor and storage, no object until somebody asks.
 */
import {
  type NativeQuantizer,
  type NativeTables,
  type PackedStrings,
  PART_ROLES,
  StorageColumn,
  TensorColumn,
} from './binding'
import { DTYPES, type DTypeInfo } from './dtype'

/** In columns that refer to other rows: none. */
const NO_INDEX = 0xffff_ffff

/** What a part is to the tensor it belongs to. */
export type PartRole = (typeof PART_ROLES)[number]

/** String `index` of many packed into one. */
export function stringAt({ text, ends }: PackedStrings, index: number): string {
  return text.slice(index === 0 ? 0 : ends[index - 1], ends[index])
}

export class Catalog {
  #tables: NativeTables

  constructor(tables: NativeTables) {
    this.#tables = tables
  }

  /** Takes the tables again after rows were added; rows never change or move. */
  update(tables: NativeTables): void {
    this.#tables = tables
  }

  tensor(row: number, column: keyof typeof TensorColumn): number {
    return this.#tables.tensors[row * TensorColumn.count + TensorColumn[column]]!
  }

  dtype(row: number): DTypeInfo {
    return DTYPES[this.tensor(row, 'dtype')]!
  }

  /** Sizes in elements. */
  sizes(row: number): Float64Array {
    const start = this.tensor(row, 'dims')
    return this.#tables.dims.subarray(start, start + this.tensor(row, 'ndim'))
  }

  /** Strides in elements. */
  strides(row: number): Float64Array {
    const start = this.tensor(row, 'dims') + this.tensor(row, 'ndim')
    return this.#tables.dims.subarray(start, start + this.tensor(row, 'ndim'))
  }

  device(row: number): string {
    return this.#tables.devices[this.tensor(row, 'device')]!
  }

  /** Number of the storage, or nothing. */
  storageOf(row: number): number | undefined {
    const storage = this.tensor(row, 'storage')
    return storage === NO_INDEX ? undefined : storage
  }

  quantizer(row: number): NativeQuantizer | undefined {
    return this.#tables.quantizers[this.tensor(row, 'quantizer')]
  }

  /** The rows that a tensor of several parts is made of. */
  parts(row: number): [PartRole, number][] {
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
    return stringAt(this.#tables.keys, index)
  }
}
