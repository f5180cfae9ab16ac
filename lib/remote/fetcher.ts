/**
 * Brings bytes of storages here: what is asked for at one time together, nothing twice, and given
 * out only when all of it has come and a whole record is what its checksum was made of.
 */
import { binding } from '../binding'
import { FormatError, RemoteError } from '../errors'
import type { FileSession } from '../session'
import { ExtentColumn } from '../tables'
import type { Range } from '../values'
import { Delivery, Place, sinkFor } from './delivery'
import type { Gate } from './gate'
import { Intervals } from './intervals'
import type { RemoteObject } from './object'
import { requestsFor } from './requests'
import type { RemoteStorages } from './storages'

/** Bytes in front of what is wanted that are fetched with it to save asking for the header first. */
const LONGEST_DETOUR = 2 ** 16

/** Bytes of a storage so long that several requests share it, for which its place must be known. */
const SHARED = 2 ** 25

/** What is fetched together. */
interface Batch {
  readonly wanted: readonly Range[]
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
  /** The one that has not begun: it still takes what is asked for. */
  #next: { wanted: Range[]; batch: Batch } | undefined

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
      const missing = absent.flatMap((range) => this.#gaps(range, this.#storages.room(range).here))
      const fresh = missing.flatMap((range) => this.#gaps(range, this.#coming(range.storage)))
      if (fresh.length > 0) this.#ask(fresh)
      const touched = new Set(missing.map(({ storage }) => storage))
      const batches = [...this.#batches].filter((batch) =>
        batch.wanted.some(({ storage }) => touched.has(storage)),
      )
      await Promise.all(batches.map((batch) => this.#wait(batch, signal)))
    }
  }

  /** Stops all that is under way. */
  stop(): void {
    for (const batch of this.#batches) giveUp(batch)
  }

  #gaps({ storage, start, end }: Range, there: Intervals): Range[] {
    return there.gaps(start, end).map(([from, to]) => ({ storage, start: from, end: to }))
  }

  /** What of a storage is under way. */
  #coming(storage: number): Intervals {
    const coming = new Intervals()
    for (const { wanted } of this.#batches) {
      for (const range of wanted) if (range.storage === storage) coming.add(range.start, range.end)
    }
    return coming
  }

  #ask(wanted: readonly Range[]): void {
    if (this.#next === undefined) {
      const all: Range[] = []
      const batch: Batch = {
        wanted: all,
        control: new AbortController(),
        waiting: 0,
        isGivenUp: false,
        done: Promise.resolve(),
      }
      this.#next = { wanted: all, batch }
      this.#batches.add(batch)
      // After everything that is asked for in this turn.
      batch.done = Promise.resolve()
        .then(() => {
          this.#next = undefined
          return this.#run(batch)
        })
        .finally(() => this.#batches.delete(batch))
      // Those who wait hear of it.
      batch.done.catch(() => {})
    }
    this.#next.wanted.push(...wanted)
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
    const counts = new Map<number, number>()
    for (const { storage } of wanted) counts.set(storage, (counts.get(storage) ?? 0) + 1)
    for (const range of wanted) {
      const place = this.#place(range.storage)
      const isFar = range.start > LONGEST_DETOUR || place.slack > 2 * LONGEST_DETOUR
      const isShared = range.end - range.start > SHARED || counts.get(range.storage)! > 1
      if (place.payload === undefined && (isFar || isShared))
        headers.push(new Delivery(range, place, undefined))
    }
    await this.#request(headers, control)
    const deliveries = wanted.map((range) => {
      return new Delivery(range, this.#place(range.storage), this.#storages.room(range))
    })
    await this.#request(deliveries, control)
    for (const range of wanted) this.#accept(range)
  }

  async #request(deliveries: Delivery[], control: AbortController): Promise<void> {
    deliveries.sort((a, b) => a.start - b.start)
    const requests = requestsFor(deliveries, this.#gate.places, this.#object.grain)
    let failure: { reason: unknown } | undefined
    const fetched = requests.map(({ start, end }) =>
      this.#gate.pass(async () => {
        try {
          control.signal.throwIfAborted()
          const sink = sinkFor(deliveries, start, end)
          await this.#object.read(start, end, sink, control.signal)
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

  #accept(range: Range): void {
    const { storage, start, end } = range
    const piece = this.#storages.room(range)
    if (!piece.arrived.has(start, end)) {
      const message = `bytes ${start} to ${end} of a storage did not all come`
      throw new RemoteError('REMOTE_FAILED', message, { path: this.#session.path })
    }
    const stored = this.#storages.storedBytes(storage)
    const expected = this.#cell(storage, 'crc')
    const isWhole = piece.start === 0 && piece.end === stored && piece.arrived.has(0, stored)
    if (isWhole && expected !== 0 && !piece.here.has(0, stored)) {
      const actual = binding.crc32(piece.bytes)
      if (actual !== expected) {
        this.#storages.forget(storage)
        throw this.#mismatch(storage, expected, actual)
      }
    }
    piece.here.add(start, end)
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
