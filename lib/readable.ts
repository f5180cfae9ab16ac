/**
 * Tensors as a stream of bytes: a safetensors file, made on the way. Facts: the format's description
 * in https://github.com/huggingface/safetensors (README, 0.8).
 */
import { type DType, denseBytes } from './dtype'
import { StateError, UnsupportedError } from './errors'
import { printable } from './printable'
import { checkNames, type StreamOptions, stream } from './stream'
import { rowOf, type Tensor } from './tensor'
import { elementsRow } from './values'
import { checkWatchOptions, type Progress, type WatchOptions } from './watch'

/** How far the bytes were taken; `name` is the tensor they are of. */
export type ReadableProgress = Progress<'read'>

export interface ReadableOptions extends WatchOptions<'read'>, Pick<StreamOptions, 'release'> {
  /** Names among {@link Checkpoint.tensors}; all by default. */
  names?: Iterable<string> | undefined
}

/** The names that the format has for dtypes. */
const NAMES: Partial<Record<DType, string>> = {
  bool: 'BOOL',
  uint8: 'U8',
  int8: 'I8',
  int16: 'I16',
  uint16: 'U16',
  int32: 'I32',
  uint32: 'U32',
  int64: 'I64',
  uint64: 'U64',
  float16: 'F16',
  bfloat16: 'BF16',
  float32: 'F32',
  float64: 'F64',
  complex64: 'C64',
  float8_e5m2: 'F8_E5M2',
  float8_e4m3fn: 'F8_E4M3',
  float8_e5m2fnuz: 'F8_E5M2FNUZ',
  float8_e4m3fnuz: 'F8_E4M3FNUZ',
  float8_e8m0fnu: 'F8_E8M0',
}

/** Bytes that are given at a time. */
const CHUNK = 2 ** 18

/** Bytes of the longest header that readers of the format take. */
const LONGEST_HEADER = 100_000_000

/** A safetensors file of tensors, written as it is read. */
export class TensorReadable extends ReadableStream<Uint8Array> {
  /** Bytes of the whole. */
  readonly byteLength: number

  /** @internal */
  constructor(
    tensors: ReadonlyMap<string, Tensor>,
    { names, release, ...watch }: ReadableOptions,
    path: string | undefined,
  ) {
    const { header, total } = headerOf(tensors, path)
    const chunks = chunksOf(header, tensors, { ...watch, release, order: 'given' }, total)
    super(
      {
        async pull(controller) {
          const { done, value } = await chunks.next()
          if (done) controller.close()
          else controller.enqueue(value)
        },
        async cancel() {
          await chunks.return()
        },
      },
      { highWaterMark: 1 },
    )
    this.byteLength = total
  }
}

export function checkReadableOptions(options: ReadableOptions): ReadableOptions {
  checkWatchOptions(options, ['names', 'release'])
  checkNames(options.names)
  return options
}

/** Eight bytes for its length, and JSON that ends at a multiple of 8. */
function headerOf(tensors: ReadonlyMap<string, Tensor>, path: string | undefined) {
  let end = 0
  const rows = Array.from(tensors, ([name, tensor]) => {
    const { session, row } = rowOf(tensor)
    const own = elementsRow(session, row, name)
    const dtype = session.catalog.dtype(own)
    const known = NAMES[dtype.name]
    if (known === undefined) {
      const message = `tensor '${printable(name)}' is ${dtype.name}, which safetensors has no name for`
      throw new UnsupportedError('UNSUPPORTED_DTYPE', message, { path }, dtype.name)
    }
    const start = end
    end += denseBytes(dtype, session.catalog.numel(own))
    const about = { dtype: known, shape: tensor.shape, data_offsets: [start, end] }
    return `${JSON.stringify(name)}:${JSON.stringify(about)}`
  })
  const json = `{${['"__metadata__":{"format":"pt"}', ...rows].join()}}`
  const text = new TextEncoder().encode(json)
  const length = Math.ceil(text.length / 8) * 8
  if (length > LONGEST_HEADER) {
    const message = `the header would have ${length} bytes where readers take ${LONGEST_HEADER}`
    throw new UnsupportedError('UNSUPPORTED_LAYOUT', message, { path }, 'long headers')
  }
  const header = new Uint8Array(8 + length).fill(0x20)
  new DataView(header.buffer).setBigUint64(0, BigInt(length), true)
  header.set(text, 8)
  return { header, total: header.length + end }
}

async function* chunksOf(
  header: Uint8Array,
  tensors: ReadonlyMap<string, Tensor>,
  { onProgress, ...options }: Omit<StreamOptions, 'onProgress'> & WatchOptions<'read'>,
  total: number,
): AsyncGenerator<Uint8Array, void, undefined> {
  options.signal?.throwIfAborted()
  yield header
  let loaded = header.length
  for await (const tensor of stream(tensors, options)) {
    const { session, row } = rowOf(tensor)
    const { catalog } = session
    const own = elementsRow(session, row, tensor.name)
    const bytes = denseBytes(catalog.dtype(own), catalog.numel(own))
    for (let start = 0; start < bytes; start += CHUNK) {
      options.signal?.throwIfAborted()
      if (session.isClosed) throw new StateError('CLOSED', 'the checkpoint is closed')
      const end = Math.min(start + CHUNK, bytes)
      // A copy: whoever gets a chunk may pass its memory on.
      yield tensor.bytes(start, end).slice()
      loaded += end - start
      onProgress?.({ phase: 'read', loaded, total, name: tensor.name })
    }
  }
}
