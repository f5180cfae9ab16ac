/**
 * What loading files with Python could do: every pickle in them is found and decoded natively, and
 * none is run. See native/core/scan.
 */
import { types } from 'node:util'
import { checkOptions, wrongType } from '../../arguments'
import { binding, type Outcome, type Scanned } from '../../binding'
import { errorFrom } from '../../errors'
import { checkLimits, type Limits } from '../../limits'
import type { NativeFailure } from '../../native'
import { Leaving, watched } from '../../watch'
import { finding } from '../finding'
import { Reports, type SafetyScan } from './report'

export interface SafetyOptions {
  readonly signal?: AbortSignal | undefined
  /** Caps of `open`. */
  readonly limits?: Partial<Limits> | undefined
  /** Where bytes come from, for the finding about names. */
  readonly path?: string | undefined
}

/** A file of many. */
export interface FileScan extends SafetyScan {
  readonly path: string
}

/** Files that are looked at together: so many that handing them over costs nothing beside it. */
const TOGETHER = 128
/** Groups of files that are looked at while the reports of another are unpacked. */
const AHEAD = 2

/**
 * Looks at one file, which is read by position and only as far as it has to be, or at the bytes of
 * one. Elements of tensors are not read.
 *
 * `dangerous` wins over `incomplete`, that over `needs-review`: what is named counts, though the
 * rest could not be read.
 *
 * @throws system errors, {@link StateError} `FILE_CHANGED`, and the reason of a signal; what is
 *   wrong with the file is a finding
 */
export async function scanSafety(
  source: string | Uint8Array,
  options: SafetyOptions = {},
): Promise<SafetyScan> {
  options.signal?.throwIfAborted()
  // The caller's bytes could go away under a thread.
  if (typeof source !== 'string') return scanSafetySync(source, options)
  const { reports, failures } = await scanTogether([source], capsOf(options), options.signal)
  const report = reports.next(source)
  if (report === undefined) throw errorFrom(failures[0]!, source)
  return report
}

/** The same before it returns, without a signal. */
export function scanSafetySync(
  source: string | Uint8Array,
  options: Omit<SafetyOptions, 'signal'> = {},
): SafetyScan {
  const isShared = typeof source !== 'string' && types.isSharedArrayBuffer(source.buffer)
  // Other threads could change shared bytes while they are looked at.
  const stable = isShared ? new Uint8Array(source) : source
  const path = typeof source === 'string' ? source : options.path
  const outcome = binding.scanSync(stable, path, capsOf(options))
  return new Reports(unwrapped(outcome, path)).next(path)!
}

/**
 * The same for many files, on all processors, in their order. A file that cannot be read is
 * `incomplete`, with a finding that says why.
 *
 * @throws the reason of a signal
 */
export async function* scanFiles(
  paths: Iterable<string>,
  options: Omit<SafetyOptions, 'path'> = {},
): AsyncGenerator<FileScan, void, undefined> {
  checkOptions('options', options, ['signal', 'limits'])
  const limits = capsOf(options)
  const leaving = new Leaving(options.signal)
  const ahead: Promise<FileScan[]>[] = []
  try {
    for (const files of groupsOf(paths)) {
      const group = scanGroup(files, limits, leaving.signal)
      // It is heard of when its turn comes.
      group.catch(() => {})
      ahead.push(group)
      if (ahead.length > AHEAD) yield* await ahead.shift()!
    }
    while (ahead.length > 0) yield* await ahead.shift()!
  } finally {
    await leaving.settle(ahead)
  }
}

function capsOf({ limits }: SafetyOptions): Partial<Limits> | undefined {
  return limits === undefined ? undefined : checkLimits(limits)
}

function* groupsOf(paths: Iterable<string>): Generator<string[], void, undefined> {
  let group: string[] = []
  for (const path of paths) {
    if (typeof path !== 'string') throw wrongType('paths', 'strings', path)
    if (group.push(path) < TOGETHER) continue
    yield group
    group = []
  }
  if (group.length > 0) yield group
}

async function scanGroup(
  paths: string[],
  limits: Partial<Limits> | undefined,
  signal: AbortSignal | undefined,
): Promise<FileScan[]> {
  signal?.throwIfAborted()
  const { reports, failures } = await scanTogether(paths, limits, signal)
  let failed = 0
  return paths.map((path) => {
    const report = reports.next(path)
    if (report !== undefined) return { path, ...report }
    const { message } = errorFrom(failures[failed++]!, path)
    const findings = [finding('whole/system', message)]
    return { path, safety: 'incomplete', globals: [], findings, content: '' }
  })
}

async function scanTogether(
  paths: readonly string[],
  limits: Partial<Limits> | undefined,
  signal: AbortSignal | undefined,
): Promise<{ reports: Reports; failures: readonly NativeFailure[] }> {
  const outcome = await watched(
    (control) => binding.scanFiles(paths, limits, control),
    () => signal?.throwIfAborted(),
    () => {},
    signal,
  )
  const scanned = unwrapped(outcome, paths[0])
  return { reports: new Reports(scanned), failures: scanned.failures }
}

function unwrapped<T extends Scanned>(outcome: Outcome<T>, path: string | undefined): T {
  if (outcome.failure) throw errorFrom(outcome.failure, path)
  return outcome
}
