/**
 * Tensors one after another in little memory: what comes next is brought into the page cache ahead
 * of the consumer, and pages behind it leave the process.
 */
import { wrongType, wrongValue } from './arguments'
import { binding } from './binding'
import { bring } from './bring'
import { denseBytes } from './dtype'
import { rowsWithParts, storedRange } from './extents'
import { FileSession, type Session } from './session'
import { rowOf, type Tensor } from './tensor'
import { isView } from './values'
import { checkWatchOptions, type Progress, type WatchOptions } from './watch'

/** How far a stream has come: bytes of the tensors that were taken; `name` is the last of them. */
export type StreamProgress = Progress<'stream'>

export interface StreamOptions extends WatchOptions<'stream'> {
  /** Names among {@link Checkpoint.tensors}; all by default. */
  names?: Iterable<string> | undefined
  /**
   * Bytes of the checkpoint that may be in memory at a time, 256 MiB by default. A tensor that is
   * larger is given all the same.
   */
  budget?: number | undefined
  /** `file`: as they lie there, the fastest; `given`: as in `names`. */
  order?: 'file' | 'given' | undefined
  /**
   * Whether bytes also leave the system's page cache behind the consumer, for files that are read
   * once.
   */
  release?: boolean | undefined
}

const BUDGET = 2 ** 28

/** Bytes between two ranges of a file that are one range to the system. */
const GAP = 2 ** 16

/** Bytes behind the consumer that are worth a call. */
const LEAST_DROPPED = 2 ** 22

/** Bytes of a file, from the header in front of a record on. */
interface Extent {
  storage: number
  start: number
  end: number
}

/** A tensor and where its bytes lie. */
interface Item {
  tensor: Tensor
  name: string
  session: Session
  /** Its own and those of its parts. */
  rows: readonly number[]
  extents: readonly Extent[]
  /** Of all extents; of the elements where it lies in no file. */
  bytes: number
  /** Whether somebody had something of its storages brought here before. */
  isKept: boolean
}

export function checkStreamOptions(options: StreamOptions): StreamOptions {
  checkWatchOptions(options, ['names', 'budget', 'order', 'release'])
  const { names, budget, order, release } = options
  checkNames(names)
  if (budget !== undefined && !(typeof budget === 'number' && budget >= 1)) {
    throw wrongValue('options.budget', 'a number of bytes', budget)
  }
  if (order !== undefined && order !== 'file' && order !== 'given') {
    throw wrongValue('options.order', "'file' or 'given'", order)
  }
  if (release !== undefined && typeof release !== 'boolean') {
    throw wrongType('options.release', 'a boolean', release)
  }
  return options
}

export function checkNames(names: Iterable<string> | undefined): void {
  const isIterable = typeof names === 'object' && typeof names?.[Symbol.iterator] === 'function'
  if (names !== undefined && !isIterable) {
    throw wrongType('names', 'an iterable of names of tensors', names)
  }
}

/** @param tensors in the order that was given */
export async function* stream(
  tensors: Iterable<readonly [string, Tensor]>,
  { budget = BUDGET, order = 'file', release = false, signal, onProgress }: StreamOptions,
): AsyncGenerator<Tensor, void, undefined> {
  const items = itemsOf(tensors)
  if (order === 'file') sortByPlace(items)
  const total = items.reduce((sum, { bytes }) => sum + bytes, 0)
  const lastUses = lastUsesOf(items)
  const behind = new Behind(release)
  // Half for what comes, half for what is being looked at.
  const most = budget / 2
  let [at, loaded, next, ahead] = [0, 0, 0, 0]
  const control = new AbortController()
  try {
    for (const [i, item] of items.entries()) {
      const { session, tensor, name, bytes } = item
      at = i
      signal?.throwIfAborted()
      session.checkOpen()
      if (ahead <= most / 2) {
        const first = Math.max(next, i)
        for (next = first; next < items.length && (ahead < most || next === i); ++next)
          ahead += items[next]!.bytes
        // Nobody waits: a page that is not there yet comes when it is touched.
        void readAhead(items.slice(first, next), most, control.signal).catch(() => {})
      }
      if (session.isRemote) await bring([placeOf(item)], { signal })
      const known = item.rows.filter((row) => session.data.has(row))
      yield tensor
      if (!session.isClosed) behind.add(item, known, lastUses.get(session)!, i)
      ahead -= bytes
      loaded += bytes
      at = i + 1
      onProgress?.({ phase: 'stream', loaded, total, name })
    }
  } finally {
    behind.flush()
    control.abort()
    for (const item of items.slice(at, next)) abandon(item)
  }
}

/** Gives up what was fetched for a consumer that went away. */
function abandon({ session, rows, isKept }: Item): void {
  if (!session.isRemote || isKept || session.isClosed) return
  for (const row of rows) {
    const storage = session.catalog.storageOf(row)
    session.data.delete(row)
    if (storage !== undefined) session.storages.forget(storage)
  }
}

/** Names and tensors as they lie in their files. */
export function inFileOrder(
  tensors: Iterable<readonly [string, Tensor]>,
): readonly (readonly [string, Tensor])[] {
  const items = itemsOf(tensors)
  sortByPlace(items)
  return items.map(({ name, tensor }) => [name, tensor])
}

/** Brings the bytes of tensors into the page cache of the system. */
export async function prefetch(tensors: Iterable<readonly [string, Tensor]>): Promise<void> {
  const items = itemsOf(tensors)
  sortByPlace(items)
  await readAhead(items, Infinity)
}

