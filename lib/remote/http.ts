/**
 * An object behind a URL, fetched by ranges (RFC 9110, section 14): tried again when a connection
 * fails, and refused when the object is no longer the one that was opened.
 */
import { setTimeout as sleep } from 'node:timers/promises'
import { isCheckpointError, RemoteError, StateError } from '../errors'
import { GRAIN, HEAD_BYTES, type RemoteObject, type Sink } from './object'
import type { CheckedRemoteOptions } from './options'
import type { Answer } from './transport'

/** Milliseconds before the first of the new attempts; twice as many before each of the next. */
const FIRST_PAUSE = 100
const LONGEST_PAUSE = 10_000

/** Which version of an object a response is of, as far as the server says. */
interface Version {
  byteLength: number
  etag: string | undefined
  modified: string | undefined
}

/** An attempt that failed in a way that may pass. */
class Passing extends Error {
  /** Milliseconds that the server asks to be left alone. */
  readonly pause: number

  constructor(message: string, cause?: unknown, pause = 0) {
    super(message, { cause })
    this.pause = pause
  }
}

export class HttpObject implements RemoteObject {
  readonly path: string
  readonly grain = GRAIN
  readonly #url: string
  readonly #options: CheckedRemoteOptions
  /** Where the last redirection led. */
  #location: string | undefined
  #version: Version | undefined
  #head: Uint8Array = new Uint8Array(0)

  private constructor(url: URL, options: CheckedRemoteOptions) {
    this.#url = url.href
    this.#options = options
    this.path = shownUrl(url)
  }

  /**
   * Fetches the first bytes.
   *
   * @throws {@link RemoteError} `REMOTE_REFUSED`, `REMOTE_FAILED`, and `REMOTE_UNSUITED` from a
   * server that sends no ranges
   */
  static async open(
    url: URL,
    options: CheckedRemoteOptions,
    signal: AbortSignal | undefined,
  ): Promise<HttpObject> {
    const object = new HttpObject(url, options)
    const chunks: Uint8Array[] = []
    await object.#fetch(0, HEAD_BYTES, (_, bytes) => chunks.push(bytes), signal)
    object.#head = Buffer.concat(chunks)
    return object
  }

  get byteLength(): number {
    return this.#version!.byteLength
  }

  get head(): Uint8Array {
    return this.#head
  }

  /** What tells this version of the object from others; nothing where the server does not say. */
  get version(): string | undefined {
    const { etag, modified } = this.#version!
    return etag ?? modified
  }

  async read(start: number, end: number, sink: Sink, signal?: AbortSignal): Promise<void> {
    await this.#fetch(start, end, sink, signal)
  }

