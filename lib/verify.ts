/**
 * Checking a checkpoint against the checksums in its files, natively and off the main thread.
 */
import { binding, type Outcome, type Verified } from './binding'
import { stringAt } from './catalog'
import {
  FormatError,
  isCheckpointError,
  isFileError,
  UnsafeError,
  UnsupportedError,
} from './errors'
import type { FileContent } from './file-content'
import { VerifiedColumn } from './tables'
import { type Progress, type WatchOptions, watched } from './watch'

/**
 * - `ok`: the bytes have the CRC-32 that the archive says
 * - `mismatch`: they have another, or the record or file is damaged as `message` says
 * - `absent`: the record was written without a CRC-32
 * - `none`: the format has no checksums, or the record cannot be read, as `message` says
 */
export type Verdict = 'ok' | 'mismatch' | 'absent' | 'none'

/** What {@link Checkpoint.verify} found out about one record. */
export interface RecordVerdict {
  /**
   * Name in the archive; of formats without archives the key of a storage, or empty for the file.
   */
  readonly record: string
  readonly verdict: Verdict
  /** The file it lies in; nothing for bytes. */
  readonly path: string | undefined
  /** Of a distributed checkpoint: the item whose archive it is a record of. */
  readonly item?: string
  /** Bytes in the file. */
  readonly bytes: number
  /** CRC-32 that the archive says; only with `ok` and `mismatch`. */
  readonly expected?: number
  /** CRC-32 of the bytes, where they could be read. */
  readonly actual?: number
  /**
   * Names of the tensors whose elements lie in it; those that only the file has when it is opened
   * alone, by its names.
   */
  readonly tensors: readonly string[]
  /** What is wrong, or why nothing can be said, where numbers do not tell. */
  readonly message?: string
}

/**
 * How far {@link Checkpoint.verify} has come: bytes of all files; `name` is the file, of a
 * distributed checkpoint the item, empty for bytes.
 */
export type VerifyProgress = Progress<'verify'>

export type VerifyOptions = WatchOptions<'verify'>

/** What is checked on its own: a file, or an archive in one. */
export interface Unit {
  readonly name: string
  readonly path: string | undefined
  readonly item?: string
  /** Bytes of the file. */
  readonly bytes: number
  /** Nothing for a file that has no checksums and is not opened. */
  open?(): FileContent
  /** Names of tensors by record, where they are not those of the content itself. */
  names?(content: FileContent): Map<number, string[]>
  /** Closes what was opened for this alone. */
  release?(content: FileContent): void
}

const VERDICTS = ['ok', 'mismatch', 'absent', 'none'] as const

/**
 * Checks all units, one after another. One that cannot be opened has a verdict of its own.
 *
 * @param checkOpen throws once the checkpoint is closed
 */
export async function verify(
  units: readonly Unit[],
  options: VerifyOptions,
  checkOpen: () => void,
): Promise<RecordVerdict[]> {
  const verdicts: RecordVerdict[] = []
  await eachVerdict(units, options, checkOpen, openOrJudge, (found) => verdicts.push(found))
  return verdicts
}

/** The same before it returns. */
export function verifySync(units: readonly Unit[]): RecordVerdict[] {
  const verdicts: RecordVerdict[] = []
  eachVerdictSync(units, openOrJudge, (found) => verdicts.push(found))
  return verdicts
}

/**
 * Checks units up to the first record that is not as it was.
 *
 * @throws {@link FormatError} `CHECKSUM_MISMATCH` for that record
 * @throws what opening a unit throws
 */
export async function refuseDamaged(
  units: readonly Unit[],
  options: VerifyOptions,
  checkOpen: () => void,
): Promise<void> {
  await eachVerdict(units, options, checkOpen, openUnit, refuse)
}

/**
 * The same before it returns.
 *
 * @throws what {@link refuseDamaged} rejects with
 */
export function refuseDamagedSync(units: readonly Unit[]): void {
  eachVerdictSync(units, openUnit, refuse)
}

function eachVerdictSync(
  units: readonly Unit[],
  open: (unit: Unit) => Check | RecordVerdict,
  take: (found: RecordVerdict) => void,
): void {
  for (const unit of units) {
    const opened = open(unit)
    if (!(opened instanceof Check)) {
      take(opened)
      continue
    }
    try {
      for (const found of opened.verdicts(opened.runSync())) take(found)
    } finally {
      opened.release()
    }
  }
}

/** Calls `take` with one verdict after another; what it throws stops the work. */
async function eachVerdict(
  units: readonly Unit[],
  { signal, onProgress }: VerifyOptions,
  checkOpen: () => void,
  open: (unit: Unit) => Check | RecordVerdict,
  take: (found: RecordVerdict) => void,
): Promise<void> {
  const total = units.reduce((sum, { bytes }) => sum + bytes, 0)
  let before = 0
  const step = () => {
    signal?.throwIfAborted()
    checkOpen()
  }
  for (const unit of units) {
    step()
    const report = (done: number) => {
      const loaded = before + Math.min(done, unit.bytes)
      onProgress?.({ phase: 'verify', loaded, total, name: unit.name })
    }
    report(0)
    const opened = open(unit)
    if (opened instanceof Check) {
      try {
        for (const found of opened.verdicts(await opened.run(step, report, signal))) take(found)
      } finally {
        opened.release()
      }
    } else take(opened)
    report(unit.bytes)
    before += unit.bytes
  }
}

