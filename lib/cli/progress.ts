/** One line that says how far a run has come, where somebody looks at it. */
import type { WriteStream } from 'node:tty'

/** Milliseconds between two looks. */
const INTERVAL = 100

const UNITS = ['B', 'kB', 'MB', 'GB', 'TB']

export class ProgressLine {
  readonly #stream: NodeJS.WriteStream
  readonly #start = performance.now()
  readonly #total: { models: number; bytes: number }
  #models = 0
  #bytes = 0
  #shown = 0
  #isShown = false

  /** @param total what there is to do, counted only where it is shown */
  constructor(stream: NodeJS.WriteStream, total: () => { models: number; bytes: number }) {
    this.#stream = stream
    this.#total = this.isWanted ? total() : { models: 0, bytes: 0 }
  }

  get isWanted(): boolean {
    return this.#stream.isTTY === true
  }

  /** One more model is done. */
  step(bytes: number): void {
    ++this.#models
    this.#bytes += bytes
    const now = performance.now()
    if (!this.isWanted || now - this.#shown < INTERVAL) return
    this.#shown = now
    this.#isShown = true
    const columns = (this.#stream as WriteStream).columns || 80
    this.#stream.write(`\r\x1b[K${this.#text((now - this.#start) / 1000).slice(0, columns - 1)}`)
  }

  /** Takes the line away. */
  clear(): void {
    if (this.#isShown) this.#stream.write('\r\x1b[K')
    this.#isShown = false
  }

  #text(seconds: number): string {
    const { models, bytes } = this.#total
    const share = bytes > 0 ? Math.min(this.#bytes / bytes, 1) : this.#models / Math.max(models, 1)
    const bar = '#'.repeat(Math.round(share * 20)).padEnd(20, '-')
    const left = share > 0 ? seconds / share - seconds : 0
    const speed = `${amount(this.#bytes / Math.max(seconds, 0.001))}/s`
    return `[${bar}] ${this.#models} of ${models} models, ${speed}, ${time(left)} left`
  }
}

function amount(bytes: number): string {
  let power = 0
  while (bytes >= 999.5 && power < UNITS.length - 1) {
    bytes /= 1000
    ++power
  }
  return `${bytes.toFixed(power === 0 ? 0 : 1)} ${UNITS[power]}`
}

function time(seconds: number): string {
  const whole = Math.ceil(seconds)
  if (whole < 60) return `${whole} s`
  return `${Math.floor(whole / 60)} min ${whole % 60} s`
}
