/**
 * Brings bytes of storages here: what is asked for at one time together, nothing twice, and given
 * out only when all of it has come and a whole record is what its checksum was made of.
 */
import { binding } from '../binding'
import { FormatError, RemoteError } from '../errors'
import type { FileSession } from '../session'
import { ExtentColumn } from '../tables'
import type { Range } from '../values'
import { Delivery, Place, prepareRoom, sinkFor, wanting } from './delivery'
import type { Gate } from './gate'
import { Intervals } from './intervals'
import type { RemoteObject } from './object'
import { requestsFor } from './requests'
import type { Piece, RemoteStorages } from './storages'

/** Bytes in front of what is wanted that are fetched with it to save asking for the header first. */
const LONGEST_DETOUR = 2 ** 16

/** Bytes of a storage so long that several requests share it, for which its place must be known. */
const SHARED = 2 ** 25

/** Bytes of one storage that are wanted, and where they go. */
interface Wanted {
  readonly storage: number
  readonly ranges: Intervals
  readonly piece: Piece
}

/** What is fetched together. */
interface Batch {
  /** By piece: of a long storage there can be several. */
  readonly wanted: Map<Piece, Wanted>
  readonly control: AbortController
  /** Callers that wait for it; it is given up when there are none. */
  waiting: number
  isGivenUp: boolean
  done: Promise<void>
}

export class Fetcher {
  readonly #session: FileSession
  readonly #storages: RemoteStorages
  readonly #object: RemoteObject
  readonly #gate: Gate
  readonly #places = new Map<number, Place>()
  readonly #batches = new Set<Batch>()
  /** Those that bring bytes to a piece. */
  readonly #coming = new Map<Piece, Set<Batch>>()
  /** The one that has not begun: it still takes what is asked for. */
  #next: Batch | undefined

  constructor(session: FileSession, storages: RemoteStorages, object: RemoteObject, gate: Gate) {
    this.#session = session
    this.#storages = storages
    this.#object = object
    this.#gate = gate
  }

