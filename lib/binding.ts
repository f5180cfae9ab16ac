/**
 * The native addon: what it offers.
 *
 * Everything that crosses the border is a number, a string, an ArrayBuffer or a packed table of
 * them; classes, typed arrays and errors are made on this side. Arguments are checked before they
 * get here.
 */
import { loadAddon } from './addon'
import type { TensorData } from './dtype'
import type {
  Handle,
  Io,
  NativeDifference,
  NativeElements,
  NativeFailure,
  NativeIndex,
  NativeOptions,
  NativeSurvey,
  NativeTables,
  NativeTape,
  Opened,
  Outcome,
  Ranges,
  Scanned,
  SharedFile,
  Verified,
  Window,
} from './native'

export type * from './native'

export interface Binding {
  /** Opens a path (UTF-8) or bytes; the bytes are not used after the call. */
  openSync(source: string | Uint8Array, options: NativeOptions): Outcome<Opened>
  /** Opens what lies at bytes [offset, offset + length) of a file. */
  openSync(
    file: SharedFile,
    options: NativeOptions,
    offset: number,
    length: number,
  ): Outcome<Opened>
  /**
   * The same for a path, off the main thread. `cancel` is a one-byte flag: set it to 1 to stop the
   * work. Of ranges the failure `NOT_LOADED` says which bytes to supply before it is called again:
   * `limit` bytes from `offset` on.
   */
  open(
    source: string | Ranges,
    options: NativeOptions,
    cancel: Uint8Array,
  ): Promise<Outcome<Opened>>

  /** Nothing yet of a file of so many bytes. */
  ranges(size: number): Ranges
  /** Adds a copy of bytes of the file; not while it is being opened. */
  supply(ranges: Ranges, offset: number, bytes: Uint8Array): Outcome<object>
  /** Rows of {@link ExtentColumn}, one for each storage. */
  storageExtents(handle: Handle): Outcome<{ rows: Float64Array }>
  /** Where a storage's bytes begin in the file, as the header in front of them says. */
  placeStorage(handle: Handle, storage: number, header: Uint8Array): Outcome<{ offset: number }>

  /** The index of a split checkpoint; nothing in it for another file. */
  readIndex(source: string | Uint8Array, options: NativeOptions): Outcome<Partial<NativeIndex>>
  /** Opens a file that checkpoints lie in. */
  openFile(path: string, io: Io): Outcome<{ file: SharedFile; size: number; mapped: boolean }>
  /** Lets go of the file; it is unmapped once the checkpoints in it are closed. */
  closeFile(file: SharedFile): void
  /**
   * Opens a file whose tables are known, each row of which is checked against it. What it gives has
   * nothing but storages: for the rest {@link decode} and {@link adopt} come first. `identity`:
   * device, inode, size and mtimeNs; `tables` as `handle/pack.ts` lists them, one behind the other
   * at a multiple of 8 bytes, with how many numbers each has; `devices`: how many there are.
   */
  attach(
    path: string,
    io: Io,
    identity: BigInt64Array,
    tables: Uint8Array,
    counts: Float64Array,
    devices: number,
  ): Outcome<{ handle: Handle; mapped: boolean }>
  /** What opening that file gives, over the same pages. */
  decode(handle: Handle, options: NativeOptions): Outcome<Opened>
  /** Makes a handle stand for what was decoded, whose rows are the same; `decoded` is closed. */
  adopt(handle: Handle, decoded: Handle): Outcome<object>

  /**
   * A window that covers bytes [start, end) of a storage in the mapped file, and no more than
   * `longest` bytes unless the range itself is longer. `external` false: a copy instead of the
   * pages. `windows` and `offsets`, by storage: gets one more than the number of the window, and
   * where in it the storage begins, of this one and those that are found along with it, where
   * others have that window too. Nothing is returned where they say it of a window that is known.
   */
  window(
    handle: Handle,
    storage: number,
    start: number,
    end: number,
    external: boolean,
    longest: number,
    windows: Uint32Array,
    offsets: Uint32Array,
  ): Outcome<Window> | undefined
  /** Fails with `FILE_CHANGED` when the file is not the one that was opened; else nothing. */
  checkUnchanged(handle: Handle): Outcome<object> | undefined
  /**
   * Copies bytes [start, end) of a storage to a new ArrayBuffer (as stored: not swapped; deflated
   * ones still deflated).
   */
  read(
    handle: Handle,
    storage: number,
    start: number,
    end: number,
  ): Outcome<{ buffer: ArrayBuffer }>
  /** Has the system give arrays their pages on another thread, before somebody waits for them. */
  populate(arrays: readonly Uint8Array[]): Promise<unknown>
  /** Bytes from the start of the file to the first byte of the storage. */
  storageOffset(handle: Handle, storage: number): Outcome<{ offset: number }>
  /** The same of all storages; -1 for those that do not lie there or cannot be found. */
  storageOffsets(handle: Handle): Outcome<{ offsets: Float64Array }>

