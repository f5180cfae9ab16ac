/**
 * One tensor: a dtype, a shape and a stride over a storage, or the parts that make up a sparse,
 * quantised, nested or sharded one.
 */
import { inspect } from 'node:util'
import { checkRange } from './arguments'
import { bring, isHere } from './bring'
import type { PartRole } from './catalog'
import { describe, type TensorJson } from './describe'
import { type DType, denseBytes, type TensorData } from './dtype'
import { Home, OneName } from './home'
import { type LoadOptions, type ReadIntoOptions, readInto, readIntoSync, type Target } from './load'
import { nestedRows, raggedShape } from './nested'
import { printable } from './printable'
import { perChannel, scalingOf } from './quantized'
import type { Session } from './session'
import { spread } from './sparse'
import type { Storage } from './storage'
import { LAYOUTS, type Layout, QSCHEMES, type QScheme, TensorFlag } from './tables'
import { TensorParts } from './tensor-parts'
import {
  dequantized,
  elementBytes,
  elements,
  elementsRow,
  float32,
  heldBytes,
  isZeroCopy,
} from './values'
import { checkWatchOptions } from './watch'

const NO_PARTS: Readonly<Record<string, never>> = Object.freeze({})

/** Where a tensor stands; for this package alone. */
export let rowOf: (tensor: Tensor) => { session: Session; row: number }

/** The tensor of a row, under a name of its own. */
export const tensorOf = (session: Session, row: number, name: string): Tensor =>
  new Tensor(new OneName(session, row, name), 0)

/** A tensor of a checkpoint. Nothing of its elements is read before they are asked for. */
export class Tensor extends TensorParts {
  readonly #home: Home
  readonly #position: number

