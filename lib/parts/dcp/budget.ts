/** Work that a small file may ask for by naming the same values again and again. */
import { LimitError } from '../../errors'
import type { Limits } from '../../limits'

export class Budget {
  readonly #limit: number
  readonly #path: string
  #spent = 0

  /** @param bytes the size of what describes the work, which `limits.work` multiplies */
  constructor(bytes: number, limits: Limits, path: string) {
    this.#limit = limits.work * Math.max(bytes, 1024)
    this.#path = path
  }

  /** @throws {@link LimitError} `LIMIT_WORK` */
  charge(amount: number): void {
    this.#spent += amount
    if (this.#spent <= this.#limit) return
    throw new LimitError(
      'LIMIT_WORK',
      `values named again and again need more than ${this.#limit} steps`,
      { path: this.#path },
      { limitName: 'work', limit: this.#limit, actual: this.#spent },
    )
  }
}
