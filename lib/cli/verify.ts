/** The command `torchmap verify`: all models below some paths, and what is wrong with them. */
import { createWriteStream, existsSync, readFileSync, statSync, truncateSync } from 'node:fs'
import { dirname, resolve } from 'node:path'
import { finished } from 'node:stream/promises'
import { readExpected } from '../zoo/complete'
import { statusOf } from '../zoo/finding'
import { absentModels, checkLock, type Lock, lockOf, readLock, writeLock } from '../zoo/lock'
import { Report, type ReportFormat } from '../zoo/report/report'
import type { Finding, Result } from '../zoo/result'
import { exitCodeOf, type FailOn } from '../zoo/summary'
import { verifyZoo } from '../zoo/verify'
import { modelsOf } from '../zoo/walk'
import type { Output } from './output'
import { ProgressLine } from './progress'

export interface VerifyCommand {
  jobs: number | undefined
  deep: boolean
  /** A lock file: compared with where there is one, else written. */
  lock: string | undefined
  expect: string | undefined
  ignore: readonly string[]
  failOn: FailOn
  format: ReportFormat
  /** A file instead of standard output. */
  file: string | undefined
  /** Goes on where a run that wrote `file` as jsonl was broken off. */
  resume: boolean
}

/** Bars of a histogram. */
const BINS = 48

/** What a lock needs to know of a model; the findings of thousands would fill the memory. */
type Recorded = Pick<Result, 'path' | 'bytes' | 'files' | 'details'>

/** @returns the exit code */
export async function verifyCommand(
  paths: readonly string[],
  command: VerifyCommand,
  output: Output,
): Promise<0 | 1> {
  const { format, failOn, lock: lockPath, ignore } = command
  const expected = command.expect === undefined ? undefined : readExpected(command.expect)
  const lock = lockPath !== undefined && existsSync(lockPath) ? await readLock(lockPath) : undefined
  const done = command.resume ? resultsIn(command.file!) : []
  const target = command.file === undefined ? output : new FileTarget(command.file, command.resume)
  const progress = new ProgressLine(process.stderr, () => totalOf(paths, ignore))
  const isTerminal = target === output && output.isTerminal
  const report = new Report(format, (text) => target.write(text), {
    failOn,
    ...(isTerminal ? { hasColours: output.hasColours, columns: output.columns } : {}),
  })
  await report.begin()
  const recorded: Recorded[] = []
  const results = verifyZoo(paths, {
    jobs: command.jobs,
    deep: command.deep,
    bins: format === 'html' && command.deep ? BINS : 0,
    digests: lockPath !== undefined,
    expected,
    ignore,
    done,
  })
  const known = new Set(done.map(({ path }) => path))
  try {
    for await (const result of results) {
      const checked = lock === undefined ? result : withFindings(result, checkLock(lock, result))
      if (lockPath !== undefined) recorded.push(recordedOf(result))
      progress.clear()
      // What a broken run has written stands there already.
      if (!known.has(result.path)) await report.add(checked)
      else report.count(checked)
      progress.step(result.bytes)
    }
  } finally {
    progress.clear()
  }
  if (lock !== undefined)
    for (const gone of absentModels(lock, recorded)) await report.add(absentResult(lock, gone))
  const summary = await report.end()
  if (target instanceof FileTarget) await target.end()
  if (lockPath !== undefined && lock === undefined)
    await writeLock(lockPath, lockOf(recorded, dirname(resolve(lockPath))))
  return exitCodeOf(summary, failOn)
}

function recordedOf({ path, bytes, files, details }: Result): Recorded {
  return {
    path,
    bytes,
    ...(files === undefined ? {} : { files }),
    ...(details === undefined ? {} : { details }),
  }
}

function withFindings(result: Result, more: readonly Finding[]): Result {
  const findings = [...result.findings, ...more]
  return { ...result, findings, status: statusOf(findings) }
}

/** A model that was recorded and is not there. */
function absentResult({ folder }: Lock, found: Finding): Result {
  const { path = '', ...rest } = found
  return {
    path: resolve(folder, path),
    status: 'error',
    integrity: 'unreadable',
    safety: 'incomplete',
    globals: [],
    tensors: 0,
    bytes: 0,
    ms: 0,
    findings: [rest],
  }
}

/** The results that a broken run has written whole; what follows the last of them is cut off. */
function resultsIn(path: string): Result[] {
  if (!existsSync(path)) return []
  const text = readFileSync(path)
  const end = text.lastIndexOf('\n') + 1
  truncateSync(path, end)
  const lines = text.toString('utf8', 0, end).split('\n')
  return lines.filter((line) => line !== '').map((line) => JSON.parse(line) as Result)
}

function totalOf(paths: readonly string[], ignore: readonly string[]) {
  let [models, bytes] = [0, 0]
  for (const path of paths) {
    for (const { files } of modelsOf(path, { ignore })) {
      ++models
      for (const file of files) bytes += statSync(file, { throwIfNoEntry: false })?.size ?? 0
    }
  }
  return { models, bytes }
}

/** A report in a file, written at the pace of the disk. */
class FileTarget {
  readonly #stream

  constructor(path: string, isMore: boolean) {
    this.#stream = createWriteStream(path, { flags: isMore ? 'a' : 'w' })
    // Whoever writes next or ends hears of it.
    this.#stream.on('error', () => {})
  }

  async write(text: string): Promise<void> {
    await new Promise<void>((resolve, reject) => {
      this.#stream.write(text, (error) => (error ? reject(error) : resolve()))
    })
  }

  async end(): Promise<void> {
    this.#stream.end()
    await finished(this.#stream)
  }
}