/** @throws {@link FormatError} `CHECKSUM_MISMATCH` when the verdict is `mismatch` */
function refuse({ verdict, record, path, bytes, expected, actual, message }: RecordVerdict): void {
  if (verdict !== 'mismatch') return
  const what =
    actual === undefined
      ? `record '${record}' is damaged: ${message}`
      : `the ${bytes} bytes of record '${record}' have CRC-32 ${actual} but the archive says ${expected}`
  throw new FormatError('CHECKSUM_MISMATCH', what, { path, record })
}

/** @throws what opening the unit throws */
function openUnit(unit: Unit): Check | RecordVerdict {
  return unit.open === undefined ? judged(unit, 'none') : new Check(unit, unit.open())
}

/** A file that is not there or damaged is a mismatch; of one that is not read nothing is known. */
function openOrJudge(unit: Unit): Check | RecordVerdict {
  try {
    return openUnit(unit)
  } catch (error) {
    const isMissing = isCheckpointError(error, 'MISSING_SHARD') || isFileError(error)
    if (isMissing || error instanceof FormatError) return judged(unit, 'mismatch', error.message)
    const isRefused = error instanceof UnsupportedError || error instanceof UnsafeError
    if (isRefused) return judged(unit, 'none', error.message)
    throw error
  }
}

/** The verdict of a unit as a whole. */
function judged({ path, bytes, item }: Unit, verdict: Verdict, message?: string): RecordVerdict {
  return Object.freeze({
    record: '',
    verdict,
    path,
    ...(item === undefined ? {} : { item }),
    bytes,
    tensors: [],
    ...(message === undefined ? {} : { message }),
  })
}

/** Where a record is. */
type Place = Pick<RecordVerdict, 'path' | 'item'>

/** One unit that was opened. */
class Check {
  readonly #unit: Unit
  readonly #content: FileContent
  /** Names of tensors by record, or, where there is no archive, by storage. */
  readonly #names: ReadonlyMap<number, string[]>

  constructor(unit: Unit, content: FileContent) {
    this.#unit = unit
    this.#content = content
    this.#names = unit.names?.(content) ?? content.tensorsByRecord()
  }

  release(): void {
    this.#unit.release?.(this.#content)
  }

  runSync(): Verified {
    const { handle, source, limits } = this.#content.session
    return this.#unwrap(binding.verifySync(handle, source, { ...limits }))
  }

  /** @param step throws when the work has to stop */
  async run(
    step: () => void,
    report: (done: number) => void,
    signal: AbortSignal | undefined,
  ): Promise<Verified> {
    const { handle, source, limits } = this.#content.session
    const outcome = await watched(
      (control) => binding.verify(handle, source, { ...limits }, control),
      step,
      report,
      signal,
    )
    return this.#unwrap(outcome)
  }

  *verdicts({ names, faults, rows }: Verified): Generator<RecordVerdict, void> {
    const { path, item } = this.#unit
    const place: Place = item === undefined ? { path } : { path, item }
    if (!this.#content.hasRecords) {
      yield* this.#withoutRecords(place)
      return
    }
    for (let i = 0; i < names.ends.length; ++i) {
      const cell = (column: keyof typeof VerifiedColumn) =>
        rows[i * VerifiedColumn.count + VerifiedColumn[column]]!
      const record = stringAt(names, i)
      const verdict = VERDICTS[cell('verdict')]!
      const message = stringAt(faults, i)
      const bytes = cell('stored')
      const tensors = this.#names.get(i) ?? []
      const expected = cell('expected')
      if (message !== '') {
        const said = verdict === 'mismatch' && expected !== 0 ? { expected } : {}
        yield Object.freeze({ record, ...place, bytes, tensors, verdict, ...said, message })
      } else if (verdict === 'absent') {
        yield Object.freeze({ record, ...place, bytes, tensors, verdict })
      } else {
        const actual = cell('actual')
        // Spelled out for nearly all records there are: spreading takes several times as long.
        yield item === undefined
          ? Object.freeze({ record, path, bytes, tensors, verdict, expected, actual })
          : Object.freeze({ record, path, item, bytes, tensors, verdict, expected, actual })
      }
    }
  }

  /** Sizes were compared when it was opened, and once more by the native side. */
  *#withoutRecords(place: { path: string | undefined; item?: string }) {
    const { catalog } = this.#content.session
    let count = 0
    for (const [storage, tensors] of this.#names) {
      const record = catalog.storageKey(storage)
      const bytes = catalog.storageBytes(storage)
      yield Object.freeze({ record, verdict: 'none', ...place, bytes, tensors } as const)
      ++count
    }
    if (count > 0) return
    const { bytes } = this.#unit
    yield Object.freeze({ record: '', verdict: 'none', ...place, bytes, tensors: [] } as const)
  }

  #unwrap(outcome: Outcome<Verified>): Verified {
    return this.#content.session.unwrap(outcome)
  }
}
