/**
 * A report: results of models turned into a document of the format that was asked for.
 */
import type { Result } from '../result'
import { type FailOn, type Summary, Tally } from '../summary'
import { HtmlWriter } from './html'
import { JsonLinesWriter, JsonWriter } from './json'
import { JunitWriter } from './junit'
import { SarifWriter } from './sarif'
import { TextWriter } from './text'
import type { Pieces, Writer, WriterOptions } from './writer'

/**
 * - `text`: for a person at a terminal
 * - `json`: one document, `{ version, results, summary }`
 * - `jsonl`: a result on each line, and nothing else
 * - `sarif`: SARIF 2.1.0, for services that show findings beside code
 * - `junit`: a test case for each model, for servers that run tests
 * - `html`: one page with everything in it
 */
export type ReportFormat = 'text' | 'json' | 'jsonl' | 'sarif' | 'junit' | 'html'

const WRITERS: Record<ReportFormat, new (options: WriterOptions) => Writer> = {
  text: TextWriter,
  json: JsonWriter,
  jsonl: JsonLinesWriter,
  sarif: SarifWriter,
  junit: JunitWriter,
  html: HtmlWriter,
}

export const REPORT_FORMATS = Object.keys(WRITERS) as ReportFormat[]

export function isReportFormat(text: string): text is ReportFormat {
  return Object.hasOwn(WRITERS, text)
}

/** Takes a piece of text; what it returns is waited for. */
export type Write = (text: string) => void | Promise<void>

export interface ReportOptions {
  /** Default: false. */
  readonly hasColours?: boolean | undefined
  /** Columns of the terminal. Default: as many as are needed. */
  readonly columns?: number | undefined
  /** Findings of one rule and model that `text` and `junit` show. Default: 5. */
  readonly shown?: number | undefined
  /** What `junit` calls a failure. Default: `error`. */
  readonly failOn?: FailOn | undefined
  /** The folder that `sarif` tells paths from. Default: the working directory. */
  readonly base?: string | undefined
  /** Default: now. */
  readonly began?: Date | undefined
}

/** Characters gathered before they are written. */
const PIECE = 64 * 1024

/** Written as results come: {@link begin} once, {@link add} for each, {@link end} once. */
export class Report {
  readonly #writer: Writer
  readonly #write: Write
  readonly #began: Date
  readonly #tally = new Tally()

  constructor(format: ReportFormat, write: Write, options: ReportOptions = {}) {
    this.#write = write
    this.#began = options.began ?? new Date()
    this.#writer = new WRITERS[format]({
      hasColours: options.hasColours ?? false,
      columns: options.columns ?? Number.POSITIVE_INFINITY,
      shown: options.shown ?? 5,
      failOn: options.failOn ?? 'error',
      base: options.base ?? process.cwd(),
      began: this.#began,
    })
  }

  async begin(): Promise<void> {
    await this.#writeAll(this.#writer.begin())
  }

  async add(result: Result): Promise<void> {
    this.#tally.add(result)
    await this.#writeAll(this.#writer.result(result))
  }

  /** Counts a result that is written already. */
  count(result: Result): void {
    this.#tally.add(result)
  }

  /** `ms` is how long the run took; by default as long as since {@link ReportOptions.began}. */
  async end(ms = Math.max(Date.now() - this.#began.getTime(), 0)): Promise<Summary> {
    const summary = this.#tally.summary(ms)
    await this.#writeAll(this.#writer.end(summary))
    return summary
  }

  async #writeAll(pieces: Pieces): Promise<void> {
    let pending = ''
    for (const piece of pieces) {
      pending += piece
      if (pending.length < PIECE) continue
      await this.#write(pending)
      pending = ''
    }
    if (pending !== '') await this.#write(pending)
  }
}

/** Writes the whole report of results as they come. */
export async function writeReport(
  results: Iterable<Result> | AsyncIterable<Result>,
  format: ReportFormat,
  write: Write,
  options: ReportOptions = {},
): Promise<Summary> {
  const report = new Report(format, write, options)
  await report.begin()
  for await (const result of results) await report.add(result)
  return report.end()
}
