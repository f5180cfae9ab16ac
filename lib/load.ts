/**
 * Elements straight into memory of the caller. Those that lie in a file as they are wanted are read
 * there natively, off the main thread and on several; the others go through {@link Tensor.data}.
 */
import { setImmediate as turn } from 'node:timers/promises'
import { types } from 'node:util'
import { checkOptions, wrongType, wrongValue } from './arguments'
import { binding } from './binding'
import { bring } from './bring'
import { type DType, denseBytes } from './dtype'
import { UnsupportedError } from './errors'
import { FileSession, type Session } from './session'
import { LoadColumn } from './tables'
import type { Tensor } from './tensor'
import { elementsRow, fileRange, type Range } from './values'
import { checkWatchOptions, type Progress, type WatchOptions, watched } from './watch'

/** Memory to write to: a buffer, or a view of a part of one. */
export type Target = ArrayBufferLike | ArrayBufferView

export interface ReadIntoOptions {
  /**
   * `float32` converts as {@link Tensor.toFloat32} does; by default, and otherwise only, the
   * tensor's own.
   */
  dtype?: DType | undefined
  /** Bytes from the start of the target; 0 by default. */
  offset?: number | undefined
}

/** How far reading has come: bytes of the elements as the file has them; `name` is a tensor. */
export type LoadProgress = Progress<'load'>

export type LoadOptions = WatchOptions<'load'>

/** A target and how it is filled. */
export type PlacedTarget = ReadIntoOptions & { target: Target }

/** One entry of what {@link Checkpoint.readAllInto} is to do. */
export type LoadEntry = readonly [name: string, target: Target | PlacedTarget]

/** Bytes that go through JavaScript at a time. */
const PIECE = 2 ** 26

/** A tensor and where it stands. */
export interface Placed {
  tensor: Tensor
  session: Session
  row: number
}

/** A tensor and the memory for it. */
interface Job {
  tensor: Tensor
  session: Session
  row: number
  dtype: number
  toFloat32: boolean
  /** Exactly the bytes to write. */
  target: Uint8Array
  /** Bytes to read. */
  bytes: number
  /** Where they lie in a file as they are. */
  range: Range | undefined
}

/** @throws what {@link Tensor.readInto} throws */
export function readIntoSync(placed: Placed, target: Target, options: ReadIntoOptions): number {
  const job = jobOf(placed, target, options, false)
  if (job.range === undefined) copy(job)
  else {
    const { session, rows, targets } = batches([job])[0]!
    session.unwrap(binding.loadSync(session.handle, rows, targets))
  }
  return job.target.length
}

export async function readInto(
  placed: Placed,
  target: Target,
  options: ReadIntoOptions & LoadOptions,
): Promise<number> {
  const { signal, onProgress } = checkWatchOptions(options, ['dtype', 'offset'])
  const { dtype, offset } = options
  signal?.throwIfAborted()
  const job = jobOf(placed, target, { dtype, offset }, true)
  await bringOf([job], { signal })
  return run([job], { signal, onProgress })
}

/**
 * @param find the tensor of a name
 * @throws what {@link Checkpoint.readAllInto} rejects with
 */
export async function readAllInto(
  plan: Iterable<LoadEntry>,
  find: (name: string) => Placed,
  options: LoadOptions,
): Promise<number> {
  const checked = checkWatchOptions(options)
  checked.signal?.throwIfAborted()
  if (typeof (plan as Partial<Iterable<LoadEntry>>)?.[Symbol.iterator] !== 'function') {
    throw wrongType('plan', 'an iterable of names and targets', plan)
  }
  const jobs: Job[] = []
  for (const [name, given] of plan) {
    const isPlaced = typeof given === 'object' && given !== null && 'target' in given
    const { target, ...rest } = (isPlaced ? given : { target: given }) as PlacedTarget
    jobs.push(jobOf(find(name), target, rest, true))
  }
  await bringOf(jobs, { signal: checked.signal })
  return run(jobs, checked)
}

/** What is elsewhere has to come here first. */
async function bringOf(jobs: readonly Job[], options: LoadOptions): Promise<void> {
  const remote = jobs.filter(({ session }) => session.isRemote)
  if (remote.length > 0) await bring(remote, options)
}

/** All jobs, those that lie in files first; the bytes that were written. */
async function run(jobs: readonly Job[], { signal, onProgress }: LoadOptions): Promise<number> {
  const total = jobs.reduce((sum, { bytes }) => sum + bytes, 0)
  let before = 0
  const step = (session: Session) => {
    signal?.throwIfAborted()
    session.checkOpen()
  }
  const report = (name: string, done: number) =>
    onProgress?.({ phase: 'load', loaded: before + done, total, name })
  for (const { session, rows, targets, names, ends } of batches(jobs)) {
    // The last of those that had begun when so much was read.
    const nameAt = (done: number) => names[ends.findIndex((end) => end > done)] ?? names.at(-1)!
    step(session)
    report(nameAt(0), 0)
    const outcome = await watched(
      (control) => binding.load(session.handle, rows, targets, control),
      () => step(session),
      (done) => report(nameAt(done), done),
      signal,
    )
    session.unwrap(outcome)
    before += ends.at(-1)!
  }
  for (const job of jobs) {
    if (job.range !== undefined) continue
    step(job.session)
    report(job.tensor.name, 0)
    copy(job)
    before += job.bytes
    await turn()
  }
  if (jobs.length > 0) report(jobs.at(-1)!.tensor.name, 0)
  return jobs.reduce((sum, { target }) => sum + target.length, 0)
}

