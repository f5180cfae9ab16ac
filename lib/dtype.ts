/**
 * Every dtype, once, in the order of native/core/torch/dtypes.def: a dtype's number on the native
 * side is its place in this table.
 */

/**
 * - `Float`, `Int`, `Bool`: real numbers
 * - `Complex`: pairs of (real, imaginary)
 * - `Quantized`: integers that stand for real numbers
 * - `Bits`: bytes without a numeric meaning here
 */
export type DTypeKind = 'Float' | 'Complex' | 'Int' | 'Bool' | 'Quantized' | 'Bits'

/** What elements are given in. */
export type TensorData =
  | Float32Array
  | Float64Array
  | Int8Array
  | Int16Array
  | Int32Array
  | BigInt64Array
  | Uint8Array
  | Uint16Array
  | Uint32Array
  | BigUint64Array

interface TensorDataConstructor {
  readonly BYTES_PER_ELEMENT: number
  new (buffer: ArrayBufferLike, byteOffset?: number, length?: number): TensorData
}

// name, bytes of a storage element, bytes of the unit that byte order applies to, bits of a tensor
// element, kind, array
const TABLE = [
  ['uint8', 1, 1, 8, 'Int', Uint8Array],
  ['int8', 1, 1, 8, 'Int', Int8Array],
  ['int16', 2, 2, 16, 'Int', Int16Array],
  ['int32', 4, 4, 32, 'Int', Int32Array],
  ['int64', 8, 8, 64, 'Int', BigInt64Array],
  ['float16', 2, 2, 16, 'Float', Uint16Array],
  ['float32', 4, 4, 32, 'Float', Float32Array],
  ['float64', 8, 8, 64, 'Float', Float64Array],
  ['complex32', 4, 2, 32, 'Complex', Uint16Array],
  ['complex64', 8, 4, 64, 'Complex', Float32Array],
  ['complex128', 16, 8, 128, 'Complex', Float64Array],
  ['bool', 1, 1, 8, 'Bool', Uint8Array],
  ['qint8', 1, 1, 8, 'Quantized', Int8Array],
  ['quint8', 1, 1, 8, 'Quantized', Uint8Array],
  ['qint32', 4, 4, 32, 'Quantized', Int32Array],
  ['bfloat16', 2, 2, 16, 'Float', Uint16Array],
  ['quint4x2', 1, 1, 4, 'Quantized', Uint8Array],
  ['quint2x4', 1, 1, 2, 'Quantized', Uint8Array],
  ['bits1x8', 1, 1, 8, 'Bits', Uint8Array],
  ['bits2x4', 1, 1, 8, 'Bits', Uint8Array],
  ['bits4x2', 1, 1, 8, 'Bits', Uint8Array],
  ['bits8', 1, 1, 8, 'Bits', Uint8Array],
  ['bits16', 2, 2, 16, 'Bits', Uint16Array],
  ['float8_e5m2', 1, 1, 8, 'Float', Uint8Array],
  ['float8_e4m3fn', 1, 1, 8, 'Float', Uint8Array],
  ['float8_e5m2fnuz', 1, 1, 8, 'Float', Uint8Array],
  ['float8_e4m3fnuz', 1, 1, 8, 'Float', Uint8Array],
  ['uint16', 2, 2, 16, 'Int', Uint16Array],
  ['uint32', 4, 4, 32, 'Int', Uint32Array],
  ['uint64', 8, 8, 64, 'Int', BigUint64Array],
  ['float8_e8m0fnu', 1, 1, 8, 'Float', Uint8Array],
  ['float4_e2m1fn_x2', 1, 1, 8, 'Bits', Uint8Array],
  ['bcomplex32', 4, 2, 32, 'Complex', Uint16Array],
] as const satisfies readonly (readonly [
  string,
  number,
  number,
  number,
  DTypeKind,
  TensorDataConstructor,
])[]

/** torch's name of a dtype, without `torch.`. */
export type DType = (typeof TABLE)[number][0]

export interface DTypeInfo {
  readonly name: DType
  /** Place in this table. */
  readonly index: number
  /** Bytes of one storage element; packed dtypes keep several tensor elements in one. */
  readonly bytes: number
  /** Bytes of the unit that byte order applies to: a complex number is two of them. */
  readonly unit: number
  /** Bits of one tensor element. */
  readonly bits: number
  readonly kind: DTypeKind
  /**
   * Elements of 16-bit and 8-bit floats, and the halves of complex32, are bit patterns: the same on
   * every Node, whether it has a Float16Array or not.
   */
  readonly array: TensorDataConstructor
}

export const DTYPES: readonly DTypeInfo[] = TABLE.map(
  ([name, bytes, unit, bits, kind, array], index) => ({
    name,
    index,
    bytes,
    unit,
    bits,
    kind,
    array,
  }),
)

/** Bytes that `count` elements take, row-major and without gaps. */
export function denseBytes(dtype: DTypeInfo, count: number): number {
  return dtype.bits % 8 === 0 ? (count * dtype.bits) / 8 : Math.ceil((count * dtype.bits) / 8)
}
