/** Native work on other threads: stopped when it should, and telling how far it has come. */

import { checkOptions, wrongType } from './arguments'

/** How far some work has come. */
export interface Progress<Phase extends string = string> {
  readonly phase: Phase
  /** Bytes that are done; never falls, `total` in the end. */
  readonly loaded: number
  readonly total: number
  /** What is worked on: a file, an item or a tensor. */
  readonly name: string
}

export interface WatchOptions<Phase extends string = string> {
  /** Stops the work; the promise rejects with the signal's reason. */
  signal?: AbortSignal | undefined
  /** Is told now and then how far the work has come; what it throws stops the work. */
  onProgress?: ((progress: Progress<Phase>) => void) | undefined
}

/** Milliseconds between two looks at how far the native side is. */
const INTERVAL = 25

/** @param known names of options besides those of {@link WatchOptions} */
export function checkWatchOptions<T extends WatchOptions<never>>(
  options: T,
  known: readonly string[] = [],
): T {
  checkOptions('options', options, [...known, 'signal', 'onProgress'])
  const { signal, onProgress } = options
  if (signal !== undefined && typeof signal?.throwIfAborted !== 'function') {
    throw wrongType('options.signal', 'an AbortSignal', signal)
  }
  if (onProgress !== undefined && typeof onProgress !== 'function') {
    throw wrongType('options.onProgress', 'a function', onProgress)
  }
  return options
}

/** Work ahead of a consumer who may leave before it is done: nothing goes on behind his back. */
export class Leaving {
  readonly #controller = new AbortController()
  readonly #given: AbortSignal | undefined
  readonly #pass = () => this.#controller.abort(this.#given?.reason)

  constructor(signal: AbortSignal | undefined) {
    this.#given = signal
    if (signal?.aborted) this.#pass()
    signal?.addEventListener('abort', this.#pass, { once: true })
  }

  /** Stops the work when the consumer's does, with its reason, or when he leaves. */
  get signal(): AbortSignal {
    return this.#controller.signal
  }

  /** Stops what still runs and waits for its end. */
  async settle(work: readonly Promise<unknown>[]): Promise<void> {
    this.#given?.removeEventListener('abort', this.#pass)
    this.#controller.abort()
    await Promise.allSettled(work)
  }
}

/**
 * Waits for native work.
 *
 * @param start starts it; `control`: [0] is set to 1 to stop it, [1] counts what is done
 * @param step throws when the work has to stop
 * @param report is told what is done
 */
export async function watched<T>(
  start: (control: BigUint64Array) => Promise<T>,
  step: () => void,
  report: (done: number) => void,
  signal: AbortSignal | undefined,
): Promise<T> {
  const control = new BigUint64Array(2)
  let failure: { reason: unknown } | undefined
  const stop = () => {
    control[0] = 1n
  }
  const timer = setInterval(() => {
    if (failure !== undefined) return
    try {
      step()
      report(Number(control[1]))
    } catch (reason) {
      failure = { reason }
      stop()
    }
  }, INTERVAL)
  signal?.addEventListener('abort', stop, { once: true })
  let outcome: T
  try {
    outcome = await start(control)
  } finally {
    clearInterval(timer)
    signal?.removeEventListener('abort', stop)
  }
  if (failure !== undefined) throw failure.reason
  step()
  return outcome
}
