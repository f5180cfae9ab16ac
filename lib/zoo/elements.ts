/**
 * The elements of a tensor as the native side looks at them: where they lie in a file, which is read
 * by position, so that nothing of it stays in memory and a file that is shortened meanwhile is an
 * error; else in memory.
 */
import type { NativeElements, Outcome } from '../binding'
import { bring } from '../bring'
import { DTYPES, type DType } from '../dtype'
import { errorFrom, UnsupportedError } from '../errors'
import { MadeSession } from '../made'
import { FileSession, type Session } from '../session'
import { rowOf, type Tensor } from '../tensor'
import { elementsRow, fileRange, firstByte, isDirect, isView } from '../values'
import { watched } from '../watch'

/** Real numbers, row-major: of complex elements both parts of each. */
export interface Numbers {
  readonly session: Session
  /** The file they lie in. */
  readonly path: string | undefined
  readonly elements: NativeElements
  readonly count: number
  readonly bytes: number
  /** Gives up the copy that was made for this. */
  release(): void
}

/** Where elements lie as they are. */
export interface FilePlace {
  session: FileSession
  storage: number
  /** Bytes from the start of the storage. */
  start: number
}

/** What the parts of complex elements are. */
const PARTS: Partial<Record<DType, DType>> = {
  complex32: 'float16',
  complex64: 'float32',
  complex128: 'float64',
  bcomplex32: 'bfloat16',
}

const numberOf = (dtype: DType): DType => PARTS[dtype] ?? dtype

const NUMBERS = new Map(DTYPES.map(({ name, index }) => [name, index]))

/** Bytes up to which it takes longer to ask another thread than to look at them. */
const SMALL = 2 ** 16

/**
 * Where the elements of a row lie in a file, row-major and in host order; nothing where they do not.
 * An element that is all of another tensor lies where that one does.
 */
export function placeOf(session: Session, row: number, name: string): FilePlace | undefined {
  if (session instanceof FileSession) {
    const range = fileRange(session, row, name)
    return range && { session, storage: range.storage, start: range.start }
  }
  const storage = session.catalog.storageOf(row)
  if (!(session instanceof MadeSession) || storage === undefined || !isDirect(session, row)) return
  const whole = session.storages.wholeOf(storage)
  if (whole === undefined) return
  const { session: inner, row: own } = rowOf(whole)
  const place = placeOf(inner, elementsRow(inner, own, name), name)
  return place && { ...place, start: place.start + firstByte(session, row, name) }
}

/**
 * The numbers of a tensor: of a sparse or nested one those it has values for, of a quantised one
 * what its integers stand for, of a shard those that are here.
 *
 * @throws {@link UnsupportedError} `UNSUPPORTED_DTYPE` for bits dtypes, which are no numbers
 * @throws what {@link Tensor.data} throws; of a checkpoint that is elsewhere {@link Tensor.load}
 */
export async function numbersOf(tensor: Tensor, signal?: AbortSignal): Promise<Numbers> {
  const held = heldBy(tensor)
  const { session, row: own } = rowOf(held)
  session.checkOpen()
  if (session.isRemote) await bring([{ tensor: held, session, row: own }], { signal })
  const { name } = held
  const row = elementsRow(session, own, name)
  const { catalog } = session
  const dtype = catalog.dtype(row)
  if (dtype.kind === 'Bits') {
    const message = `tensor '${name}' is ${dtype.name}, whose elements are no numbers`
    throw new UnsupportedError('UNSUPPORTED_DTYPE', message, { path: session.path }, dtype.name)
  }
  const count = catalog.numel(row) * (dtype.kind === 'Complex' ? 2 : 1)
  const wasHere = session.data.has(row)
  const release = () => {
    if (!wasHere && !session.isClosed && !isView(session, row)) session.data.delete(row)
  }
  const index = NUMBERS.get(dtype.kind === 'Quantized' ? 'float32' : numberOf(dtype.name))!
  const bytes = count * DTYPES[index]!.bytes
  const base = { session, path: session.path, count, bytes, release }
  const place = dtype.kind === 'Quantized' || count === 0 ? undefined : placeOf(session, row, name)
  if (place !== undefined) {
    const { session: file, storage, start } = place
    return {
      ...base,
      path: file.path,
      elements: { from: file.handle, storage, start, dtype: index },
    }
  }
  const data = dtype.kind === 'Quantized' ? held.dequantize() : held.data
  return { ...base, elements: { from: bytesOf(data), start: 0, dtype: index } }
}

/** The tensor that has the elements. */
function heldBy(tensor: Tensor): Tensor {
  let held = tensor
  for (;;) {
    const isOfValues = held.layout.startsWith('sparse') || isRagged(held)
    const inner = held.local ?? (isOfValues ? held.values : undefined)
    if (inner === undefined) return held
    held = inner
  }
}

/** Whether rows differ in their sizes, or are taken for such that may. */
export function isRagged(tensor: Tensor): boolean {
  return tensor.shape.includes(-1) || tensor.layout === 'jagged' || tensor.sizes !== undefined
}

function bytesOf(data: ArrayBufferView): Uint8Array {
  return new Uint8Array(data.buffer, data.byteOffset, data.byteLength)
}

/** Native work over numbers: at once where they are few, else on other threads. */
export async function look<T>(
  numbers: readonly Numbers[],
  signal: AbortSignal | undefined,
  work: (control?: BigUint64Array) => Outcome<T> | Promise<Outcome<T>>,
): Promise<T> {
  const step = () => {
    signal?.throwIfAborted()
    for (const { session } of numbers) session.checkOpen()
  }
  step()
  const isSmall = numbers.every(({ bytes }) => bytes <= SMALL)
  const outcome = isSmall
    ? await work()
    : await watched(
        async (control) => work(control),
        step,
        () => {},
        signal,
      )
  if (!outcome.failure) return outcome
  // Of two files nobody knows which one failed.
  const paths = new Set(numbers.map(({ path }) => path))
  throw errorFrom(outcome.failure, paths.size === 1 ? numbers[0]!.path : undefined)
}
