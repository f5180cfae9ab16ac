/**
 * What loading a file with Python could do: every pickle in it is found and decoded natively, and
 * none is run. See native/core/scan.
 */
import { types } from 'node:util'
import { binding, type Outcome, type ScanNativeOptions, type Scanned } from '../../binding'
import { stringAt } from '../../catalog'
import { errorFrom } from '../../errors'
import { LIMITS, type Limits } from '../../limits'
import { watched } from '../../watch'
import { finding } from '../finding'
import type { Finding, NamedGlobal, Safety } from '../result'
import type { RuleId } from '../rules'
import { type Deflated, type Inflated, inflateAll } from './deflated'
import { type ContentKind, misnamed } from './extension'

export interface SafetyOptions {
  readonly signal?: AbortSignal | undefined
  /** Caps of `open`. */
  readonly limits?: Partial<Limits> | undefined
  /** Where bytes come from, for the finding about names. */
  readonly path?: string | undefined
}

export interface SafetyScan {
  readonly safety: Safety
  readonly globals: readonly NamedGlobal[]
  readonly findings: readonly Finding[]
  /** What the file is by its bytes; empty for what has no pickle that is known. */
  readonly content: ContentKind
}

const VERDICTS = ['safe', 'unknown', 'dangerous'] as const

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
  const { signal } = options
  const scan = new Scan(source, options)
  const step = () => signal?.throwIfAborted()
  step()
  const first = scan.read(await scan.run([], step))
  if (first.deflated.length === 0) return scan.result(first)
  const inflated = scan.inflate(first.deflated)
  step()
  return scan.result(
    first,
    inflated.length === 0 ? undefined : scan.read(await scan.run(inflated, step)),
  )
}

/** The same before it returns, without a signal. */
export function scanSafetySync(
  source: string | Uint8Array,
  options: Omit<SafetyOptions, 'signal'> = {},
): SafetyScan {
  const scan = new Scan(source, options)
  const first = scan.read(scan.runSync([]))
  if (first.deflated.length === 0) return scan.result(first)
  const inflated = scan.inflate(first.deflated)
  return scan.result(first, inflated.length === 0 ? undefined : scan.read(scan.runSync(inflated)))
}

const isPickle = (name: string) => /\.pkl$/i.test(name)

/** What the native side found. */
interface Found {
  readonly content: ContentKind
  readonly foreign: string
  readonly globals: NamedGlobal[]
  readonly findings: Finding[]
  readonly deflated: Deflated[]
  readonly isDangerous: boolean
  readonly isIncomplete: boolean
}

class Scan {
  readonly #source: string | Uint8Array
  readonly #path: string | undefined
  readonly #limits: Partial<Limits> | undefined
  /** Of deflated records. */
  readonly #refused: Finding[] = []
  /** Whether the native side looked at everything the last time. */
  #isWhole = true

  constructor(source: string | Uint8Array, { limits, path }: SafetyOptions) {
    const isShared = typeof source !== 'string' && types.isSharedArrayBuffer(source.buffer)
    // Other threads could change shared bytes while they are looked at.
    this.#source = isShared ? new Uint8Array(source) : source
    this.#path = typeof source === 'string' ? source : path
    this.#limits = limits
  }

  async run(inflated: Inflated[], step: () => void): Promise<Outcome<Scanned>> {
    const source = this.#source
    // The caller's bytes could go away under a thread.
    if (typeof source !== 'string') return this.runSync(inflated)
    const start = (control: BigUint64Array) =>
      binding.scan(source, this.#options(inflated), inflated, control)
    return watched(start, step, () => {}, undefined)
  }

  runSync(inflated: Inflated[]): Outcome<Scanned> {
    return binding.scanSync(this.#source, this.#options(inflated), inflated)
  }

  #options(inflated: readonly Inflated[]): ScanNativeOptions {
    // A pickle says which records are elements: with one of those, all is looked at anew.
    const isAll = inflated.length === 0 || inflated.some(({ name }) => isPickle(name))
    // torch.distributed.checkpoint writes one archive behind the other.
    const series = this.#path?.endsWith('.distcp') ?? false
    this.#isWhole = isAll
    return { limits: this.#limits, series, onlyInflated: !isAll }
  }

  inflate(records: readonly Deflated[]): Inflated[] {
    return inflateAll(
      this.#source,
      records,
      this.#limits?.inflatedBytes ?? LIMITS.inflatedBytes,
      (record, why) => {
        this.#refused.push(
          finding('safe/unread', `the record cannot be inflated: ${why}`, { record }),
        )
      },
    )
  }

  /** Unpacks what native/addon/scan.cc packs. */
  read(outcome: Outcome<Scanned>): Found {
    if (outcome.failure) throw errorFrom(outcome.failure, this.#path)
    const { strings, numbers } = outcome
    let [atString, atNumber] = [0, 0]
    const text = () => stringAt(strings, atString++)
    const number = () => numbers[atNumber++]!
    const [globalCount, findingCount, deflatedCount] = [number(), number(), number()]
    const [isDangerous, isIncomplete] = [number() === 1, number() === 1]
    const [globalsDropped, findingsDropped] = [number(), number()]
    const content = text() as ContentKind
    const foreign = text()
    const place = (record: string) => (record === '' ? {} : { record })
    const globals: NamedGlobal[] = []
    for (let i = 0; i < globalCount; ++i) {
      const verdict = VERDICTS[number()]!
      const isCalled = number() === 1
      const links = number()
      const offset = number()
      const [name, record] = [text(), text()]
      const chain = Array.from({ length: links }, text)
      globals.push({ name, verdict, isCalled, chain, ...place(record), offset })
    }
    const findings: Finding[] = []
    for (let i = 0; i < findingCount; ++i) {
      const offset = number()
      const [rule, message, record] = [text() as RuleId, text(), text()]
      findings.push(finding(rule, message, { ...place(record), ...(offset < 0 ? {} : { offset }) }))
    }
    for (const [count, what] of [
      [globalsDropped, 'globals'],
      [findingsDropped, 'findings'],
    ] as const) {
      if (count > 0) findings.push(finding('safe/unread', `${count} more ${what} are not listed`))
    }
    const deflated: Deflated[] = []
    for (let i = 0; i < deflatedCount; ++i) {
      const [offset, stored, bytes] = [number(), number(), number()]
      deflated.push({ name: text(), offset, stored, bytes })
    }
    return { content, foreign, globals, findings, deflated, isDangerous, isIncomplete }
  }

  /** @param second what was found once deflated records were inflated */
  result(first: Found, second?: Found): SafetyScan {
    const { content, foreign } = first
    const found = second === undefined ? [first] : this.#isWhole ? [second] : [first, second]
    const globals = found.flatMap((part) => part.globals)
    const all = [...found.flatMap((part) => part.findings), ...this.#refused]
    const isDangerous = found.some((part) => part.isDangerous)
    const isIncomplete = found.some((part) => part.isIncomplete)
    const wrong = this.#path === undefined ? undefined : misnamed(this.#path, content, foreign)
    if (wrong !== undefined) all.push(finding('safe/extension', wrong))
    const isUnknown = globals.some(({ verdict }) => verdict === 'unknown')
    const safety: Safety = isDangerous
      ? 'dangerous'
      : isIncomplete || this.#refused.length > 0
        ? 'incomplete'
        : isUnknown
          ? 'needs-review'
          : 'safe'
    return { safety, globals, findings: all, content }
  }
}