/** What one native call reads: all of one file. */
interface Batch {
  session: FileSession
  rows: Float64Array
  targets: Uint8Array[]
  names: string[]
  /** Bytes that are read once each is done. */
  ends: number[]
}

/** The jobs of each file, in the order of the file. */
function batches(jobs: readonly Job[]): Batch[] {
  const bySession = new Map<FileSession, (Job & { range: Range })[]>()
  for (const job of jobs) {
    const { session, range } = job
    if (range === undefined || !(session instanceof FileSession)) continue
    const known = bySession.get(session)
    if (known === undefined) bySession.set(session, [{ ...job, range }])
    else known.push({ ...job, range })
  }
  return [...bySession].map(([session, all]) => {
    if (all.length > 1) {
      const { places } = session.unwrap(binding.storagePlaces(session.handle))
      const place = ({ range }: { range: Range }) => places[range.storage]! + range.start
      all.sort((a, b) => place(a) - place(b))
    }
    const rows = new Float64Array(all.length * LoadColumn.count)
    let done = 0
    const ends = all.map(({ range, dtype, toFloat32 }, i) => {
      const at = i * LoadColumn.count
      rows[at + LoadColumn.storage] = range.storage
      rows[at + LoadColumn.start] = range.start
      rows[at + LoadColumn.end] = range.end
      rows[at + LoadColumn.dtype] = dtype
      rows[at + LoadColumn.toFloat32] = Number(toFloat32)
      done += range.end - range.start
      return done
    })
    const targets = all.map(({ target }) => target)
    return { session, rows, targets, names: all.map(({ tensor }) => tensor.name), ends }
  })
}

/** Through the tensor's own data, on this thread. */
function copy({ tensor, toFloat32, target }: Job): void {
  if (toFloat32) {
    const floats = tensor.toFloat32()
    target.set(new Uint8Array(floats.buffer, floats.byteOffset, floats.byteLength))
    return
  }
  for (let start = 0; start < target.length; start += PIECE) {
    const end = Math.min(start + PIECE, target.length)
    target.set(tensor.bytes(start, end), start)
  }
}

function jobOf(placed: Placed, target: Target, options: ReadIntoOptions, isAsync: boolean): Job {
  checkOptions('options', options as unknown, ['dtype', 'offset'])
  const { tensor, session, row: own } = placed
  session.checkOpen()
  const { name } = tensor
  const row = elementsRow(session, own, name)
  const dtype = session.catalog.dtype(row)
  const wanted = options.dtype ?? dtype.name
  if (wanted !== dtype.name && wanted !== 'float32') {
    throw wrongValue('options.dtype', `'float32' or '${dtype.name}'`, wanted)
  }
  const toFloat32 = wanted !== dtype.name
  if (toFloat32 && (dtype.kind === 'Complex' || dtype.kind === 'Bits')) {
    const message = `tensor '${name}' is ${dtype.name}, whose elements are no real numbers`
    throw new UnsupportedError('UNSUPPORTED_DTYPE', message, { path: session.path }, dtype.name)
  }
  const count = session.catalog.numel(row)
  const bytes = denseBytes(dtype, count)
  const needed = toFloat32 ? 4 * count : bytes
  const view = memoryOf(target, options.offset ?? 0, needed, isAsync)
  if (toFloat32 && view.byteOffset % 4 !== 0) {
    throw wrongValue(
      'options.offset',
      'a place for float32, a multiple of 4 bytes',
      view.byteOffset,
    )
  }
  // Scales and zero points are on this side.
  const isNative = needed > 0 && !(toFloat32 && dtype.kind === 'Quantized')
  const range = isNative ? fileRange(session, row, name) : undefined
  const index = dtype.index
  return { tensor, session, row: own, dtype: index, toFloat32, target: view, bytes, range }
}

/** `needed` bytes of a target from `offset` on. */
function memoryOf(target: Target, offset: number, needed: number, isAsync: boolean): Uint8Array {
  let all: Uint8Array
  if (ArrayBuffer.isView(target)) {
    all = new Uint8Array(target.buffer, target.byteOffset, target.byteLength)
  } else if (types.isAnyArrayBuffer(target)) {
    all = new Uint8Array(target)
  } else {
    throw wrongType('target', 'an ArrayBuffer, a SharedArrayBuffer or a view of one', target)
  }
  const { buffer } = all
  if (isAsync && buffer instanceof ArrayBuffer && (buffer as { resizable?: boolean }).resizable) {
    throw wrongValue('target', 'memory that cannot shrink meanwhile', target)
  }
  if (!Number.isInteger(offset) || offset < 0) {
    throw wrongValue('options.offset', 'a number of bytes', offset)
  }
  if (needed > all.length - offset) {
    throw wrongValue('target', `at least ${needed} bytes from byte ${offset} on`, all.length)
  }
  return all.subarray(offset, offset + needed)
}