/** @param most bytes of one tensor; the rest comes as it is read */
async function readAhead(
  items: readonly Item[],
  most: number,
  signal?: AbortSignal,
): Promise<void> {
  const remote = items.filter(({ session }) => session.isRemote)
  if (remote.length > 0) await bring(remote.map(placeOf), { signal })
  const bySession = new Map<FileSession, number[]>()
  for (const { session, extents } of items) {
    if (!(session instanceof FileSession) || session.isRemote) continue
    let rows = bySession.get(session)
    if (rows === undefined) {
      rows = []
      bySession.set(session, rows)
    }
    let left = most
    for (const { start, end } of extents) {
      const length = Math.min(end - start, left)
      left -= length
      const [offset = 0, before = 0] = rows.slice(-2)
      const gap = start - offset - before
      if (rows.length > 0 && gap >= 0 && gap <= GAP) rows.splice(-1, 1, before + gap + length)
      else if (length > 0) rows.push(start, length)
    }
  }
  for (const [session, rows] of bySession) {
    session.unwrap(await binding.readAhead(session.handle, Float64Array.from(rows)))
  }
}

function placeOf({ tensor, session, rows }: Item) {
  return { tensor, session, row: rows[0]! }
}

/** What the consumer has left, given up in pieces that are worth it. */
class Behind {
  readonly #release: boolean
  #session: FileSession | undefined
  #start = 0
  #end = 0

  constructor(release: boolean) {
    this.#release = release
  }

  /**
   * @param known the rows that had their elements before the stream came by
   * @param lastUses by storage, the last item that needs it
   */
  add(
    { session, rows, extents, isKept }: Item,
    known: readonly number[],
    lastUses: ReadonlyMap<number, number>,
    index: number,
  ): void {
    const { catalog, data, storages } = session
    for (const row of rows) {
      const storage = catalog.storageOf(row)
      if (data.has(row) && !known.includes(row) && !isView(session, row)) data.delete(row)
      if (storage === undefined || isKept) continue
      if (lastUses.get(storage) === index) storages.forget(storage)
    }
    if (!(session instanceof FileSession)) return
    for (const { storage, start, end } of extents) {
      if (lastUses.get(storage) !== index) continue
      const follows = session === this.#session && start >= this.#end && start - this.#end <= GAP
      if (!follows) {
        this.flush()
        this.#session = session
        this.#start = start
      }
      this.#end = end
      if (this.#end - this.#start >= LEAST_DROPPED) this.flush()
    }
  }

  flush(): void {
    const session = this.#session
    const length = this.#end - this.#start
    if (session !== undefined && !session.isClosed && length > 0)
      session.unwrap(binding.drop(session.handle, this.#start, length, this.#release))
    // The rest of the last page goes with what follows.
    this.#start = this.#end
  }
}

function itemsOf(tensors: Iterable<readonly [string, Tensor]>): Item[] {
  const places = new Map<FileSession, Float64Array>()
  return Array.from(tensors, ([name, tensor]) => {
    const { session, row } = rowOf(tensor)
    const rows = rowsWithParts(session, row)
    if (!(session instanceof FileSession) || session.source !== undefined) {
      const { catalog } = session
      const bytes = rows.reduce((sum, own) => {
        return sum + denseBytes(catalog.dtype(own), catalog.numel(own))
      }, 0)
      return { tensor, name, session, rows, extents: [], bytes, isKept: false }
    }
    let known = places.get(session)
    if (known === undefined) {
      known = session.unwrap(binding.storagePlaces(session.handle)).places
      places.set(session, known)
    }
    const extents = rows.flatMap((own) => extentOf(session, own, known))
    const bytes = extents.reduce((sum, { start, end }) => sum + end - start, 0)
    const isKept = rows.some((own) => {
      const storage = session.catalog.storageOf(own)
      return storage !== undefined && session.storages.isBrought(storage)
    })
    return { tensor, name, session, rows, extents, bytes, isKept }
  })
}

/** @param places where each storage, or the header in front of it, begins */
function extentOf(session: FileSession, row: number, places: Float64Array): Extent | [] {
  const range = storedRange(session, row)
  if (range === undefined) return []
  const { storage, start, end } = range
  const begin = places[storage]!
  return { storage, start: begin + start, end: begin + end }
}

/** File after file, in the order in which they first come. */
function sortByPlace(items: Item[]): void {
  const files = new Map<Session, number>()
  for (const { session } of items) if (!files.has(session)) files.set(session, files.size)
  const place = ({ extents }: Item) => extents[0]?.start ?? Infinity
  const compare = (a: number, b: number) => (a < b ? -1 : a > b ? 1 : 0)
  items.sort((a, b) => files.get(a.session)! - files.get(b.session)! || compare(place(a), place(b)))
}

/** Of each session, by storage, the last item that needs it. */
function lastUsesOf(items: readonly Item[]): Map<Session, Map<number, number>> {
  const all = new Map<Session, Map<number, number>>()
  for (const [i, { session, rows }] of items.entries()) {
    let uses = all.get(session)
    if (uses === undefined) {
      uses = new Map()
      all.set(session, uses)
    }
    for (const row of rows) {
      const storage = session.catalog.storageOf(row)
      if (storage !== undefined) uses.set(storage, i)
    }
  }
  return all
}