  /**
   * The deflated records of a TorchScript archive's code that say which tensors are parameters and
   * buffers; none for other formats.
   */
  scriptCode(
    handle: Handle,
  ): Outcome<{ records: { name: string; deflated: ArrayBuffer; bytes: number }[] }>
  /**
   * Reads that code, with the deflated records as far as they could be inflated; what is said of
   * parameters and buffers counts from here on.
   */
  classify(
    handle: Handle,
    inflated: { name: string; bytes: Uint8Array }[],
  ): Outcome<{ tables: NativeTables }>

  /** The root, or an outline of it: its upper levels only, see native/core/torch/tape.h. */
  tape(handle: Handle, isOutline: boolean): Outcome<NativeTape>
  /** `tables` as in {@link NativeTape}. */
  stateDict(
    handle: Handle,
    from: string | undefined,
  ): Outcome<Pick<Opened, 'names' | 'named' | 'distinct'> & { tables?: NativeTables }>
  /**
   * Detaches these buffers where this addon made them and unmaps the file once nothing else holds
   * it.
   */
  close(handle: Handle, buffers: ArrayBuffer[]): void

  /**
   * Reads elements that lie in the file as they are, row-major and in host order, into `targets`,
   * one for each row of {@link LoadColumn}. What the file holds, not what was written to pages.
   */
  loadSync(handle: Handle, rows: Float64Array, targets: Uint8Array[]): Outcome<object>
  /**
   * The same off the main thread; the handle may be closed meanwhile, but nothing may take away the
   * memory of the targets. `control` as in {@link Binding.verify}.
   */
  load(
    handle: Handle,
    rows: Float64Array,
    targets: Uint8Array[],
    control: BigUint64Array,
  ): Promise<Outcome<object>>
  /**
   * Brings bytes of the file into the system's page cache, off the main thread; stops when the
   * checkpoint is closed. Rows of offset and length.
   */
  readAhead(handle: Handle, rows: Float64Array): Promise<Outcome<object>>
  /**
   * Takes pages of the file out of resident memory, all but those that were written to; with
   * `release` also out of the system's page cache. Nothing happens where they are not all there.
   */
  drop(handle: Handle, offset: number, length: number, release: boolean): Outcome<object>
  /** For each storage where in the file its bytes or the header in front of them begin, or -1. */
  storagePlaces(handle: Handle): Outcome<{ places: Float64Array }>

  /**
   * Compares the records of an archive with their checksums. `source`: the bytes the checkpoint was
   * opened from, if it was.
   */
  verifySync(
    handle: Handle,
    source: Uint8Array | undefined,
    limits: Record<string, number>,
  ): Outcome<Verified>
  /**
   * The same off the main thread; the handle may be closed meanwhile. Bytes are compared before it
   * returns, or copied where records must be inflated. `control`: set [0] to 1 to stop the work;
   * [1] counts the bytes that were read.
   */
  verify(
    handle: Handle,
    source: Uint8Array | undefined,
    limits: Record<string, number>,
    control: BigUint64Array,
  ): Promise<Outcome<Verified>>
  /**
   * Looks at every pickle of a file, or of bytes, which are not used after the call and may have the
   * name of a file; without caps, by the default ones.
   */
  scanSync(
    source: string | Uint8Array,
    name: string | undefined,
    limits: Record<string, number> | undefined,
  ): Outcome<Scanned>
  /**
   * The same for files, on other threads; what they failed with, in their order. `control` as in
   * {@link Binding.verify}.
   */
  scanFiles(
    paths: readonly string[],
    limits: Record<string, number> | undefined,
    control: BigUint64Array,
  ): Promise<Outcome<Scanned & { failures: NativeFailure[] }>>
  /** For each storage the record its bytes lie in; 2^32-1 for none. */
  storageRecords(handle: Handle): Outcome<{ records: Uint32Array }>
  /** Bytes of the file, which must not have changed since it was opened. */
  readFile(handle: Handle, offset: number, length: number): Outcome<{ buffer: ArrayBuffer }>
  crc32(bytes: Uint8Array): number

