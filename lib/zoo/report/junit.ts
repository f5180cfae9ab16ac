/**
 * Results as JUnit XML: one suite, a test case for each model. Everything that both widespread
 * schemas ask for is there: JUnit.xsd of Ant's tasks and junit-10.xsd of Jenkins' xUnit plugin.
 *
 * A suite says how many of its cases failed before the first of them, so cases wait in memory;
 * findings beyond the first few of a rule are counted, which keeps a case small.
 */
import { countText } from '../../cli/text'
import type { Result, Status } from '../result'
import { type FailOn, isFailure, type Summary } from '../summary'
import { type Group, groupsOf } from './groups'
import { lineOf, summaryLines } from './text'
import type { Pieces, Writer, WriterOptions } from './writer'
import { xmlText } from './xml'

/** Three places: more does not fit junit-10.xsd. */
const seconds = (ms: number) => (ms / 1000).toFixed(3)

export class JunitWriter implements Writer {
  readonly #failOn: FailOn
  readonly #shown: number
  readonly #began: Date
  readonly #cases: string[] = []
  /** Findings that fail nothing, for the end of the suite. */
  readonly #notes: string[] = []
  #failures = 0

  constructor({ failOn, shown, began }: WriterOptions) {
    this.#failOn = failOn
    this.#shown = shown
    this.#began = began
  }

  *begin(): Pieces {}

  *result(result: Result): Pieces {
    const groups = groupsOf(result.findings)
    const failed = groups.filter(({ severity }) => this.#fails(severity))
    const others = groups.filter(({ severity }) => !this.#fails(severity))
    const name = `name="${xmlText(result.path)}" classname="torchmap.verify"`
    const start = `<testcase ${name} time="${seconds(result.ms)}"`
    if (isFailure(result.status, this.#failOn)) {
      ++this.#failures
      this.#cases.push(`${start}>\n${this.#failure(result.status, failed)}</testcase>\n`)
    } else {
      this.#cases.push(`${start}/>\n`)
    }
    if (others.length > 0) this.#notes.push(`${xmlText(result.path)}\n${this.#linesOf(others)}`)
  }

  *end(summary: Summary): Pieces {
    const counts = `tests="${summary.models}" failures="${this.#failures}" errors="0" skipped="0"`
    const timestamp = this.#began.toISOString().slice(0, 19)
    yield '<?xml version="1.0" encoding="UTF-8"?>\n<testsuites>\n'
    yield `<testsuite id="0" package="torchmap" name="torchmap.verify" timestamp="${timestamp}" `
    yield `hostname="localhost" ${counts} time="${seconds(summary.ms)}">\n<properties/>\n`
    yield* this.#cases
    yield '<system-out>'
    yield* this.#notes
    yield `${summaryLines(summary).map(xmlText).join('\n')}\n</system-out>\n`
    yield '<system-err></system-err>\n</testsuite>\n</testsuites>\n'
  }

  #fails(severity: Group['severity']): boolean {
    return severity !== 'info' && isFailure(severity, this.#failOn)
  }

  #failure(status: Status, groups: readonly Group[]): string {
    const [first] = groups
    const message = first === undefined ? status : lineOf(first.findings[0]!)
    const type = first === undefined ? status : first.rule
    const attributes = `type="${xmlText(type)}" message="${xmlText(message)}"`
    return `<failure ${attributes}>\n${this.#linesOf(groups)}</failure>\n`
  }

  #linesOf(groups: readonly Group[]): string {
    let text = ''
    for (const { rule, severity, findings } of groups) {
      for (const finding of findings.slice(0, this.#shown))
        text += `  ${severity} ${rule}: ${xmlText(lineOf(finding))}\n`
      const rest = findings.length - this.#shown
      if (rest > 0) text += `  ${severity} ${rule}: and ${countText(rest)} more\n`
    }
    return text
  }
}
