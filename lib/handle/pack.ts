/** The tables of one file in one piece of memory, and the other way round. */
import { isAbsolute, resolve } from 'node:path'
import { types } from 'node:util'
import { wrongType, wrongValue } from '../arguments'
import type { NativeQuantizer, Opened, PackedStrings } from '../binding'
import { stringAt } from '../catalog'
import { StorageColumn, StoragePlace } from '../tables'
import type { NamedRows } from '../tensor-map'
import { type FileHandle, type KeptOptions, listOf, VERSION } from './shape'

/** Tables of float64, then those of uint32, so that each begins where its numbers can. */
const REALS = ['dims', 'storages', 'places', 'quantizers'] as const
const WORDS = [
  'tensors',
  'extras',
  'parts',
  'named',
  'nameEnds',
  'keyEnds',
  'weights',
  'weightEnds',
] as const

type Tables = Record<(typeof REALS)[number], Float64Array> &
  Record<(typeof WORDS)[number], Uint32Array>

/** Tables over one piece of memory. */
export interface PackedTables extends Tables {
  /** All of it. */
  bytes: Uint8Array
  /** How many numbers each table has, in the order of the tables. */
  counts: Float64Array
}

const NONE = new Uint32Array(0)

/** What a handle is made of. */
export interface HandleParts {
  path: string
  options: KeptOptions
  opened: Opened
  /** Rows of tensors as they are now: code of TorchScript adds flags to them. */
  tensors: Uint32Array
  /** For each storage where its bytes begin in the file, or -1. */
  offsets: Float64Array
  /** The state dict, where its rows are those of {@link tensors}. */
  weights: NamedRows | undefined
}

export function fileHandle(parts: HandleParts): FileHandle {
  const { opened, options, tensors, weights } = parts
  const { device, inode, size, mtimeNs } = opened.identity
  const isAll = weights !== undefined && isSame(weights, opened)
  const own = isAll ? undefined : weights
  const packed = pack({
    dims: opened.dims,
    storages: placed(opened.storages, parts.offsets),
    places: parts.offsets,
    quantizers: numbersOf(opened.quantizers),
    tensors,
    extras: opened.extras,
    parts: opened.parts,
    named: opened.named,
    nameEnds: opened.names.ends,
    keyEnds: opened.keys?.ends ?? NONE,
    weights: own?.named ?? NONE,
    weightEnds: own?.names.ends ?? NONE,
  })
  const handle: FileHandle = {
    version: VERSION,
    kind: 'file',
    path: parts.path,
    options,
    identity: {
      device: String(device),
      inode: String(inode),
      size: String(size),
      mtimeNs: String(mtimeNs),
    },
    format: opened.format,
    era: opened.era,
    byteOrder: opened.byteOrder,
    rootClass: opened.rootClass,
    salvaged: opened.salvaged,
    distinct: opened.distinct,
    skipped: opened.skipped.map(({ name, code, message }) => ({ name, code, message })),
    devices: [...opened.devices],
    metadata: opened.metadata === undefined ? null : stringsOf(opened.metadata),
    names: opened.names.text,
    keys: opened.keys?.text ?? null,
    weights: isAll ? true : (own?.names.text ?? null),
    weightsDistinct: own?.distinct ?? opened.distinct,
    ...packed,
  }
  // For processes that are sent JSON. Not enumerable: functions cannot be cloned.
  const toJSON = () => ({ ...handle, tables: Buffer.from(packed.tables).toString('base64') })
  return Object.defineProperty(handle, 'toJSON', { value: toJSON })
}

/** A path that leads to the same file wherever the process stands. */
export function absolute(path: string): string {
  return isAbsolute(path) ? path : resolve(path)
}

function pack(tables: Tables): Pick<FileHandle, 'counts'> & { tables: Uint8Array } {
  const all = [...REALS.map((name) => tables[name]), ...WORDS.map((name) => tables[name])]
  const packed = new Uint8Array(all.reduce((sum, { byteLength }) => sum + byteLength, 0))
  let at = 0
  for (const { buffer, byteOffset, byteLength } of all) {
    packed.set(new Uint8Array(buffer, byteOffset, byteLength), at)
    at += byteLength
  }
  return { counts: all.map(({ length }) => length), tables: packed }
}

