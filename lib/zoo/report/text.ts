/**
 * Results for a person at a terminal: a line for each model, what was found below it, and what it
 * all comes to.
 */
import { countText, cutMiddle, padEnd, sizeText, widthOf } from '../../cli/text'
import { printable } from '../../printable'
import type { Finding, Result, Status } from '../result'
import type { Severity } from '../rules'
import type { Summary } from '../summary'
import { type Group, groupsOf, placeOf } from './groups'
import type { Pieces, Writer, WriterOptions } from './writer'

const GREEN = 32
const RED = 31
const YELLOW = 33
const BLUE = 34
const BOLD = 1
const FAINT = 2

const COLOURS: Record<Status | Severity, number> = {
  ok: GREEN,
  warning: YELLOW,
  error: RED,
  info: BLUE,
}
/** Columns of the longest status and two more. */
const STATUS_WIDTH = 9
const NARROWEST_NAME = 24

export class TextWriter implements Writer {
  readonly #columns: number
  readonly #shown: number
  readonly #hasColours: boolean

  constructor({ columns, shown, hasColours }: WriterOptions) {
    this.#columns = columns
    this.#shown = shown
    this.#hasColours = hasColours
  }

  *begin(): Pieces {}

  *result(result: Result): Pieces {
    const facts = factsOf(result)
    const room = this.#columns - STATUS_WIDTH - widthOf(facts) - 2
    const name = cutMiddle(printable(result.path), Math.max(room, NARROWEST_NAME))
    const status = this.#paint(COLOURS[result.status], padEnd(result.status, STATUS_WIDTH))
    yield `${status}${this.#paint(BOLD, name)}  ${this.#paint(FAINT, facts)}\n`
    for (const group of groupsOf(result.findings)) yield* this.#group(group)
  }

  *end(summary: Summary): Pieces {
    if (summary.models > 0) yield '\n'
    for (const line of summaryLines(summary)) yield `${line}\n`
  }

  *#group({ rule, severity, findings }: Group): Pieces {
    const count = findings.length > 1 ? ` (${countText(findings.length)})` : ''
    yield `  ${this.#paint(COLOURS[severity], severity)} ${rule}${count}\n`
    for (const finding of findings.slice(0, this.#shown)) yield `    ${lineOf(finding)}\n`
    const rest = findings.length - this.#shown
    if (rest > 0) yield `    ${this.#paint(FAINT, `and ${countText(rest)} more`)}\n`
    const [{ remedy } = { remedy: '' }] = findings
    yield `    ${this.#paint(FAINT, `-> ${printable(remedy)}`)}\n`
  }

  #paint(code: number, text: string): string {
    return this.#hasColours ? `\x1b[${code}m${text}\x1b[0m` : text
  }
}

/** What a finding says and where, on one line that a terminal can show. */
export function lineOf(finding: Finding): string {
  const place = placeOf(finding)
  return printable(place === '' ? finding.message : `${finding.message} (${place})`)
}

function factsOf({ format, flavor, tensors, bytes, integrity, safety }: Result): string {
  const facts: string[] = []
  if (format !== undefined) {
    facts.push(flavor === undefined || flavor === format ? format : `${format} ${flavor}`)
    facts.push(`${countText(tensors)} tensors`)
  }
  facts.push(sizeText(bytes))
  if (integrity === 'mismatch' || integrity === 'unreadable') facts.push(integrity)
  if (safety !== 'safe') facts.push(safety)
  return facts.join(', ')
}

/** Counts that are not 0, as `3 ok, 1 error`. */
const counts = (of: Readonly<Record<string, number>>) =>
  Object.entries(of)
    .filter(([, count]) => count > 0)
    .map(([name, count]) => `${countText(count)} ${name}`)
    .join(', ')

export function summaryLines(summary: Summary): string[] {
  const { models, tensors, bytes, ms, bytesPerSecond } = summary
  const seconds = `${(ms / 1000).toFixed(ms < 10_000 ? 2 : 0)} s`
  const pace = bytesPerSecond > 0 ? ` (${sizeText(Math.round(bytesPerSecond))}/s)` : ''
  const head = [
    `${countText(models)} ${models === 1 ? 'model' : 'models'}`,
    `${countText(tensors)} tensors`,
    sizeText(bytes),
  ].join(', ')
  if (models === 0) return ['no models']
  return [
    `${head} in ${seconds}${pace}`,
    `status:    ${counts(summary.status)}`,
    `checksums: ${counts(summary.integrity)}`,
    `safety:    ${counts(summary.safety)}`,
    `findings:  ${counts(summary.findings) || 'none'}`,
  ]
}
