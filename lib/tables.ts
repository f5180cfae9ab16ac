/**
 * The packed tables that cross the border, column by column, and the names of what is a number
 * there: those of native/addon/values.cc and of the enums of the core.
 */

/** Words of a row of {@link Opened.tensors}; offset and numel have two, the low one first. */
export const TensorWord = {
  /** dtype, layout << 8, flags << 16. */
  kind: 0,
  /** 2^32-1 for none, as in {@link extra}. */
  storage: 1,
  offset: 2,
  numel: 4,
  /** Where in {@link Opened.dims} the sizes start; the strides follow. */
  dims: 6,
  ndim: 7,
  device: 8,
  /** Row of {@link Opened.extras}, which few tensors have. */
  extra: 9,
  count: 10,
} as const

/** Words of a row of {@link Opened.extras}. */
export const ExtraWord = { parts: 0, partCount: 1, quantizer: 2, count: 3 } as const

/** Columns of a row of {@link Opened.storages}. */
export const StorageColumn = {
  /** dtype + 2^8 place + 2^10 swap + 2^16 device. */
  kind: 0,
  bytes: 1,
  /** Deflated records: bytes stored; 0 where the bytes are not deflated. */
  deflated: 2,
  count: 3,
} as const

export const StoragePlace = { nowhere: 0, record: 1, file: 2, memory: 3 } as const

export const TensorFlag = {
  requiresGrad: 1,
  isParameter: 2,
  conjugate: 4,
  negative: 8,
  meta: 16,
  contiguous: 32,
  wrapper: 64,
  coalesced: 128,
  bareStorage: 256,
  /** Nested or jagged: sizes of -1 differ from row to row, there are no strides. */
  ragged: 512,
} as const

/** Index into these is a row's `layout`. */
export const LAYOUTS = [
  'strided',
  'sparse_coo',
  'sparse_csr',
  '_mkldnn',
  'sparse_csc',
  'sparse_bsr',
  'sparse_bsc',
  'jagged',
] as const

/** Index into these is a part's role. */
export const PART_ROLES = [
  'indices',
  'values',
  'crowIndices',
  'colIndices',
  'ccolIndices',
  'rowIndices',
  'scales',
  'zeroPoints',
  'sizes',
  'strides',
  'offsets',
  'lengths',
  'local',
] as const

/** Index into these is a quantizer's scheme. */
export const QSCHEMES = [
  'per_tensor_affine',
  'per_channel_affine',
  'per_tensor_symmetric',
  'per_channel_symmetric',
  'per_channel_affine_float_qparams',
] as const

/** Columns of a row of {@link Verified.rows}. */
export const VerifiedColumn = {
  /** 0 ok, 1 mismatch, 2 absent, 3 none. */
  verdict: 0,
  /** Bytes in the file. */
  stored: 1,
  /** CRC-32 that the archive says. */
  expected: 2,
  /** CRC-32 of the bytes, once they are inflated. */
  actual: 3,
  count: 4,
} as const

/** Columns of what {@link Binding.load} is to read. */
export const LoadColumn = {
  storage: 0,
  /** Bytes [start, end) of the storage. */
  start: 1,
  end: 2,
  dtype: 3,
  /** 1: as float32, which is for real dtypes only. */
  toFloat32: 4,
  /** Bytes from the start of the target. */
  offset: 5,
  count: 6,
} as const

/** Columns of what {@link Binding.survey} says: of finite elements, then numbers of elements. */
export const StatisticsColumn = {
  min: 0,
  max: 1,
  mean: 2,
  nan: 3,
  infinite: 4,
  zero: 5,
  finite: 6,
} as const

/** Columns of what {@link Binding.storageExtents} says of a storage. */
export const ExtentColumn = {
  /** Bytes from the start of the file to its bytes, or to the header in front of them; or -1. */
  begin: 0,
  /** Bytes of that header that say where its bytes begin; 0 where there is none. */
  header: 1,
  /** Bytes from the start of the file to what comes behind. */
  end: 2,
  /** Bytes of the record. */
  stored: 3,
  /** CRC-32 of the record, 0 where there is none. */
  crc: 4,
  count: 5,
} as const

/** How a tensor keeps its elements, in torch's words. */
export type Layout = (typeof LAYOUTS)[number]

/** How quantised elements stand for real numbers, in torch's words. */
export type QScheme = (typeof QSCHEMES)[number]
