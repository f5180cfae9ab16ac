/**
 * Where a command prints: in pieces, waiting for slow readers, and quiet when the reader has gone
 * away.
 */
import type { WriteStream } from 'node:tty'

/** Characters gathered before they are written. */
const PIECE = 64 * 1024

export class Output {
  readonly #stream: NodeJS.WriteStream
  #pending = ''
  #isGone = false

  /** `onError` is told why writing fails, unless the reader has just gone away. */
  constructor(stream: NodeJS.WriteStream, onError: (error: Error) => void) {
    this.#stream = stream
    stream.on('error', (error: NodeJS.ErrnoException) => {
      if (error.code !== 'EPIPE') onError(error)
      this.#isGone = true
      stream.emit('drain')
    })
  }

  /** Whether a person looks at it. */
  get isTerminal(): boolean {
    return this.#stream.isTTY === true
  }

  /** Columns of the terminal; Infinity where it is none. */
  get columns(): number {
    return this.isTerminal ? (this.#stream as WriteStream).columns || 80 : Number.POSITIVE_INFINITY
  }

  get hasColours(): boolean {
    return this.isTerminal && !process.env.NO_COLOR
  }

  async write(text: string): Promise<void> {
    this.#pending += text
    await this.flush()
  }

  /** Writes lines as they are made, a piece at a time; stops making them once nobody reads. */
  async writeAll(lines: Iterable<string>): Promise<void> {
    for (const line of lines) {
      this.#pending += line
      if (this.#pending.length >= PIECE) await this.flush()
      if (this.#isGone) return
    }
    await this.flush()
  }

  async flush(): Promise<void> {
    const text = this.#pending
    this.#pending = ''
    if (text === '' || this.#isGone) return
    if (this.#stream.write(text) || this.#isGone) return
    // Not events.once: it would fail with EPIPE.
    await new Promise<void>((resolve) => this.#stream.once('drain', resolve))
  }
}
