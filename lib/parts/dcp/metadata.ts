/**
 * The index of a distributed checkpoint, `.metadata`: a pickle of a `Metadata` object, checked here
 * and brought into a table of items. What is wrong with one item is kept with it.
 * Source: torch/distributed/checkpoint/metadata.py, filesystem.py (v2.13).
 */
import { DTYPES, type DTypeInfo } from '../../dtype'
import {
  type CheckpointError,
  FormatError,
  isCheckpointError,
  UnsupportedError,
} from '../../errors'
import { PyObject } from '../../python'
import { isInside } from '../index-file'
import type { Budget } from './budget'
import type { Chunk, Item, Path, Place, Table, TensorItem } from './table'
import { cornersOf, count, fault } from './tiling'

/** torch refuses tensors of more dimensions in most places. */
const MOST_DIMENSIONS = 64

const BY_NAME = new Map<unknown, DTypeInfo>(DTYPES.map((dtype) => [dtype.name, dtype]))

/**
 * @param root of the pickle
 * @param budget for work that sharing inside the pickle multiplies
 * @throws {@link FormatError} `BAD_INDEX` when it is no index at all
 */
export function tableOf(root: unknown, path: string, budget: Budget): Table {
  return new Reader(path, budget).table(root)
}

class Reader {
  readonly #path: string
  readonly #budget: Budget
  readonly #places = new Map<string, unknown>()
  /** Names of files that lie inside the directory. */
  readonly #files = new Set<string>()

  constructor(path: string, budget: Budget) {
    this.#path = path
    this.#budget = budget
  }

  table(root: unknown): Table {
    const state = root instanceof PyObject ? root.state : undefined
    const listed = state instanceof Map ? state.get('state_dict_metadata') : undefined
    if (!(state instanceof Map) || !(listed instanceof Map)) {
      throw this.#bad('it holds no Metadata object with a dict state_dict_metadata')
    }
    const stored = state.get('storage_data')
    if (!(stored instanceof Map)) throw this.#bad('it has no dict storage_data')
    for (const [index, info] of stored) this.#store(index, info)
    const items = new Map<string, Item>()
    for (const [name, entry] of listed) {
      if (typeof name !== 'string') throw this.#bad('the name of an item is no str')
      items.set(name, this.#item(name, entry))
    }
    const planned = state.get('planner_data')
    if (!(planned instanceof Map) || planned.size === 0) return { items, paths: undefined }
    const paths = new Map<string, Path>()
    for (const [name, keys] of planned) {
      if (typeof name === 'string' && this.#isPath(keys)) paths.set(name, keys)
    }
    return { items, paths }
  }

  /** An entry that names no item belongs to none; the item that lacks it says so. */
  #store(index: unknown, info: unknown): void {
    const fields = index instanceof PyObject && index.state instanceof Map ? index.state : undefined
    const name: unknown = fields?.get('fqn')
    if (typeof name !== 'string') return
    const offset = fields!.get('offset') ?? null
    if (offset !== null && !isSizes(offset)) return
    this.#places.set(this.#key(name, offset), info)
  }

  #key(name: string, offsets: readonly number[] | null): string {
    this.#budget.charge(name.length + (offsets?.length ?? 0) + 1)
    return offsets === null ? `bytes ${name}` : `${offsets.join(',')} ${name}`
  }