  /**
   * Until all of `wanted` is here.
   *
   * @throws {@link RemoteError}, {@link StateError} `FILE_CHANGED`, `CLOSED`
   * @throws {@link FormatError} `CHECKSUM_MISMATCH`, `BAD_RECORD`
   */
  async bring(wanted: readonly Range[], signal: AbortSignal | undefined): Promise<void> {
    for (;;) {
      signal?.throwIfAborted()
      this.#session.checkOpen()
      const absent = wanted.filter((range) => !this.#storages.isHere(range))
      if (absent.length === 0) return
      this.#storages.prepare(absent)
      const batches = new Set<Batch>()
      for (const range of absent) {
        const piece = this.#storages.room(range)
        for (const [start, end] of piece.here.gaps(range.start, range.end))
          this.#ask({ storage: range.storage, start, end }, piece)
        for (const batch of this.#coming.get(piece) ?? []) batches.add(batch)
      }
      await Promise.all(Array.from(batches, (batch) => this.#wait(batch, signal)))
    }
  }

  /** Stops all that is under way. */
  stop(): void {
    for (const batch of this.#batches) giveUp(batch)
  }

  /** Has what of a range is not under way brought by the next batch. */
  #ask({ storage, start, end }: Range, piece: Piece): void {
    let missing = [[start, end] as const]
    for (const { wanted } of this.#coming.get(piece) ?? [])
      missing = missing.flatMap(([from, to]) => wanted.get(piece)!.ranges.gaps(from, to))
    if (missing.length === 0) return
    this.#next ??= this.#begin()
    let wanted = this.#next.wanted.get(piece)
    if (wanted === undefined) {
      wanted = { storage, ranges: new Intervals(), piece }
      this.#next.wanted.set(piece, wanted)
      const coming = this.#coming.get(piece) ?? new Set()
      this.#coming.set(piece, coming.add(this.#next))
    }
    for (const [from, to] of missing) wanted.ranges.add(from, to)
  }

  /** A batch that is fetched after everything that is asked for in this turn. */
  #begin(): Batch {
    const batch: Batch = {
      wanted: new Map(),
      control: new AbortController(),
      waiting: 0,
      isGivenUp: false,
      done: Promise.resolve(),
    }
    this.#batches.add(batch)
    batch.done = Promise.resolve()
      .then(() => {
        this.#next = undefined
        return this.#run(batch)
      })
      .finally(() => this.#end(batch))
    // Those who wait hear of it.
    batch.done.catch(() => {})
    return batch
  }

  #end(batch: Batch): void {
    this.#batches.delete(batch)
    for (const piece of batch.wanted.keys()) {
      const coming = this.#coming.get(piece)
      coming?.delete(batch)
      if (coming?.size === 0) this.#coming.delete(piece)
    }
  }

  async #wait(batch: Batch, signal: AbortSignal | undefined): Promise<void> {
    ++batch.waiting
    let stop = () => {}
    const stopped = new Promise<void>((resolve) => {
      stop = resolve
    })
    signal?.addEventListener('abort', stop, { once: true })
    try {
      await Promise.race([batch.done, stopped])
    } catch (error) {
      // Given up by those who asked for it, not by this one, who asks again.
      if (!batch.isGivenUp) throw error
    } finally {
      signal?.removeEventListener('abort', stop)
      if (--batch.waiting === 0) giveUp(batch)
    }
  }

  async #run({ wanted, control }: Batch): Promise<void> {
    const headers: Delivery[] = []
    for (const { storage, ranges } of wanted.values()) {
      const place = this.#place(storage)
      const all = [...ranges]
      for (const [start, end] of all) {
        const isFar = start > LONGEST_DETOUR || place.slack > 2 * LONGEST_DETOUR
        const isShared = end - start > SHARED || all.length > 1
        if (place.payload === undefined && (isFar || isShared))
          headers.push(new Delivery({ storage, start, end }, place, undefined))
      }
    }
    await this.#request(headers, control)
    const bodies: Delivery[] = []
    for (const { storage, ranges, piece } of wanted.values()) {
      for (const [start, end] of ranges)
        bodies.push(new Delivery({ storage, start, end }, this.#place(storage), piece))
    }
    await this.#request(bodies, control)
    for (const one of wanted.values()) this.#accept(one)
  }

  async #request(deliveries: Delivery[], control: AbortController): Promise<void> {
    deliveries.sort((a, b) => a.start - b.start)
    const requests = requestsFor(deliveries, this.#gate.places, this.#object.grain)
    let failure: { reason: unknown } | undefined
    const fetched = requests.map(({ start, end }) =>
      this.#gate.pass(async () => {
        try {
          control.signal.throwIfAborted()
          const served = wanting(deliveries, start, end)
          prepareRoom(served, start, end)
          await this.#object.read(start, end, sinkFor(served), control.signal)
        } catch (reason) {
          failure ??= { reason }
          control.abort(reason)
        }
      }),
    )
    await Promise.all(fetched)
    if (failure !== undefined) throw failure.reason
  }

  #place(storage: number): Place {
    let place = this.#places.get(storage)
    if (place === undefined) {
      const cell = (column: keyof typeof ExtentColumn) => this.#cell(storage, column)
      const begin = cell('begin')
      const slack = cell('end') - cell('stored') - begin
      place = new Place(begin, cell('header'), slack, (header) => {
        const { handle } = this.#session
        this.#session.checkOpen()
        return this.#session.unwrap(binding.placeStorage(handle, storage, header)).offset
      })
      this.#places.set(storage, place)
    }
    return place
  }

  #accept({ storage, ranges, piece }: Wanted): void {
    for (const [start, end] of ranges) {
      if (piece.arrived.has(start, end)) continue
      const message = `bytes ${start} to ${end} of a storage did not all come`
      throw new RemoteError('REMOTE_FAILED', message, { path: this.#session.path })
    }
    const stored = this.#storages.storedBytes(storage)
    const expected = this.#cell(storage, 'crc')
    const isWhole = piece.start === 0 && piece.end === stored && piece.arrived.has(0, stored)
    // What somebody could look at before may have been written to.
    if (isWhole && expected !== 0 && piece.here.isEmpty) {
      const actual = binding.crc32(piece.bytes)
      if (actual !== expected) {
        this.#storages.forget(storage)
        throw this.#mismatch(storage, expected, actual)
      }
    }
    for (const [start, end] of ranges) piece.here.add(start, end)
  }

  #mismatch(storage: number, expected: number, actual: number): FormatError {
    const { catalog, path } = this.#session
    const hex = (crc: number) => crc.toString(16).padStart(8, '0')
    const record = `data/${catalog.storageKey(storage)}`
    const message = `record '${record}' has the checksum ${hex(actual)}, not ${hex(expected)}`
    const { payload } = this.#place(storage)
    return new FormatError('CHECKSUM_MISMATCH', message, { path, record, offset: payload })
  }

  #cell(storage: number, column: keyof typeof ExtentColumn): number {
    return this.#storages.extents[storage * ExtentColumn.count + ExtentColumn[column]]!
  }
}

function giveUp(batch: Batch): void {
  batch.isGivenUp = true
  batch.control.abort()
}
