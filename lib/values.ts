/**
 * The elements of one tensor row: as they lie in the storage where that is possible, else gathered
 * or converted natively into a dense row-major copy.
 */
import { endianness } from 'node:os'
import { types } from 'node:util'
import { binding } from './binding'
import { type DTypeInfo, denseBytes, type TensorData } from './dtype'
import { isCheckpointError, UnsupportedError } from './errors'
import type { Session } from './session'
import { LAYOUTS, TensorFlag } from './tables'
import { LONGEST_BUFFER } from './windows'

const HOST_IS_LITTLE = endianness() === 'LE'

/**
 * The row that holds a tensor's elements: its own, or that of the local part of a sharded tensor
 * which is all on this rank.
 */
export function elementsRow(session: Session, row: number, name: string): number {
  const { catalog, path } = session
  const refuse = (message: string, feature: string) =>
    new UnsupportedError('UNSUPPORTED_LAYOUT', `tensor '${name}' ${message}`, { path }, feature)
  for (;;) {
    const flags = catalog.flags(row)
    if ((flags & TensorFlag.wrapper) !== 0) {
      const local = catalog.part(row, 'local')
      if (local === undefined) {
        throw refuse('is a subclass that keeps its values elsewhere in the root', 'subclass')
      }
      const [whole, part] = [catalog.sizes(row), catalog.sizes(local)]
      if (whole.length !== part.length || whole.some((size, i) => size !== part[i])) {
        throw refuse(
          `has only the shard [${part.join(', ')}] in this file; it is the part 'local'`,
          'shard',
        )
      }
      row = local
      continue
    }
    const layout = LAYOUTS[catalog.layout(row)]!
    if (layout.startsWith('sparse')) {
      const roles = catalog.parts(row).map(([role]) => role)
      throw refuse(`is ${layout}: read its parts (${roles.join(', ')}) or call toDense()`, layout)
    }
    if ((flags & TensorFlag.ragged) !== 0) {
      throw refuse('is nested: read its rows() or its values', 'nested')
    }
    if ((flags & TensorFlag.meta) !== 0 || catalog.storageOf(row) === undefined) {
      throw refuse('is a meta tensor, which has a shape but no elements', 'meta')
    }
    return row
  }
}

/** Bytes of the elements, dense; of a sparse or sharded tensor those of its parts. */
export function heldBytes({ catalog }: Session, row: number): number {
  const bytesOf = (own: number) => denseBytes(catalog.dtype(own), catalog.numel(own))
  const isSparse = LAYOUTS[catalog.layout(row)]!.startsWith('sparse')
  const isOfParts = isSparse || (catalog.flags(row) & TensorFlag.wrapper) !== 0
  const parts = catalog.parts(row)
  if (!isOfParts || parts.length === 0) return bytesOf(row)
  return parts.reduce((sum, [, part]) => sum + bytesOf(part), 0)
}

/** Whether the elements lie row-major in the storage, with the values they stand for. */
export function isDirect(session: Session, row: number): boolean {
  const flags = session.catalog.flags(row)
  return (
    (flags & TensorFlag.contiguous) !== 0 &&
    (flags & (TensorFlag.conjugate | TensorFlag.negative)) === 0
  )
}

/** Bytes from the start of the storage to the first element. */
export function firstByte(session: Session, row: number, name: string): number {
  const bits = session.catalog.offset(row) * session.catalog.dtype(row).bits
  if (bits % 8 === 0) return bits / 8
  const message = `tensor '${name}' begins in the middle of a byte`
  throw new UnsupportedError('UNSUPPORTED_LAYOUT', message, { path: session.path }, 'packed views')
}

/** Bytes [start, end) of a storage. */
export interface Range {
  storage: number
  start: number
  end: number
}

