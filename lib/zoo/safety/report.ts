/** What the native side found in files, as native/addon/scan.cc packs it, and what that makes them. */
import { stringAt } from '../../catalog'
import type { PackedStrings, Scanned } from '../../native'
import { finding } from '../finding'
import type { Finding, NamedGlobal, Safety } from '../result'
import type { RuleId } from '../rules'
import { type ContentKind, misnamed } from './extension'

export interface SafetyScan {
  readonly safety: Safety
  readonly globals: readonly NamedGlobal[]
  readonly findings: readonly Finding[]
  /** What the file is by its bytes; empty for what has no pickle that is known. */
  readonly content: ContentKind
}

const VERDICTS = ['safe', 'unknown', 'dangerous'] as const

/** Reports, one behind the other. */
export class Reports {
  readonly #strings: PackedStrings
  readonly #numbers: Float64Array
  #atString = 0
  #atNumber = 0

  constructor({ strings, numbers }: Scanned) {
    this.#strings = strings
    this.#numbers = numbers
  }

  /**
   * The next one; nothing for a file that could not be read.
   *
   * @param path whose name the finding about names is about
   */
  next(path: string | undefined): SafetyScan | undefined {
    if (this.#number() === 0) return undefined
    const [globalCount, findingCount] = [this.#number(), this.#number()]
    const [isDangerous, isIncomplete] = [this.#number() === 1, this.#number() === 1]
    const [globalsDropped, findingsDropped] = [this.#number(), this.#number()]
    const content = this.#text() as ContentKind
    const foreign = this.#text()
    const globals: NamedGlobal[] = []
    let isUnknown = false
    for (let i = 0; i < globalCount; ++i) {
      const global = this.#global()
      isUnknown ||= global.verdict === 'unknown'
      globals.push(global)
    }
    const findings: Finding[] = []
    for (let i = 0; i < findingCount; ++i) findings.push(this.#finding())
    for (const [count, what] of [
      [globalsDropped, 'globals'],
      [findingsDropped, 'findings'],
    ] as const) {
      if (count > 0) findings.push(finding('safe/unread', `${count} more ${what} are not listed`))
    }
    const wrong = path === undefined ? undefined : misnamed(path, content, foreign)
    if (wrong !== undefined) findings.push(finding('safe/extension', wrong))
    const safety: Safety = isDangerous
      ? 'dangerous'
      : isIncomplete
        ? 'incomplete'
        : isUnknown
          ? 'needs-review'
          : 'safe'
    return { safety, globals, findings, content }
  }

  #global(): NamedGlobal {
    const verdict = VERDICTS[this.#number()]!
    const isCalled = this.#number() === 1
    const links = this.#number()
    const offset = this.#number()
    const [name, record] = [this.#text(), this.#text()]
    const chain: string[] = []
    for (let i = 0; i < links; ++i) chain.push(this.#text())
    return { name, verdict, isCalled, chain, ...place(record), offset }
  }

  #finding(): Finding {
    const offset = this.#number()
    const [rule, message, record] = [this.#text() as RuleId, this.#text(), this.#text()]
    return finding(rule, message, { ...place(record), ...(offset < 0 ? {} : { offset }) })
  }

  #number(): number {
    return this.#numbers[this.#atNumber++]!
  }

  #text(): string {
    return stringAt(this.#strings, this.#atString++)
  }
}

function place(record: string): { record?: string } {
  return record === '' ? {} : { record }
}
