/**
 * What all results come to: counted one by one, so that a run keeps none of them.
 */
import type { Integrity, Result, Safety, Status } from './result'
import type { Severity } from './rules'

export interface Summary {
  readonly models: number
  readonly status: Readonly<Record<Status, number>>
  readonly integrity: Readonly<Record<Integrity, number>>
  readonly safety: Readonly<Record<Safety, number>>
  readonly findings: Readonly<Record<Severity, number>>
  readonly tensors: number
  /** Bytes of all files. */
  readonly bytes: number
  /** Of the run; where nobody said how long it took, of all models together. */
  readonly ms: number
  /** Over {@link ms}; 0 where that is 0. */
  readonly bytesPerSecond: number
}

/** Which findings make a run fail. */
export type FailOn = 'warning' | 'error'

const noStatus = () => ({ ok: 0, warning: 0, error: 0 })
const noIntegrity = () => ({ ok: 0, mismatch: 0, absent: 0, none: 0, unreadable: 0 })
const noSafety = () => ({ safe: 0, 'needs-review': 0, dangerous: 0, incomplete: 0 })
const noFindings = () => ({ error: 0, warning: 0, info: 0 })

/** Counts results as they come. */
export class Tally {
  #models = 0
  readonly #status: Record<Status, number> = noStatus()
  readonly #integrity: Record<Integrity, number> = noIntegrity()
  readonly #safety: Record<Safety, number> = noSafety()
  readonly #findings: Record<Severity, number> = noFindings()
  #tensors = 0
  #bytes = 0
  #ms = 0

  add(result: Result): void {
    ++this.#models
    ++this.#status[result.status]
    ++this.#integrity[result.integrity]
    ++this.#safety[result.safety]
    for (const { severity } of result.findings) ++this.#findings[severity]
    this.#tensors += result.tensors
    this.#bytes += result.bytes
    this.#ms += result.ms
  }

  /** So far; `ms` is how long the run took, which several models at a time make less. */
  summary(ms = this.#ms): Summary {
    return {
      models: this.#models,
      status: { ...this.#status },
      integrity: { ...this.#integrity },
      safety: { ...this.#safety },
      findings: { ...this.#findings },
      tensors: this.#tensors,
      bytes: this.#bytes,
      ms,
      bytesPerSecond: ms > 0 ? (this.#bytes * 1000) / ms : 0,
    }
  }
}

/** The same of results that are there already. */
export function summaryOf(results: Iterable<Result>, ms?: number): Summary {
  const tally = new Tally()
  for (const result of results) tally.add(result)
  return tally.summary(ms)
}

/** How a run ends: 1 where a model is as bad as `failOn`, else 0. */
export function exitCodeOf({ status }: Pick<Summary, 'status'>, failOn: FailOn = 'error'): 0 | 1 {
  const failed = (Object.keys(status) as Status[]).filter((each) => isFailure(each, failOn))
  return failed.some((each) => status[each] > 0) ? 1 : 0
}

/** Whether a model of this status makes a run fail. */
export function isFailure(status: Status, failOn: FailOn): boolean {
  return status === 'error' || (status === 'warning' && failOn === 'warning')
}