/** @throws TypeError, RangeError for what {@link pack} does not make */
export function unpack(counts: unknown, given: unknown): PackedTables {
  const wanted = listOf(counts, 'handle.counts', countOf)
  const bytes = memoryOf(given)
  const needed = wanted.reduce((sum, count, i) => sum + (i < REALS.length ? 8 : 4) * count, 0)
  if (wanted.length !== REALS.length + WORDS.length || needed !== bytes.length) {
    throw wrongValue('handle.tables', `the ${needed} bytes that handle.counts says`, bytes.length)
  }
  let [at, i] = [bytes.byteOffset, 0]
  const next = <T extends ArrayBufferView>(
    type: new (buffer: ArrayBufferLike, at: number, count: number) => T,
  ): T => {
    const table = new type(bytes.buffer, at, wanted[i++]!)
    at += table.byteLength
    return table
  }
  // In the order of the lists above.
  return {
    bytes,
    counts: Float64Array.from(wanted),
    dims: next(Float64Array),
    storages: next(Float64Array),
    places: next(Float64Array),
    quantizers: next(Float64Array),
    tensors: next(Uint32Array),
    extras: next(Uint32Array),
    parts: next(Uint32Array),
    named: next(Uint32Array),
    nameEnds: next(Uint32Array),
    keyEnds: next(Uint32Array),
    weights: next(Uint32Array),
    weightEnds: next(Uint32Array),
  }
}

function countOf(value: unknown, name: string): number {
  if (Number.isSafeInteger(value) && (value as number) >= 0) return value as number
  throw wrongValue(name, 'a count', value)
}

/** Memory of this thread alone, where float64 can begin. */
function memoryOf(given: unknown): Uint8Array {
  if (typeof given === 'string') return new Uint8Array(Buffer.from(given, 'base64'))
  if (!types.isUint8Array(given)) throw wrongType('handle.tables', 'a Uint8Array', given)
  const { buffer, byteOffset } = given
  const isOwn =
    types.isArrayBuffer(buffer) && (buffer as { resizable?: boolean }).resizable !== true
  return isOwn && byteOffset % 8 === 0 ? given : new Uint8Array(given)
}

/** Records become places in the file; what has no place is in what the decoded pickle has. */
function placed(storages: Float64Array, offsets: Float64Array): Float64Array {
  const all = storages.slice()
  for (const [i, offset] of offsets.entries()) {
    const at = i * StorageColumn.count + StorageColumn.kind
    const kind = all[at]!
    const place = Math.floor(kind / 2 ** 8) % 4
    if (place === StoragePlace.nowhere || place === StoragePlace.memory) continue
    all[at] = kind + ((offset < 0 ? StoragePlace.memory : StoragePlace.file) - place) * 2 ** 8
  }
  return all
}

function isSame(rows: NamedRows, all: NamedRows): boolean {
  return (
    rows.names.text === all.names.text &&
    sameBytes(rows.named, all.named) &&
    sameBytes(rows.names.ends, all.names.ends)
  )
}

export function sameBytes(a: ArrayBufferView, b: ArrayBufferView): boolean {
  const [left, right] = [a, b].map((view) =>
    Buffer.from(view.buffer as ArrayBuffer, view.byteOffset, view.byteLength),
  )
  return left!.equals(right!)
}

/** Scheme, scale, zero point, axis, how many scales and zero points, and those; of each. */
function numbersOf(quantizers: readonly NativeQuantizer[]): Float64Array {
  return Float64Array.from(
    quantizers.flatMap(({ scheme, scale, zeroPoint, axis, scales, zeroPoints }) => [
      scheme,
      scale,
      zeroPoint,
      axis,
      scales.length,
      zeroPoints.length,
      ...scales,
      ...zeroPoints,
    ]),
  )
}

/** Only for numbers that were checked. */
export function quantizersOf(numbers: Float64Array): NativeQuantizer[] {
  const all: NativeQuantizer[] = []
  for (let at = 0; at < numbers.length; ) {
    const [scheme, scale, zeroPoint, axis, scales, zeros] = numbers.subarray(at, at + 6)
    const middle = at + 6 + scales!
    all.push({
      scheme: scheme!,
      scale: scale!,
      zeroPoint: zeroPoint!,
      axis: axis!,
      scales: numbers.slice(at + 6, middle),
      zeroPoints: numbers.slice(middle, middle + zeros!),
    })
    at = middle + zeros!
  }
  return all
}

function stringsOf(packed: PackedStrings): string[] {
  return Array.from(packed.ends, (_, i) => stringAt(packed, i))
}

/** The other way round. */
export function packedStrings(strings: readonly string[]): PackedStrings {
  let end = 0
  const ends = Uint32Array.from(strings, (text) => {
    end += text.length
    return end
  })
  return { text: strings.join(''), ends }
}
