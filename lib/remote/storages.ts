/** The storages of a checkpoint that is elsewhere: what was brought here of each. */
import { StateError } from '../errors'
import { printable } from '../printable'
import type { FileSession } from '../session'
import { checkBufferLength, FileStorages } from '../storage'
import { ExtentColumn, StoragePlace } from '../tables'
import type { Range } from '../values'
import { LONGEST_BUFFER, type Span } from '../windows'
import { Intervals } from './intervals'

/** A piece of a storage, as it is stored; of all but very long ones the piece is the whole. */
export interface Piece {
  /** Bytes [start, end) of the storage. */
  readonly start: number
  readonly end: number
  /** Room for all of them; the system is made to give it before bytes arrive. */
  readonly bytes: Uint8Array<ArrayBuffer>
  /** What has arrived, whether or not it has been checked; bytes of the storage. */
  readonly arrived: Intervals
  /** What may be looked at. */
  readonly here: Intervals
}

/** Bytes at whose multiples a typed array of any dtype can begin. */
const ALIGNMENT = 16
const NO_PIECES: readonly Piece[] = []

const isMoved = ({ bytes, start, end }: Piece) => bytes.length !== end - start

export class RemoteStorages extends FileStorages {
  readonly #session: FileSession
  readonly #pieces = new Map<number, readonly Piece[]>()

  /** @param extents rows of {@link ExtentColumn} */
  constructor(
    session: FileSession,
    readonly extents: Float64Array,
  ) {
    super(session)
    this.#session = session
  }

  override isLong(index: number): boolean {
    return this.#session.catalog.storageBytes(index) > LONGEST_BUFFER
  }

  override isPlain(): boolean {
    return false
  }

  override isInFile(): boolean {
    return false
  }

  override isBrought(index: number): boolean {
    return this.#piecesOf(index).some(({ here }) => !here.isEmpty)
  }

  override forget(index: number): void {
    super.forget(index)
    this.#pieces.delete(index)
  }

  override release(): ArrayBuffer[] {
    this.#pieces.clear()
    return super.release()
  }

  override span(index: number, start: number, end: number, unit: number): Span {
    this.#session.checkOpen()
    if (!this.#isRemote(index) || !this.isAsStored(index) || start === end)
      return super.span(index, start, end, unit)
    const piece = this.#piece(index, start, end)
    const bytes = piece.bytes.subarray(start - piece.start, end - piece.start)
    // Whoever asks counts from the start of what it gets.
    const { buffer, byteOffset } = bytes.byteOffset % unit === 0 ? bytes : bytes.slice()
    return { buffer, byteOffset, zeroCopy: false }
  }

  protected override stored(index: number, start: number, end: number): ArrayBuffer {
    if (!this.#isRemote(index)) return super.stored(index, start, end)
    const piece = this.#piece(index, start, end)
    return piece.bytes.slice(start - piece.start, end - piece.start).buffer
  }

  /** Bytes of a storage's record. */
  storedBytes(index: number): number {
    return this.extents[index * ExtentColumn.count + ExtentColumn.stored]!
  }

  isHere({ storage, start, end }: Range): boolean {
    return this.#piecesOf(storage).some(({ here }) => here.has(start, end))
  }

  /** How many of these bytes have arrived. */
  arrived({ storage, start, end }: Range): number {
    const counts = this.#piecesOf(storage).map(({ arrived }) => arrived.covered(start, end))
    return Math.max(0, ...counts)
  }

  /** Makes room for bytes of storages: for all of a storage that can be one buffer. */
  prepare(wanted: readonly Range[]): void {
    const made: { storage: number; start: number; end: number }[] = []
    const known = new Set<number>()
    for (const { storage, start, end } of wanted) {
      const stored = this.storedBytes(storage)
      const isWhole = stored <= LONGEST_BUFFER
      if (isWhole && (this.#piecesOf(storage).length > 0 || known.has(storage))) continue
      if (!isWhole && this.#find(storage, start, end) !== undefined) continue
      known.add(storage)
      const from = isWhole ? 0 : start - (start % ALIGNMENT)
      const to = isWhole ? stored : end
      checkBufferLength(to - from, this.#session.path)
      made.push({ storage, start: from, end: to })
    }
    const arrays = allocate(made.map(({ start, end }) => end - start))
    for (const [i, { storage, start, end }] of made.entries()) {
      const [arrived, here] = [new Intervals(), new Intervals()]
      const piece = { start, end, bytes: arrays[i]!, arrived, here }
      this.#pieces.set(storage, [...this.#piecesOf(storage), piece])
    }
  }

  /** Where bytes of a storage go that room was made for. */
  room({ storage, start, end }: Range): Piece {
    return this.#find(storage, start, end)!
  }

  /** Without those whose buffer somebody has moved away: they must be brought again. */
  #piecesOf(storage: number): readonly Piece[] {
    const pieces = this.#pieces.get(storage) ?? NO_PIECES
    return pieces.some(isMoved) ? pieces.filter((piece) => !isMoved(piece)) : pieces
  }

  #find(storage: number, start: number, end: number): Piece | undefined {
    return this.#piecesOf(storage).find((piece) => piece.start <= start && end <= piece.end)
  }

  #piece(index: number, start: number, end: number): Piece {
    const piece = this.#piecesOf(index).find(({ here }) => here.has(start, end))
    if (piece !== undefined) return piece
    const key = printable(this.#session.catalog.storageKey(index))
    const message = `bytes ${start} to ${end} of storage '${key}' are not here yet: await load()`
    throw new StateError('NOT_LOADED', message, { path: this.#session.path })
  }

  #isRemote(index: number): boolean {
    const place = this.#session.catalog.storagePlace(index)
    return place === StoragePlace.record || place === StoragePlace.file
  }
}

/** Bytes of an array that is worth sharing a buffer, and of a buffer that is shared. */
const LEAST_SHARED = 2 ** 20
const MOST_SHARED = 2 ** 28
/** Bytes at whose multiples arrays of one buffer begin. */
const SHARED_ALIGNMENT = 64

/** Arrays of zeros; long ones share buffers: V8 starts a collection for every so many of them. */
function allocate(lengths: readonly number[]): Uint8Array<ArrayBuffer>[] {
  const arrays: Uint8Array<ArrayBuffer>[] = []
  let [together, bytes] = [[] as { index: number; offset: number }[], 0]
  const flush = () => {
    if (together.length === 0) return
    const buffer = new ArrayBuffer(bytes)
    for (const { index, offset } of together)
      arrays[index] = new Uint8Array(buffer, offset, lengths[index])
    together = []
    bytes = 0
  }
  for (const [index, length] of lengths.entries()) {
    if (length < LEAST_SHARED) {
      arrays[index] = new Uint8Array(length)
      continue
    }
    if (bytes + length > MOST_SHARED) flush()
    together.push({ index, offset: bytes })
    bytes += Math.ceil(length / SHARED_ALIGNMENT) * SHARED_ALIGNMENT
  }
  flush()
  return arrays
}