  #item(name: string, entry: unknown): Item {
    try {
      if (entry instanceof PyObject && entry.name === 'BytesStorageMetadata') {
        return { kind: 'bytes', place: this.#place(name, null) }
      }
      return this.#tensor(
        name,
        this.#fields(entry, 'TensorStorageMetadata', () => `item '${name}'`),
      )
    } catch (error) {
      return { kind: 'broken', error: kept(error) }
    }
  }

  #tensor(name: string, fields: ReadonlyMap<unknown, unknown>): TensorItem {
    const what = `tensor '${name}'`
    const properties = fields.get('properties')
    const state = properties instanceof PyObject ? properties.state : undefined
    const [dtypeName, layout, requiresGrad] = Array.isArray(state) ? state : []
    const dtype = BY_NAME.get(dtypeName)
    if (dtype === undefined) throw this.#bad(`${what} has no known dtype`)
    if (dtype.kind === 'Quantized') {
      throw this.#unsupported('UNSUPPORTED_DTYPE', `${what} is ${dtype.name}`, dtype.name)
    }
    if (layout !== 'strided') {
      throw this.#unsupported('UNSUPPORTED_LAYOUT', `${what} is ${shown(layout)}`, shown(layout))
    }
    const shape = this.#sizes(fields.get('size'), () => `the size of ${what}`)
    const known = { kind: 'tensor', dtype, shape, requiresGrad: requiresGrad === true } as const
    if (!Number.isSafeInteger(count(shape) * dtype.bytes)) {
      throw this.#bad(`${what} has [${shape.join(', ')}] elements`)
    }
    try {
      return { ...known, chunks: this.#chunks(name, known, fields.get('chunks')) }
    } catch (error) {
      return { ...known, chunks: [], error: kept(error) }
    }
  }

  #chunks(name: string, { shape, dtype }: Pick<TensorItem, 'shape' | 'dtype'>, list: unknown) {
    if (!Array.isArray(list)) throw this.#bad(`tensor '${name}' has no list of chunks`)
    const what = `a chunk of tensor '${name}'`
    const chunks: Chunk[] = []
    const taken = new Set<string>()
    for (const entry of list) {
      this.#budget.charge(shape.length + 1)
      const fields = this.#fields(entry, 'ChunkStorageMetadata', () => what)
      const offsets = this.#sizes(fields.get('offsets'), () => `the offset of ${what}`)
      const sizes = this.#sizes(fields.get('sizes'), () => `the size of ${what}`)
      if (
        offsets.length !== shape.length ||
        sizes.length !== shape.length ||
        shape.some((size, d) => offsets[d]! > size || sizes[d]! > size - offsets[d]!)
      ) {
        const box = `[${sizes.join(', ')}] at [${offsets.join(', ')}]`
        throw this.#bad(`${what} is ${box}, outside the tensor's [${shape.join(', ')}]`)
      }
      // Ranks without a share write empty chunks, all at the same place.
      if (sizes.includes(0)) continue
      const place = this.#place(name, offsets)
      const bytes = count(sizes) * dtype.bytes
      if (bytes > place.length) {
        throw this.#bad(`${what} needs ${bytes} bytes but has ${place.length} in '${place.file}'`)
      }
      if (taken.size === taken.add(offsets.join()).size) {
        const twice = `its chunks overlap: two of them are at [${offsets.join(', ')}]`
        throw this.#bad(`tensor '${name}' is not whole: ${twice}`)
      }
      chunks.push({ offsets, sizes, place })
    }
    if (isWhole(shape, chunks)) return chunks
    const corners = cornersOf(shape, chunks)
    if (corners === undefined) {
      const message = `tensor '${name}' is cut along more than 8 dimensions`
      throw this.#unsupported('UNSUPPORTED_LAYOUT', message, 'cuts')
    }
    this.#budget.charge(corners)
    const found = fault(shape, chunks)
    if (found !== undefined) throw this.#bad(`tensor '${name}' is not whole: ${found}`)
    return chunks
  }

  #place(name: string, offsets: readonly number[] | null): Place {
    const info = this.#places.get(this.#key(name, offsets))
    const at = offsets === null || offsets.length === 0 ? '' : ` at [${offsets.join(', ')}]`
    if (info === undefined) throw this.#bad(`no file is named for '${name}'${at}`)
    const fields = this.#fields(info, '_StorageInfo', () => `the place of '${name}'`)
    const [file, offset, length] = [
      fields.get('relative_path'),
      fields.get('offset'),
      fields.get('length'),
    ]
    if (typeof file === 'string') this.#budget.charge(file.length)
    if (typeof file !== 'string' || !this.#isFile(file)) {
      throw this.#bad(`'${name}' is said to be in '${shown(file)}', outside the directory`)
    }
    if (!isCount(offset) || !isCount(length)) {
      throw this.#bad(`'${name}' is at no possible place of '${file}'`)
    }
    const transforms = fields.get('transform_descriptors') ?? null
    if (transforms !== null && !(Array.isArray(transforms) && transforms.length === 0)) {
      const names = Array.isArray(transforms) ? transforms.slice(0, 3).map(shown) : ['?']
      const message = `'${name}' in '${file}' is packed with ${names.join(', ')}`
      throw this.#unsupported('UNSUPPORTED_COMPRESSION', message, names.join(', '))
    }
    return { file, offset, length }
  }

  #isFile(name: string): boolean {
    if (this.#files.has(name)) return true
    if (name === '' || !isInside(name)) return false
    this.#files.add(name)
    return true
  }

  #fields(value: unknown, wanted: string, what: () => string): ReadonlyMap<unknown, unknown> {
    if (value instanceof PyObject && value.name === wanted && value.state instanceof Map) {
      return value.state
    }
    throw this.#bad(`${what()} is no ${wanted}`)
  }

  #sizes(value: unknown, what: () => string): readonly number[] {
    if (isSizes(value)) return value
    throw this.#bad(`${what()} is no list of sizes`)
  }

  #isPath(keys: unknown): keys is Path {
    if (!Array.isArray(keys) || keys.length === 0) return false
    this.#budget.charge(keys.length)
    return keys.every((key) => typeof key === 'string' || isCount(key))
  }

  #bad(message: string): FormatError {
    return new FormatError('BAD_INDEX', `the index is wrong: ${message}`, { path: this.#path })
  }

  #unsupported(
    code: 'UNSUPPORTED_DTYPE' | 'UNSUPPORTED_LAYOUT' | 'UNSUPPORTED_COMPRESSION',
    message: string,
    feature: string,
  ): UnsupportedError {
    return new UnsupportedError(code, message, { path: this.#path }, feature)
  }
}

function isSizes(value: unknown): value is readonly number[] {
  return Array.isArray(value) && value.length <= MOST_DIMENSIONS && value.every(isCount)
}

/** Whether the only chunk is all of the tensor, as of those that are not cut. */
function isWhole(shape: readonly number[], chunks: readonly Chunk[]): boolean {
  return chunks.length === 1 && shape.every((size, d) => size === chunks[0]!.sizes[d])
}

/** What a message can show of a value that should be something else. */
function shown(value: unknown): string {
  return typeof value === 'string' ? value.slice(0, 100) : `a ${typeof value}`
}

function isCount(value: unknown): value is number {
  return Number.isSafeInteger(value) && (value as number) >= 0
}

/** An error that concerns one item only. */
function kept(error: unknown): CheckpointError {
  if (isCheckpointError(error) && error.code !== 'LIMIT_WORK') return error
  throw error
}