/** Where the elements lie in a file, row-major and in host order; nothing where they do not. */
export function fileRange(session: Session, row: number, name: string): Range | undefined {
  const { catalog, storages } = session
  const storage = catalog.storageOf(row)
  if (storage === undefined || !storages.isInFile(storage) || !isDirect(session, row)) return
  const start = firstByte(session, row, name)
  return { storage, start, end: start + denseBytes(catalog.dtype(row), catalog.numel(row)) }
}

/** Whether {@link elements} is a view rather than a copy. */
export function isView(session: Session, row: number): boolean {
  const { catalog, storages } = session
  const storage = catalog.storageOf(row)
  if (storage === undefined || catalog.numel(row) === 0) return false
  if (!isDirect(session, row) || !storages.isPlain(storage)) return false
  const dtype = catalog.dtype(row)
  const start = firstByte(session, row, '')
  const end = start + denseBytes(dtype, catalog.numel(row))
  return storages.span(storage, start, end, dtype.array.BYTES_PER_ELEMENT).zeroCopy
}

/** The same for any tensor; those without elements have no view of them. */
export function isZeroCopy(session: Session, row: number, name: string): boolean {
  try {
    return isView(session, elementsRow(session, row, name))
  } catch (error) {
    if (isCheckpointError(error, 'UNSUPPORTED_LAYOUT')) return false
    throw error
  }
}

/** The elements as a row-major typed array, the same one each time. */
export function elements(session: Session, row: number, name: string): TensorData {
  const known = session.data.get(row)
  if (known !== undefined) return known
  const { array } = session.catalog.dtype(row)
  let data: TensorData
  if (session.catalog.numel(row) === 0) {
    data = new array(new ArrayBuffer(0))
  } else if (isDirect(session, row)) {
    data = view(session, row, name)
  } else {
    data = new array(gather(session, row, name))
  }
  session.data.set(row, data)
  return data
}

function view(session: Session, row: number, name: string): TensorData {
  const { catalog, storages } = session
  const dtype = catalog.dtype(row)
  const start = firstByte(session, row, name)
  const bytes = denseBytes(dtype, catalog.numel(row))
  const unit = dtype.array.BYTES_PER_ELEMENT
  const span = storages.span(catalog.storageOf(row)!, start, start + bytes, unit)
  return new dtype.array(span.buffer, span.byteOffset, bytes / unit)
}

/**
 * Bytes that a view with strides reaches over can be few while its elements are many: a stride of 0
 * repeats.
 */
function gather(session: Session, row: number, name: string): ArrayBuffer {
  const { catalog, storages, path } = session
  const dtype = catalog.dtype(row)
  if (dtype.bits < 8) {
    const message = `tensor '${name}' is a strided view of packed ${dtype.name} elements`
    throw new UnsupportedError('UNSUPPORTED_LAYOUT', message, { path }, 'packed views')
  }
  const bytes = catalog.numel(row) * dtype.bytes
  session.checkCopy(bytes)
  checkLength(session, bytes)
  const sizes = catalog.sizes(row)
  const strides = catalog.strides(row)
  const extent = sizes.reduce((sum, size, i) => sum + (size - 1) * strides[i]!, 1)
  const start = catalog.offset(row) * dtype.bytes
  const end = start + extent * dtype.bytes
  const span = storages.span(catalog.storageOf(row)!, start, end, dtype.array.BYTES_PER_ELEMENT)
  const target = new ArrayBuffer(bytes)
  const flags = catalog.flags(row) & (TensorFlag.conjugate | TensorFlag.negative)
  binding.gather(memory(span.buffer), span.byteOffset, dtype.index, sizes, strides, flags, target)
  return target
}

/** A buffer as the addon can look into it: shared memory only through a view. */
export function memory(buffer: ArrayBufferLike): ArrayBuffer | Uint8Array {
  return types.isSharedArrayBuffer(buffer) ? new Uint8Array(buffer) : (buffer as ArrayBuffer)
}

