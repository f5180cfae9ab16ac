/** Bytes of a file, as they arrive, to the storages they belong to. */
import { binding } from '../binding'
import type { Range } from '../values'
import type { Sink } from './object'
import type { Stretch } from './requests'
import type { Piece } from './storages'

/** Bytes of one storage that are wanted, and where in the file to find them. */
export class Delivery implements Stretch {
  /** Bytes of the file that have what is wanted; its header too, where that is not known yet. */
  readonly start: number
  readonly end: number
  readonly isCuttable: boolean
  readonly #want: Range
  readonly #place: Place
  readonly #piece: Piece | undefined

  /** @param piece where the bytes go; nothing: only the header is wanted */
  constructor(want: Range, place: Place, piece: Piece | undefined) {
    this.#want = want
    this.#place = place
    this.#piece = piece
    const { payload, begin, header, slack } = place
    this.isCuttable = payload !== undefined
    if (payload !== undefined) {
      this.start = payload + want.start
      this.end = payload + want.end
    } else {
      this.start = begin
      this.end = piece === undefined ? begin + header : begin + slack + want.end
    }
  }

  /** Where what it wants of bytes [start, end) of the file will go, as far as that is known. */
  room(start: number, end: number): Uint8Array | undefined {
    const piece = this.#piece
    if (piece === undefined) return undefined
    const { payload, begin, slack } = this.#place
    const from = Math.max(start - (payload ?? begin + slack), this.#want.start)
    const to = Math.min(end - (payload ?? begin), this.#want.end)
    return from < to ? piece.bytes.subarray(from - piece.start, to - piece.start) : undefined
  }

  /** Takes what it wants of bytes of the file. */
  take(offset: number, bytes: Uint8Array): void {
    const place = this.#place
    if (place.payload === undefined && !place.read(offset, bytes)) return
    const piece = this.#piece
    if (piece === undefined) return
    const payload = place.payload!
    const from = Math.max(offset, payload + this.#want.start)
    const to = Math.min(offset + bytes.length, payload + this.#want.end)
    if (from >= to) return
    piece.bytes.set(bytes.subarray(from - offset, to - offset), from - payload - piece.start)
    piece.arrived.add(from - payload, to - payload)
  }
}

/** Where the bytes of one storage begin: known, or to be read in the header in front of them. */
export class Place {
  /** Bytes from the start of the file to the bytes of the storage. */
  payload: number | undefined
  readonly #seen: Uint8Array
  #count = 0

  /**
   * @param begin bytes from the start of the file to the header
   * @param header bytes of it that say where the storage begins
   * @param slack bytes from `begin` within which the storage begins
   * @param find reads the header
   */
  constructor(
    readonly begin: number,
    readonly header: number,
    readonly slack: number,
    readonly find: (header: Uint8Array) => number,
  ) {
    if (header === 0) this.payload = begin
    this.#seen = new Uint8Array(header)
  }

  /** Bytes arrive in order; whether it is known now. */
  read(offset: number, bytes: Uint8Array): boolean {
    const at = this.begin + this.#count
    if (offset > at || offset + bytes.length <= at) return this.payload !== undefined
    const part = bytes.subarray(at - offset, at - offset + this.header - this.#count)
    this.#seen.set(part, this.#count)
    this.#count += part.length
    if (this.#count === this.header) this.payload = this.find(this.#seen)
    return this.payload !== undefined
  }
}

/** Those of `deliveries`, which are in order, that want some of the bytes [start, end) of the file. */
export function wanting(deliveries: readonly Delivery[], start: number, end: number): Delivery[] {
  return deliveries.filter((delivery) => delivery.start < end && delivery.end > start)
}

/** Gives what arrives by one request to those who want it, which are in order. */
export function sinkFor(deliveries: readonly Delivery[]): Sink {
  let first = 0
  return (offset, bytes) => {
    while (first < deliveries.length && deliveries[first]!.end <= offset) ++first
    const behind = offset + bytes.length
    for (let i = first; i < deliveries.length && deliveries[i]!.start < behind; ++i)
      deliveries[i]!.take(offset, bytes)
  }
}

/** Bytes for which it pays to have their pages given on another thread. */
const WORTH_POPULATING = 2 ** 20

/** While the first bytes of a request are on their way. */
export function prepareRoom(deliveries: readonly Delivery[], start: number, end: number): void {
  const rooms = deliveries.flatMap((delivery) => delivery.room(start, end) ?? [])
  const large = rooms.filter(({ length }) => length >= WORTH_POPULATING)
  // Nothing waits for it, and nothing is lost where it fails.
  if (large.length > 0) binding.populate(large).catch(() => {})
}
