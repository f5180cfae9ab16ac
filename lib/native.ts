/**
 * What crosses the border to the native addon: numbers, strings, ArrayBuffers and packed tables of
 * them.
 */
/** A failure as data; `errors.ts` makes the error. Offsets are bytes from the start of the file. */
export interface NativeFailure {
  code: string
  message: string
  record?: string
  offset?: number
  /** The limit, global, feature or system call concerned. */
  subject?: string
  /** For `LIMIT_*`: the cap. For a deflated record: bytes stored. For `NOT_LOADED`: bytes. */
  limit?: number
  /**
   * For `LIMIT_*`: what was asked for. For `IO`: errno. For a deflated record: bytes once inflated.
   */
  actual?: number
}

export type Outcome<T> = ({ failure?: undefined } & T) | { failure: NativeFailure }

/** Strings packed into one: `text` cut at `ends` (UTF-16 units). */
export interface PackedStrings {
  text: string
  ends: Uint32Array
}

/** An opened checkpoint on the native side. */
export interface Handle {
  readonly __handle: never
}

/** The index of a split checkpoint. */
export interface NativeIndex {
  /** Names of the parts, each once. */
  files: string[]
  /** Tensor names. */
  names: PackedStrings
  /** For each name the index of its file. */
  parts: Uint32Array
}

/** How a file is looked at: mapped, read by position, or as suits what it lies on. */
export type Io = 'auto' | 'mmap' | 'pread'

/** A file that several checkpoints lie in. */
export interface SharedFile {
  readonly __file: never
}

/** What was brought here of a file that is elsewhere. */
export interface Ranges {
  readonly __ranges: never
}

export interface NativeQuantizer {
  scheme: number
  scale: number
  zeroPoint: number
  axis: number
  /** Plain numbers, in files that store lists; else empty and the tensor has parts. */
  scales: Float64Array
  zeroPoints: Float64Array
}

export interface Opened {
  handle: Handle
  format: string
  /** The versions of torch that write such a file. */
  era: string
  byteOrder: 'little' | 'big'
  /** Bytes of the file. */
  size: number
  identity: { device: bigint; inode: bigint; size: bigint; mtimeNs: bigint }
  mapped: boolean
  /** `module.name` of the class of a root that is an object; empty for other roots. */
  rootClass: string
  names: PackedStrings
  /** For each name the row of {@link tensors}. */
  named: Uint32Array
  /** Whether it is known that no two names are the same. */
  distinct: boolean
  /** Rows of {@link TensorWord}. */
  tensors: Uint32Array
  /** Rows of {@link ExtraWord}. */
  extras: Uint32Array
  /** Sizes and strides (elements). */
  dims: Float64Array
  /** Pairs: role (index into {@link PART_ROLES}), tensor row. */
  parts: Uint32Array
  quantizers: NativeQuantizer[]
  /** Rows of {@link StorageColumn}. */
  storages: Float64Array
  /** Of the storages; nothing where the key of each is its number. */
  keys?: PackedStrings
  devices: string[]
  skipped: { name: string; code: string; message: string }[]
  /** Whether the container is damaged and what is whole in it was given. */
  salvaged: boolean
  /** Of safetensors: keys and values, in turns. */
  metadata?: PackedStrings
}

/** The tables that rows are added to while values are made. */
export type NativeTables = Pick<
  Opened,
  'tensors' | 'extras' | 'dims' | 'parts' | 'quantizers' | 'storages' | 'keys' | 'devices'
>

/** What the tape's words mean: see `tape.ts` and native/core/torch/tape.h. */
export interface NativeTape {
  words: Uint32Array
  reals: Float64Array
  strings: PackedStrings
  bytes: ArrayBuffer
  root: number
  /**
   * The tensor tables again, where making values added rows to them (numpy arrays); else absent.
   */
  tables?: NativeTables
}

export interface NativeOptions {
  io: Io
  strict: boolean
  salvage: boolean
  /** Caps by the names of limits.def. */
  limits: Record<string, number>
  /** Deflated records, inflated. */
  inflated: { name: string; bytes: Uint8Array }[]
}

/** One ArrayBuffer over mapped pages, or a copy where the runtime refuses those. */
export interface Window {
  /** Present only the first time this window is asked for. */
  buffer?: ArrayBuffer
  /** Number of the window, for the caller's cache. */
  window: number
  /** Bytes from the start of the buffer to the first byte asked for. */
  byteOffset: number
  /** Whether {@link buffer} lies over the pages; absent where that is. */
  zeroCopy?: boolean
}

/** The records of an archive, compared with their checksums; none for other formats. */
export interface Verified {
  names: PackedStrings
  /** For each record what is wrong with it, or an empty string. */
  faults: PackedStrings
  /** Rows of {@link VerifiedColumn}. */
  rows: Float64Array
}

/** Row-major elements in host order; `dtype`: a real one. */
export interface NativeElements {
  /** The file they lie in, which is read by position, or the memory. */
  from: Handle | ArrayBuffer | Uint8Array
  /** Of a file. */
  storage?: number
  /** Bytes from the start of the storage or the memory to the first one. */
  start: number
  dtype: number
}

export interface NativeSurvey {
  /** Columns of {@link StatisticsColumn}. */
  row: Float64Array
  /** Elements in each of the steps that were asked for; empty where none is finite. */
  histogram: Float64Array
}

export interface NativeDifference {
  /** Elements that are further apart than the tolerance. */
  differing: number
  /** Of these, such that one of the two is infinite or NaN. */
  notFinite: number
  /** The largest |a - b| of finite ones, and the largest such divided by the larger of both. */
  absolute: number
  relative: number
}

/** What native/addon/scan.cc packs: strings and numbers in the order it says. */
export interface Scanned {
  strings: PackedStrings
  numbers: Float64Array
}