function checkLength(session: Session, bytes: number): void {
  if (bytes <= LONGEST_BUFFER) return
  const message = `a copy needs ${bytes} bytes, an ArrayBuffer has ${LONGEST_BUFFER} at most here`
  throw new UnsupportedError(
    'UNSUPPORTED_RUNTIME',
    message,
    { path: session.path },
    'long ArrayBuffers',
  )
}

/** Bytes [start, end) of the dense row-major form, little-endian. */
export function elementBytes(
  session: Session,
  row: number,
  name: string,
  start: number,
  end: number,
): Uint8Array {
  const { catalog, storages } = session
  const dtype = catalog.dtype(row)
  const bytes = denseBytes(dtype, catalog.numel(row))
  let data: { buffer: ArrayBufferLike; byteOffset: number }
  if (start < end && !session.data.has(row) && isDirect(session, row)) {
    const storage = catalog.storageOf(row)!
    const first = firstByte(session, row, name)
    if (storages.isLong(storage)) {
      // A window for every piece would stay for as long as the checkpoint; a copy does not.
      const from = HOST_IS_LITTLE ? start : start - (start % dtype.unit)
      const to = HOST_IS_LITTLE ? end : Math.ceil(end / dtype.unit) * dtype.unit
      const copy = storages.copy(storage, first + from, first + to)
      if (!HOST_IS_LITTLE && dtype.unit > 1) binding.swap(copy, dtype.unit)
      return new Uint8Array(copy, start - from, end - start)
    }
    data = storages.span(storage, first, first + bytes, dtype.array.BYTES_PER_ELEMENT)
  } else {
    data = elements(session, row, name)
  }
  if (HOST_IS_LITTLE || dtype.unit === 1)
    return new Uint8Array(data.buffer, data.byteOffset + start, end - start)
  const swapped = new Uint8Array(data.buffer, data.byteOffset, bytes).slice()
  binding.swap(swapped.buffer, dtype.unit)
  return swapped.subarray(start, end)
}

/** Real elements as float32; float32 ones as they are. */
export function float32(session: Session, row: number, name: string): Float32Array {
  const dtype = session.catalog.dtype(row)
  if (dtype.kind === 'Complex' || dtype.kind === 'Bits' || dtype.kind === 'Quantized') {
    const message = `tensor '${name}' is ${dtype.name}, whose elements are no real numbers`
    throw new UnsupportedError('UNSUPPORTED_DTYPE', message, { path: session.path }, dtype.name)
  }
  const data = elements(session, row, name)
  if (dtype.name === 'float32') return data as Float32Array
  const target = float32Target(session, data.length)
  binding.toFloat32(memory(data.buffer), data.byteOffset, dtype.index, data.length, target)
  return new Float32Array(target)
}

/** How quantised elements stand for real numbers: one scale, or one for each index along `axis`. */
export interface Scaling {
  scales: Float64Array
  zeroPoints: Float64Array
  /** Nothing: one scale for all. */
  axis: number | undefined
}

/** (q - zeroPoint) * scale for each element. */
export function dequantized(
  session: Session,
  row: number,
  name: string,
  { scales, zeroPoints, axis }: Scaling,
): Float32Array {
  const { catalog } = session
  const count = catalog.numel(row)
  const data = elements(session, row, name)
  const target = float32Target(session, count)
  if (count > 0) {
    const sizes = catalog.sizes(row)
    const product = (from: number, to?: number) =>
      sizes.subarray(from, to).reduce((a, b) => a * b, 1)
    const shape =
      axis === undefined ? [1, 1, count] : [product(0, axis), sizes[axis]!, product(axis + 1)]
    const { index }: DTypeInfo = catalog.dtype(row)
    binding.dequantize(
      memory(data.buffer),
      data.byteOffset,
      index,
      Float64Array.from(shape),
      scales,
      zeroPoints,
      target,
    )
  }
  return new Float32Array(target)
}

function float32Target(session: Session, count: number): ArrayBuffer {
  session.checkCopy(count * 4)
  checkLength(session, count * 4)
  return new ArrayBuffer(count * 4)
}
