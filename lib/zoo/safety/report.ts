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
  readonly #packed: PackedStrings
  /** Those that were asked for; many reports share most of theirs. */
  readonly #strings: (string | undefined)[] = []
  readonly #numbers: Float64Array
  #at = 0

  constructor({ strings, numbers }: Scanned) {
    this.#packed = strings
    this.#numbers = numbers
  }

  /**
   * The next one; nothing for a file that could not be read.
   *
   * @param path whose name the finding about names is about
   */
  next(path: string | undefined): SafetyScan | undefined {
    if (this.#number() === 0) return undefined
    const content = this.#text() as ContentKind
    const foreign = this.#text()
    const [globalCount, findingCount] = [this.#number(), this.#number()]
    const [isDangerous, isIncomplete] = [this.#number() === 1, this.#number() === 1]
    const [globalsDropped, findingsDropped] = [this.#number(), this.#number()]
    const globals: NamedGlobal[] = []
    let isUnknown = false
    for (let i = 0; i < globalCount; ++i) {
      const global = this.#global()
      isUnknown ||= global.verdict === 'unknown'
      globals.push(global)
    }
    const findings: Finding[] = []
    for (let i = 0; i < findingCount; ++i) findings.push(this.#finding())
    if (globalsDropped > 0) findings.push(unlisted(globalsDropped, 'globals'))
    if (findingsDropped > 0) findings.push(unlisted(findingsDropped, 'findings'))
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
    const [name, record] = [this.#text(), this.#text()]
    const verdict = VERDICTS[this.#number()]!
    const isCalled = this.#number() === 1
    const offset = this.#number()
    const links = this.#number()
    const chain: string[] = []
    for (let i = 0; i < links; ++i) chain.push(this.#text())
    return record === ''
      ? { name, verdict, isCalled, chain, offset }
      : { name, verdict, isCalled, chain, record, offset }
  }

  #finding(): Finding {
    const [rule, message, record] = [this.#text() as RuleId, this.#text(), this.#text()]
    const offset = this.#number()
    return finding(rule, message, {
      ...(record === '' ? {} : { record }),
      ...(offset < 0 ? {} : { offset }),
    })
  }

  #number(): number {
    return this.#numbers[this.#at++]!
  }

  #text(): string {
    const index = this.#number()
    this.#strings[index] ??= stringAt(this.#packed, index)
    return this.#strings[index]
  }
}

function unlisted(count: number, what: string): Finding {
  return finding('safe/unread', `${count} more ${what} are not listed`)
}