  /** Until all bytes have come, or nothing of them in so many attempts. */
  async #fetch(
    start: number,
    end: number,
    sink: Sink,
    signal: AbortSignal | undefined,
  ): Promise<void> {
    let at = start
    const take: Sink = (offset, bytes) => {
      sink(offset, bytes)
      at = offset + bytes.length
    }
    for (let failures = 0; ; ) {
      signal?.throwIfAborted()
      const before = at
      let pause: number
      try {
        await this.#attempt(at, end, take, signal)
        return
      } catch (error) {
        signal?.throwIfAborted()
        if (!(error instanceof Passing)) throw error
        const isMoving = at > before
        failures = isMoving ? 0 : failures + 1
        if (failures > this.#options.retries) {
          const message = `bytes ${at} to ${end} did not come in ${failures} attempts: ${error.message}`
          throw new RemoteError('REMOTE_FAILED', message, { ...this.#at(at), cause: error.cause })
        }
        const first = isMoving ? FIRST_PAUSE / 10 : FIRST_PAUSE * 2 ** (failures - 1)
        const backoff = first * (0.5 + Math.random())
        pause = Math.min(Math.max(backoff, error.pause), LONGEST_PAUSE)
      }
      await sleep(pause, undefined, { signal }).catch(() => {})
    }
  }

  async #attempt(
    start: number,
    end: number,
    sink: Sink,
    signal: AbortSignal | undefined,
  ): Promise<void> {
    const control = new AbortController()
    const stop = () => control.abort()
    signal?.addEventListener('abort', stop, { once: true })
    const timer = setTimeout(stop, this.#options.timeout)
    let isOurs = false
    try {
      const answer = await this.#send(start, end, control.signal)
      if (!this.#check(answer, start, end)) return
      let at = start
      const last = Math.min(end, this.byteLength)
      await answer.read((chunk) => {
        timer.refresh()
        const bytes = chunk.length <= last - at ? chunk : chunk.subarray(0, last - at)
        isOurs = true
        if (bytes.length > 0) sink(at, bytes)
        isOurs = false
        at += bytes.length
        return at < last
      })
      if (at < last) throw new Passing(`the connection ended at byte ${at}`)
    } catch (error) {
      // All that is left comes from fetch: no connection, or one that broke.
      if (isOurs || error instanceof Passing || isCheckpointError(error)) throw error
      const isLate = control.signal.aborted && signal?.aborted !== true
      const why = isLate ? `nothing came for ${this.#options.timeout} ms` : reasonOf(error)
      throw new Passing(why, error)
    } finally {
      clearTimeout(timer)
      signal?.removeEventListener('abort', stop)
      // Lets go of a connection whose answer is not wanted to the end.
      control.abort()
    }
  }

  async #send(start: number, end: number, signal: AbortSignal): Promise<Answer> {
    const { transport } = this.#options
    const etag = this.#version?.etag
    const headers: Record<string, string> = {
      range: `bytes=${start}-${end - 1}`,
      // Ranges are of the bytes that are sent.
      'accept-encoding': 'identity',
    }
    if (etag?.startsWith('"')) headers['if-range'] = etag
    let answer = await transport(this.#location ?? this.#url, headers, signal)
    if (this.#location !== undefined && answer.status >= 400 && answer.status < 500) {
      // Redirections lead to places that are good for some time only.
      await answer.read(() => false)
      this.#location = undefined
      answer = await transport(this.#url, headers, signal)
    }
    if (answer.status < 300 && answer.url !== this.#url) this.#location = answer.url
    return answer
  }

  /** Whether the answer has a body that is wanted. */
  #check(answer: Answer, start: number, end: number): boolean {
    const { status, statusText } = answer
    const version = (byteLength: number): Version => ({
      byteLength,
      etag: answer.header('etag'),
      modified: answer.header('last-modified'),
    })
    const encoding = answer.header('content-encoding') ?? 'identity'
    if (status < 300 && encoding !== 'identity') {
      throw this.#unsuited(`sends bytes in the encoding '${encoding}'`)
    }
    if (status === 206) {
      const range = /^bytes (\d+)-(\d+)\/(\d+)$/.exec(answer.header('content-range') ?? '')
      if (range === null) throw this.#unsuited('does not say which bytes it sends')
      const [first, last, total] = range.slice(1).map(Number) as [number, number, number]
      if (!Number.isSafeInteger(total)) throw this.#unsuited(`claims to have ${total} bytes`)
      this.#checkVersion(version(total))
      if (first === start && last === Math.min(end, total) - 1) return true
      throw this.#unsuited(`sends bytes ${first} to ${last + 1} for bytes ${start} to ${end}`)
    }
    if (status === 200) {
      const length = Number(answer.header('content-length') ?? Number.NaN)
      // A range that covers all of it can be answered so.
      if (Number.isSafeInteger(length)) {
        this.#checkVersion(version(length))
        if (start === 0 && length <= end) return true
      }
      throw this.#unsuited('sends the whole file where a range of it is asked for')
    }
    if (status === 416) {
      const total = /^bytes \*\/(\d+)$/.exec(answer.header('content-range') ?? '')?.[1]
      if (total !== undefined) this.#checkVersion(version(Number(total)))
      if (start === 0 && this.#version?.byteLength === 0) return false
    }
    if (status === 412) throw this.#changed('the server says so')
    const text = `the server answers ${status}${statusText && ` ${statusText}`}`
    if (status >= 500 || status === 429 || status === 408 || status === 425) {
      const seconds = Number(answer.header('retry-after') ?? 0)
      throw new Passing(text, undefined, Number.isFinite(seconds) ? seconds * 1000 : 0)
    }
    throw new RemoteError('REMOTE_REFUSED', text, this.#at(start), status)
  }

  #checkVersion(found: Version): void {
    const known = this.#version
    if (known === undefined) {
      this.#version = found
      return
    }
    for (const key of ['byteLength', 'etag', 'modified'] as const) {
      if (found[key] === known[key]) continue
      throw this.#changed(`its ${key} was ${known[key]} and is ${found[key]}`)
    }
  }

  #changed(how: string): StateError {
    const message = `the object is no longer the one that was opened: ${how}`
    return new StateError('FILE_CHANGED', message, { path: this.path })
  }

  #unsuited(what: string): RemoteError {
    return new RemoteError('REMOTE_UNSUITED', `the server ${what}`, { path: this.path })
  }

  #at(offset: number) {
    return { path: this.path, offset }
  }
}

/** Without what may be a secret. */
export function shownUrl({ origin, pathname }: URL): string {
  return `${origin}${pathname}`
}

function reasonOf(error: unknown): string {
  const { message, cause } = error as Error
  const inner = (cause as Error | undefined)?.message
  return inner ? `${message}: ${inner}` : String(message)
}
