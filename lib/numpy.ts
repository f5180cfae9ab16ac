/**
 * numpy arrays that lie in the pickle itself.
 * Source: numpy/core/src/multiarray/methods.c, array_reduce (v1.24 and v2.4).
 */
import { inspect } from 'node:util'
import { binding } from './binding'
import type { TensorData } from './dtype'
import { UnsupportedError } from './errors'
import { fixedStrings } from './python'
import { Session } from './session'
import type { Tensor } from './tensor'

/**
 * Where an array's elements are: a tensor row for dtypes torch has too, else raw bytes or values.
 */
export type NumpyContent = { tensor: Tensor } | RawContent | { items: () => readonly unknown[] }

/** Bytes in the order they were saved in: first index fastest for Fortran's. */
interface RawContent {
  bytes: Uint8Array
  isFortran: boolean
  /** Whether bytes are in the order of other machines than this one. */
  isForeign: boolean
}

/** A numpy array, or a numpy scalar that is no number: then {@link shape} is empty. */
export class NumpyArray {
  /** Of {@link data}, in numpy's notation: `<f4`, `|S3`, `<M8[ns]`, `|O`. */
  readonly dtype: string
  /** Elements along each dimension, outermost first. */
  readonly shape: readonly number[]
  readonly #session: Session
  readonly #content: NumpyContent
  #data: TensorData | undefined

  /** @internal */
  constructor(session: Session, dtype: string, shape: readonly number[], content: NumpyContent) {
    if (!(session instanceof Session)) throw new TypeError('Illegal constructor')
    this.dtype = dtype
    this.shape = shape
    this.#session = session
    this.#content = content
  }

  /** Elements. */
  get size(): number {
    return this.shape.reduce((a, b) => a * b, 1)
  }

  /** Bytes of {@link data}; 0 for an array of objects. */
  get byteLength(): number {
    if ('tensor' in this.#content) return this.#content.tensor.byteLength
    return 'bytes' in this.#content ? this.#content.bytes.byteLength : 0
  }

  /** The values of an object array, row-major; nothing for others. */
  get items(): readonly unknown[] | undefined {
    return 'items' in this.#content ? this.#content.items() : undefined
  }

  /**
   * The elements, row-major: a typed array as for tensors, a BigInt64Array of counts for dates and
   * durations (`M`, `m`), and the bytes as they are for strings and structured dtypes.
   *
   * @throws {@link StateError} `CLOSED` after {@link Checkpoint.close}
   * @throws {@link UnsupportedError} `UNSUPPORTED_DTYPE` for object arrays, whose values are
   * {@link items}
   */
  get data(): TensorData {
    if ('tensor' in this.#content) return this.#content.tensor.data
    if ('items' in this.#content) {
      const message = 'an array of objects has no elements but items'
      throw new UnsupportedError(
        'UNSUPPORTED_DTYPE',
        message,
        { path: this.#session.path },
        this.dtype,
      )
    }
    this.#data ??= this.#decode(this.#content)
    return this.#data
  }

  /**
   * The elements of a string array (`S`, `U`), row-major; nothing for others.
   *
   * @throws {@link LimitError} `LIMIT_STORAGE` for more strings than `limits.copyBytes` has room
   * for
   */
  get strings(): string[] | undefined {
    const kind = this.dtype.charAt(1)
    if (kind !== 'S' && kind !== 'U') return undefined
    // Empty strings take no bytes in the file but one reference each here.
    this.#session.checkCopy(this.size * 8)
    return fixedStrings(this.data as Uint8Array, this.size, kind)
  }

  [inspect.custom](): string {
    return `NumpyArray(${this.dtype}[${this.shape.join(', ')}])`
  }

  #decode({ bytes: raw, isFortran, isForeign }: RawContent): TensorData {
    const kind = this.dtype.charAt(1)
    let bytes = isFortran ? rowMajor(raw, this.shape) : raw
    const isDate = kind === 'M' || kind === 'm'
    if (isDate || (isForeign && kind === 'U')) {
      // To an address where wide elements can begin, and to this machine's byte order.
      bytes = bytes.slice()
      if (isForeign) binding.swap(bytes.buffer as ArrayBuffer, isDate ? 8 : 4)
    }
    return isDate ? new BigInt64Array(bytes.buffer, 0, bytes.length >> 3) : bytes
  }
}

/** Reorders elements whose first index runs fastest. */
function rowMajor(bytes: Uint8Array, shape: readonly number[]): Uint8Array {
  const count = shape.reduce((a, b) => a * b, 1)
  if (shape.length < 2 || bytes.length === 0 || count === 0) return bytes
  const width = bytes.length / count
  const strides = shape.map((_, d) => shape.slice(0, d).reduce((a, b) => a * b, 1))
  const index = shape.map(() => 0)
  const out = new Uint8Array(bytes.length)
  for (let to = 0; to < count; ++to) {
    const from = index.reduce((sum, i, d) => sum + i * strides[d]!, 0)
    out.set(bytes.subarray(from * width, (from + 1) * width), to * width)
    for (let d = shape.length - 1; d >= 0 && ++index[d]! === shape[d]; --d) index[d] = 0
  }
  return out
}
