/**
 * The windows over a mapped file that were handed out. Where storages begin in one is asked natively
 * for many that lie near each other at once; each is checked against a file that has changed when it
 * is first looked at.
 */

import { constants } from 'node:buffer'
import { binding } from './binding'
import type { FileSession } from './session'

/**
 * Bytes of the largest ArrayBuffer made here: 2^32 on Node 20, where larger external ones are
 * refused.
 */
export const LONGEST_BUFFER = constants.MAX_LENGTH

/**
 * Whether pages may be handed out as they are; `TORCHMAP_EXTERNAL_BUFFERS=off` copies instead, as
 * Electron has to.
 */
export const EXTERNAL_BUFFERS = process.env.TORCHMAP_EXTERNAL_BUFFERS !== 'off'

/** Bytes in host order: `byteOffset` bytes into `buffer`. */
export interface Span {
  buffer: ArrayBufferLike
  byteOffset: number
  zeroCopy: boolean
}

/** The buffer of a window, and whether it lies over the pages. */
interface Made {
  buffer: ArrayBuffer
  zeroCopy: boolean
}

export class Windows {
  readonly #session: FileSession
  /** By number; numbers have no gaps. */
  readonly #made: Made[] = []
  /** By storage: one more than the number of its window, or 0 where that is not known. */
  #windows = new Uint32Array(0)
  /** By storage: bytes from the start of its window. */
  #offsets = new Uint32Array(0)
  /** By storage: 1 once it was looked at. */
  #seen = new Uint8Array(0)

  constructor(session: FileSession) {
    this.#session = session
  }

  /**
   * All bytes of a storage, where they lie in a window that several share and that is known. For
   * storages that lie in the file as they are in host order, and are not empty.
   *
   * @throws {@link StateError} `FILE_CHANGED`
   */
  shared(index: number): Span | undefined {
    const window = this.#windows[index]
    if (window === undefined || window === 0) return
    if (this.#seen[index] === 0) {
      const failed = binding.checkUnchanged(this.#session.handle)
      if (failed !== undefined) this.#session.unwrap(failed)
      this.#seen[index] = 1
    }
    return this.#place(index, 0)
  }

  /** From byte `start` on of a storage whose place is known. */
  #place(index: number, start: number): Span {
    const { buffer, zeroCopy } = this.#made[this.#windows[index]! - 1]!
    return { buffer, byteOffset: this.#offsets[index]! + start, zeroCopy }
  }

  /**
   * Bytes [start, end) of a storage.
   *
   * @throws {@link StateError} `FILE_CHANGED`
   * @throws {@link FormatError} `BAD_RECORD` where its record does not begin where it should
   */
  find(index: number, start: number, end: number): Span {
    const { handle, catalog } = this.#session
    if (this.#windows.length === 0) {
      const count = catalog.storageCount
      this.#windows = new Uint32Array(count)
      this.#offsets = new Uint32Array(count)
      this.#seen = new Uint8Array(count)
    }
    const found = binding.window(
      handle,
      index,
      start,
      end,
      EXTERNAL_BUFFERS,
      LONGEST_BUFFER,
      this.#windows,
      this.#offsets,
    )
    const told = found && this.#session.unwrap(found)
    this.#seen[index] = 1
    if (told === undefined) return this.#place(index, start)
    const { window, byteOffset, buffer, zeroCopy } = told
    if (buffer !== undefined) this.#made[window] = { buffer, zeroCopy: zeroCopy === true }
    const made = this.#made[window]!
    return { buffer: made.buffer, byteOffset, zeroCopy: made.zeroCopy }
  }

  /** Gives up all buffers, and returns them. */
  release(): ArrayBuffer[] {
    this.#windows = new Uint32Array(0)
    return this.#made.splice(0).map(({ buffer }) => buffer)
  }
}