  static {
    rowOf = (tensor) => ({ session: tensor.#home.session, row: Tensor.#row(tensor) })
  }

  /** @internal */
  constructor(home: Home, position: number) {
    super()
    if (!(home instanceof Home)) throw new TypeError('Illegal constructor')
    this.#home = home
    this.#position = position
  }

  // Static, as all that is private here: private accessors and methods would give every tensor a
  // word that says that it has them.
  static #row(tensor: Tensor): number {
    return tensor.#home.rowAt(tensor.#position)
  }

  /** The name it was found under; empty for one that only {@link Checkpoint.root} reaches. */
  get name(): string {
    return this.#home.nameOf(this.#position)
  }

  get dtype(): DType {
    return this.#home.session.catalog.dtype(Tensor.#row(this)).name
  }

  /**
   * Elements along each dimension, outermost first; empty for a scalar. -1 for a dimension of a
   * nested tensor that differs from row to row.
   */
  get shape(): readonly number[] {
    return this.#home.session.catalog.shape(Tensor.#row(this)) ?? Tensor.#raggedShape(this)
  }

  static #raggedShape(tensor: Tensor): readonly number[] {
    const made = tensor.#home.madeOf(tensor.#position)
    if (made.shape !== undefined) return made.shape
    const { session } = tensor.#home
    const shape = Object.freeze([...session.catalog.sizes(Tensor.#row(tensor))])
    const { sizes } = tensor.parts
    // What rows have in common lies in the bytes of a tensor.
    if (sizes === undefined || session.isClosed) return shape
    made.shape = raggedShape(shape, sizes)
    return made.shape
  }

  /** Elements from one index to the next along each dimension. */
  get stride(): readonly number[] {
    return this.#home.session.catalog.stride(Tensor.#row(this))
  }

  /** Elements from the start of the storage to the first one. */
  get storageOffset(): number {
    return this.#home.session.catalog.offset(Tensor.#row(this))
  }

  /** Elements: the product of {@link shape}; of a nested tensor those of all rows. */
  get size(): number {
    return this.#home.session.catalog.numel(Tensor.#row(this))
  }

  /** Bytes of the elements, dense; for a sparse or sharded tensor what its parts have here. */
  get byteLength(): number {
    return heldBytes(this.#home.session, Tensor.#row(this))
  }

  get layout(): Layout {
    return LAYOUTS[this.#home.session.catalog.layout(Tensor.#row(this))]!
  }

  get requiresGrad(): boolean {
    return Tensor.#has(this, TensorFlag.requiresGrad)
  }

  /**
   * Whether it was saved as an `nn.Parameter`. In a TorchScript archive the code says so, which is
   * read when this or `stateDict()` is first asked for.
   *
   * @throws {@link StateError} `CLOSED`, `FILE_CHANGED` when that is too late
   */
  get isParameter(): boolean {
    this.#home.session.readCode()
    return Tensor.#has(this, TensorFlag.isParameter)
  }

  /** The device it was saved from, such as `cpu` or `cuda:0`. */
  get device(): string {
    return this.#home.session.catalog.device(Tensor.#row(this))
  }

  /** Whether it has a shape only: it was saved from the `meta` device. */
  get isMeta(): boolean {
    return Tensor.#has(this, TensorFlag.meta)
  }

  /** Whether the elements lie row-major in the storage, without gaps. */
  get isContiguous(): boolean {
    return Tensor.#has(this, TensorFlag.contiguous)
  }

  /**
   * Whether {@link data} lies in the mapped file, or in the bytes given to `open`, rather than in a
   * copy.
   *
   * @throws {@link StateError} `CLOSED` after {@link Checkpoint.close}
   */
  get isZeroCopy(): boolean {
    const { session } = this.#home
    session.checkOpen()
    return isZeroCopy(session, Tensor.#row(this), this.name)
  }

  /**
   * Whether {@link data} can be had: always, unless the checkpoint is elsewhere and its elements were
   * not brought here.
   */
  get isLoaded(): boolean {
    return isHere(this.#home.session, Tensor.#row(this))
  }

  /**
   * The bytes this tensor views; the same object for tensors that share them. Sparse tensors have
   * none.
   */
  get storage(): Storage | undefined {
    const { catalog, storages } = this.#home.session
    const index = catalog.storageOf(Tensor.#row(this))
    return index === undefined ? undefined : storages.object(index)
  }

  /**
   * The elements, row-major; the same array each time.
   *
   * A view of the storage when the tensor is contiguous: writing to it changes this process's copy
   * only, never the file, and shows in other tensors over the same storage. Otherwise a dense copy.
   *
   * By dtype: float32 `Float32Array`, float64 `Float64Array`, int8/16/32 `Int*Array`, int64
   * `BigInt64Array`, uint8/16/32 `Uint*Array`, uint64 `BigUint64Array`, bool `Uint8Array`; float16
   * and bfloat16 `Uint16Array` and float8 `Uint8Array` of bit patterns; complex ones (re, im)
   * pairs; quantised ones their integers, packed ones (quint4x2, quint2x4) as the bytes that hold
   * them, low bits first.
   *
   * @throws {@link StateError} `CLOSED` after {@link Checkpoint.close}, `NOT_LOADED` where the
   * checkpoint is elsewhere and {@link load} did not bring it here
   * @throws {@link UnsupportedError} `UNSUPPORTED_LAYOUT` for sparse and meta tensors and for
   * shards, `UNSUPPORTED_RUNTIME` where it is larger than an ArrayBuffer can be
   * @throws {@link LimitError} `LIMIT_STORAGE` when a copy would be larger than `limits.copyBytes`
   */
  get data(): TensorData {
    const { session } = this.#home
    session.checkOpen()
    return elements(session, elementsRow(session, Tensor.#row(this), this.name), this.name)
  }

  /**
   * {@link data}, once it is here: of a checkpoint that is elsewhere the elements are fetched. What
   * several tensors are asked for at one time is fetched together.
   *
   * @throws {@link RemoteError}, {@link StateError} `FILE_CHANGED` when it cannot be had any more
   * @throws {@link FormatError} `CHECKSUM_MISMATCH` for a record that is damaged
   * @throws what {@link data} throws
   */
  async load(options: LoadOptions = {}): Promise<TensorData> {
    await bring([Tensor.#placed(this)], checkWatchOptions(options))
    return this.data
  }

  /**
   * The elements as bytes: row-major, without gaps, little-endian.
   *
   * With `start` and `end`, those bytes of them: the way to read a tensor that is larger than an
   * ArrayBuffer can be. A view wherever {@link data} is one.
   *
   * @param start bytes, 0 by default
   * @param end bytes, all by default
   * @throws what {@link data} throws; a RangeError for a range outside
   */
  bytes(start = 0, end?: number): Uint8Array {
    const { session } = this.#home
    session.checkOpen()
    const row = elementsRow(session, Tensor.#row(this), this.name)
    const length = denseBytes(session.catalog.dtype(row), this.size)
    checkRange(start, end ?? length, length)
    return elementBytes(session, row, this.name, start, end ?? length)
  }

  /**
   * The elements as float32, rounded to nearest where they have more digits: {@link data} itself
   * for float32, {@link dequantize} for quantised dtypes, a copy for all other real ones.
   *
   * @throws {@link UnsupportedError} `UNSUPPORTED_DTYPE` for complex and bits dtypes
   * @throws what {@link data} throws
   */
  toFloat32(): Float32Array {
    const { session } = this.#home
    session.checkOpen()
    if (this.qscheme !== undefined) return this.dequantize()
    return float32(session, elementsRow(session, Tensor.#row(this), this.name), this.name)
  }

  /**
   * Writes the elements, row-major and without gaps, to memory of the caller. Contiguous tensors of
   * a file are read from it off the main thread, on several threads, converted on the way: the file
   * counts, not what was written to {@link data}. Others go through {@link data}.
   *
   * Until the promise is settled the memory must neither be transferred nor, in a WebAssembly
   * module, grown. After a failure it may hold anything.
   *
   * @param target at least as many bytes as are written; for float32 at a multiple of 4
   * @returns the bytes that were written
   * @throws a RangeError for a target that is too small
   * @throws {@link StateError} `CLOSED`, `FILE_CHANGED`
   * @throws what {@link data} and, with `dtype`, {@link toFloat32} throw
   */
  async readInto(target: Target, options: ReadIntoOptions & LoadOptions = {}): Promise<number> {
    return readInto(Tensor.#placed(this), target, options)
  }

  /** The same before it returns. */
  readIntoSync(target: Target, options: ReadIntoOptions = {}): number {
    return readIntoSync(Tensor.#placed(this), target, options)
  }

  /**
   * The elements of a sparse tensor, row-major with the zeros it leaves out; {@link data} for other
   * tensors. Values at one place add up, as in torch.
   *
   * @throws {@link FormatError} `BAD_TENSOR` when an index is outside the shape
   * @throws what {@link data} throws
   */
  toDense(): TensorData {
    const { layout } = this
    if (!layout.startsWith('sparse') || Tensor.#has(this, TensorFlag.wrapper)) return this.data
    const { session } = this.#home
    session.checkOpen()
    const made = this.#home.madeOf(this.#position)
    made.dense ??= spread(this, session.catalog.dtype(Tensor.#row(this)), session)
    return made.dense
  }

  /** The tensors this one is made of, by role; empty for a plain one. */
  get parts(): Readonly<Partial<Record<PartRole, Tensor>>> {
    const { session } = this.#home
    const rows = session.catalog.parts(Tensor.#row(this))
    if (rows.length === 0) return NO_PARTS
    const made = this.#home.madeOf(this.#position)
    made.parts ??= Object.freeze(
      Object.fromEntries(
        rows.map(([role, row]) => [role, tensorOf(session, row, `${this.name}.${role}`)]),
      ),
    )
    return made.parts
  }

  /** Sparse COO: whether it is known that no place has two values and that they are in order. */
  get isCoalesced(): boolean {
    if (Tensor.#has(this, TensorFlag.coalesced)) return true
    const count = this.layout === 'sparse_coo' ? this.values?.shape[0] : undefined
    return count !== undefined && count < 2
  }

  /**
   * Nested: where each row begins among {@link values}: in elements for strided ones, along the
   * dimension that differs for jagged ones.
   *
   * @throws what {@link data} throws
   */
  get rowOffsets(): readonly number[] | undefined {
    const { offsets, sizes } = this.parts
    if (offsets !== undefined) return Array.from(offsets.data, Number)
    if (sizes === undefined) return undefined
    return Array.from(Tensor.#quantizer(this)?.scales ?? [])
  }

  /**
   * The rows of a nested tensor, as views over its {@link values}; the same tensors each time.
   *
   * @throws {@link FormatError} `BAD_TENSOR` when a row is not inside the values
   * @throws {@link UnsupportedError} `UNSUPPORTED_LAYOUT` for a tensor that is not nested
   * @throws what {@link data} throws
   */
  rows(): readonly Tensor[] {
    const { session } = this.#home
    session.checkOpen()
    const made = this.#home.madeOf(this.#position)
    made.rows ??= Object.freeze(
      nestedRows(this, session).map((view, i) => {
        const values = session.catalog.part(Tensor.#row(this), 'values')!
        const row = session.catalog.addView(values, view)
        return tensorOf(session, row, `${this.name}.${i}`)
      }),
    )
    return made.rows
  }

  /** Quantised: how its integers stand for real numbers. */
  get qscheme(): QScheme | undefined {
    if (this.#home.session.catalog.dtype(Tensor.#row(this)).kind !== 'Quantized') return undefined
    const quantizer = Tensor.#quantizer(this)
    return quantizer && QSCHEMES[quantizer.scheme]
  }

  /** Quantised with one scale: that scale. */
  get scale(): number | undefined {
    return this.qscheme?.startsWith('per_tensor') ? Tensor.#quantizer(this)!.scale : undefined
  }

  /** Quantised with one scale: the integer that stands for 0. */
  get zeroPoint(): number | undefined {
    return this.qscheme?.startsWith('per_tensor') ? Tensor.#quantizer(this)!.zeroPoint : undefined
  }

  /** Quantised by channel: the dimension that has a scale for each index. */
  get axis(): number | undefined {
    return this.qscheme?.startsWith('per_channel') ? Tensor.#quantizer(this)!.axis : undefined
  }

  /** Quantised by channel: the scale of each index along {@link axis}. Throws what `data` does. */
  get scales(): Float64Array | undefined {
    return Tensor.#perChannel(this, 'scales')
  }

  /** Quantised by channel: what stands for 0 along {@link axis}. Throws what `data` does. */
  get zeroPoints(): Float64Array | undefined {
    return Tensor.#perChannel(this, 'zeroPoints')
  }

  /**
   * The real numbers of a quantised tensor: (q - zero point) * scale for each element, row-major.
   *
   * @throws {@link UnsupportedError} `UNSUPPORTED_DTYPE` for a tensor that is not quantised
   * @throws what {@link data} throws
   */
  dequantize(): Float32Array {
    const { session } = this.#home
    const scaling = scalingOf(this, session.path)
    session.checkOpen()
    const row = elementsRow(session, Tensor.#row(this), this.name)
    return dequantized(session, row, this.name, scaling)
  }

  /** What describes the tensor, without its elements. */
  toJSON(): TensorJson {
    return describe(this)
  }

  [inspect.custom](): string {
    const kind = this.layout === 'strided' ? '' : ` ${this.layout}`
    return `Tensor('${printable(this.name)}' ${this.dtype}[${this.shape.join(', ')}]${kind})`
  }

  static #quantizer(tensor: Tensor) {
    return tensor.#home.session.catalog.quantizer(Tensor.#row(tensor))
  }

  static #placed(tensor: Tensor) {
    return { tensor, ...rowOf(tensor) }
  }

  static #has(tensor: Tensor, flag: number): boolean {
    return (tensor.#home.session.catalog.flags(Tensor.#row(tensor)) & flag) !== 0
  }

  static #perChannel(tensor: Tensor, role: 'scales' | 'zeroPoints'): Float64Array | undefined {
    if (tensor.axis === undefined) return undefined
    const part = tensor.parts[role]
    return part === undefined ? Tensor.#quantizer(tensor)![role] : perChannel(part)
  }
}
