/**
 * Opens a checkpoint that is elsewhere: the native side says which bytes it has to see, and begins
 * anew when they are here. Of archives these are the first ones, the directory and the pickle.
 */
import { binding, type NativeOptions, type Ranges } from '../binding'
import { errorFrom, LimitError, UnsupportedError } from '../errors'
import type { Limits } from '../limits'
import type { RemoteObject } from './object'

/**
 * Grains between what is asked for and what of the end is here already that come with it: the rest
 * of a directory.
 */
const NEAR = 16

/**
 * Times the native side may ask. Archives and safetensors need few; a stream of pickles with a size
 * in front of each storage has to be walked from one to the next.
 */
const MOST_ROUNDS = 64

export class Opening {
  readonly #object: RemoteObject
  readonly #limits: Limits
  readonly #signal: AbortSignal | undefined
  readonly #ranges: Ranges
  #rounds = 0
  /** Where the bytes at the end begin that are here. */
  #tail = Infinity

  constructor(object: RemoteObject, limits: Limits, signal: AbortSignal | undefined) {
    this.#object = object
    this.#limits = limits
    this.#signal = signal
    this.#ranges = binding.ranges(object.byteLength)
    binding.supply(this.#ranges, 0, object.head)
  }

  /** What the native side makes of it, the bytes it asked for being here. */
  async run(options: NativeOptions, cancel: Uint8Array) {
    for (;;) {
      const outcome = await binding.open(this.#ranges, options, cancel)
      const { failure } = outcome
      if (failure?.code !== 'NOT_LOADED') return outcome
      this.#signal?.throwIfAborted()
      await this.#supply(failure.offset!, failure.limit!)
    }
  }

  /** Bytes [start, end) of the object. */
  async read(start: number, end: number): Promise<Uint8Array> {
    const limit = this.#limits.copyBytes
    const [path, actual] = [this.#object.path, end - start]
    if (actual > limit) {
      const message = `opening needs ${actual} bytes at once where limits.copyBytes allows ${limit}`
      const place = { path, offset: start }
      throw new LimitError('LIMIT_STORAGE', message, place, {
        limitName: 'copyBytes',
        limit,
        actual,
      })
    }
    // Memory grows with what really comes.
    const chunks: Uint8Array[] = []
    await this.#object.read(start, end, (_, bytes) => chunks.push(bytes), this.#signal)
    return chunks.length === 1 ? chunks[0]! : Buffer.concat(chunks)
  }

  async #supply(offset: number, length: number): Promise<void> {
    const { byteLength, path, grain } = this.#object
    if (++this.#rounds > MOST_ROUNDS) {
      const message = `opening it from here would take more than ${MOST_ROUNDS} requests: download it`
      throw new UnsupportedError('UNSUPPORTED_FORMAT', message, { path }, 'remote streams')
    }
    let end = Math.min(offset + Math.max(length, grain), byteLength)
    if (this.#tail - end < NEAR * grain) end = byteLength
    const isTail = end === byteLength
    // Small records are written right in front of a directory.
    const before = Math.floor(grain / 2)
    const start = isTail ? Math.max(0, Math.min(offset - before, end - grain)) : offset
    if (isTail) this.#tail = Math.min(start, this.#tail)
    const failure = binding.supply(this.#ranges, start, await this.read(start, end)).failure
    if (failure !== undefined) throw errorFrom(failure, path)
  }
}