  // Kernels: plain memory to plain memory. Offsets in bytes, sizes and strides in elements.
  /**
   * Gathers a strided view into row-major order. `flags`: TensorFlag.conjugate and .negative are
   * applied.
   */
  gather(
    source: ArrayBuffer | Uint8Array,
    byteOffset: number,
    dtype: number,
    sizes: Float64Array,
    strides: Float64Array,
    flags: number,
    target: ArrayBuffer,
  ): void
  /** Copies a row-major block of `sizes` to the region at `offsets` of a row-major `shape`. */
  place(
    source: ArrayBuffer | Uint8Array,
    byteOffset: number,
    dtype: number,
    sizes: Float64Array,
    offsets: Float64Array,
    shape: Float64Array,
    target: ArrayBuffer,
  ): void
  /** Reverses the bytes of each unit in place. */
  swap(target: ArrayBuffer, unit: number): void
  /** Row-major elements to float32; complex dtypes and packed ones are not for it. */
  toFloat32(
    source: ArrayBuffer | Uint8Array,
    byteOffset: number,
    dtype: number,
    count: number,
    target: ArrayBuffer,
  ): void
  /**
   * (q - zeroPoint) * scale, by tensor (one scale) or along the middle of [outer, channels, inner].
   */
  dequantize(
    source: ArrayBuffer | Uint8Array,
    byteOffset: number,
    dtype: number,
    shape: Float64Array,
    scales: Float64Array,
    zeroPoints: Float64Array,
    target: ArrayBuffer,
  ): void

  // Elements that are looked at once. With `control`, as in {@link Binding.verify}, on another
  // thread: a handle may be closed meanwhile, but nothing may take away memory.
  /** Statistics, and a histogram of so many equal steps; 0 for none. */
  survey(elements: NativeElements, count: number, bins: number): Outcome<NativeSurvey>
  survey(
    elements: NativeElements,
    count: number,
    bins: number,
    control: BigUint64Array,
  ): Promise<Outcome<NativeSurvey>>
  /** How far the elements of two tensors are apart. */
  compare(
    a: NativeElements,
    b: NativeElements,
    count: number,
    tolerance: number,
  ): Outcome<NativeDifference>
  compare(
    a: NativeElements,
    b: NativeElements,
    count: number,
    tolerance: number,
    control: BigUint64Array,
  ): Promise<Outcome<NativeDifference>>

  // Weights computed from other ones. Sources are dense typed arrays; `dtype` is that of all of them
  // and of the target: float16, bfloat16, float32 or float64.
  /** v * (g / |v|) with a norm for each index of `dim`, or one over all elements. */
  weightNorm(
    dtype: number,
    g: TensorData,
    v: TensorData,
    sizes: Float64Array,
    dim: number | undefined,
    threads: number,
    fused: boolean,
    target: ArrayBuffer,
  ): void
  /** weight / (u . W v); `other`: another dimension that may come first in W. */
  spectralNorm(
    dtype: number,
    weight: TensorData,
    sizes: Float64Array,
    dim: number,
    other: number | undefined,
    u: TensorData,
    v: TensorData,
    target: ArrayBuffer,
  ): void
  /** weight / max(|weight|, 1e-12) */
  unitNorm(dtype: number, weight: TensorData, fused: boolean, target: ArrayBuffer): void
  /** weight * mask */
  applyMask(
    dtype: number,
    weight: TensorData,
    maskDtype: number,
    mask: TensorData,
    target: ArrayBuffer,
  ): void

  /** Tables of the core, for the tests that compare them with this side. */
  tables(): {
    dtypes: string[]
    codes: string[]
    limits: Record<string, number>
    opcodes: [string, number][]
  }
}

export const binding: Binding = loadAddon() as Binding
