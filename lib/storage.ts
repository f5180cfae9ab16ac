/**
 * Turns the bytes of storages into ArrayBuffers, each once.
 *
 *   mapped file    a window over the pages, shared by neighbours; no copy
 *   caller's bytes the caller's own buffer; no copy
 *   else           a copy: files that are not mapped, deflated records, foreign byte order, bytes
 *                  at an address that no typed array of their dtype can begin at
 */

import { inspect } from 'node:util'
import { binding } from './binding'
import type { DType } from './dtype'
import { StateError, UnsupportedError } from './errors'
import { inflate } from './inflate'
import { printable } from './printable'
import type { FileSession } from './session'
import { StoragePlace } from './tables'
import { LONGEST_BUFFER, type Span, Windows } from './windows'

/** Bytes of the largest storage that is copied whole although a tensor may need little of it. */
const LONGEST_COPY = 2 ** 30

/** The flat bytes that tensors view. Tensors that share one have the same object here. */
export class Storage {
  /** Name of the storage in the checkpoint. */
  readonly key: string
  readonly byteLength: number
  /** The device it was saved from, such as `cpu` or `cuda:0`. */
  readonly device: string
  /** The dtype it was saved as; `uint8` for untyped ones. */
  readonly dtype: DType

  /** @internal */
  constructor(key: string, byteLength: number, device: string, dtype: DType) {
    this.key = key
    this.byteLength = byteLength
    this.device = device
    this.dtype = dtype
  }

  [inspect.custom](): string {
    return `Storage('${printable(this.key)}' ${this.dtype}, ${this.byteLength} bytes)`
  }
}

/**
 * @throws {@link UnsupportedError} `UNSUPPORTED_RUNTIME` for more bytes than an ArrayBuffer can have
 */
export function checkBufferLength(bytes: number, path: string | undefined): void {
  if (bytes <= LONGEST_BUFFER) return
  throw new UnsupportedError(
    'UNSUPPORTED_RUNTIME',
    `${bytes} bytes are more than an ArrayBuffer can have here (${LONGEST_BUFFER}); ` +
      'read them in pieces with bytes(start, end)',
    { path },
    'long ArrayBuffers',
  )
}

/** The storages of one session, by number. */
export interface Storages {
  object(index: number): Storage
  /** Whether tensors get a piece each, because the whole is more than one buffer should be. */
  isLong(index: number): boolean
  /** Whether the bytes lie in memory as a typed array needs them, alignment aside. */
  isPlain(index: number): boolean
  /** Whether the bytes lie in a file, in host order. */
  isInFile(index: number): boolean
  /** Bytes [start, end) of a storage, at a multiple of `unit` bytes. */
  span(index: number, start: number, end: number, unit: number): Span
  /** Gives up what was copied; asked for again, it is copied again. */
  forget(index: number): void
  /** Whether bytes of a storage that is elsewhere were brought here. */
  isBrought(index: number): boolean
  /** A copy of bytes [start, end) of a storage, as they are in host order. */
  copy(index: number, start: number, end: number): ArrayBuffer
}

export class FileStorages implements Storages {
  readonly #session: FileSession
  readonly #objects = new Map<number, Storage>()
  readonly #spans = new Map<number, Span>()
  /** Pieces of long storages, by storage, start and end. */
  readonly #ranges = new Map<string, Span>()
  readonly #windows: Windows

  constructor(session: FileSession) {
    this.#session = session
    this.#windows = new Windows(session)
  }

  object(index: number): Storage {
    let object = this.#objects.get(index)
    if (object === undefined) {
      const { catalog } = this.#session
      object = new Storage(
        catalog.storageKey(index),
        catalog.storageBytes(index),
        catalog.storageDevice(index),
        catalog.storageDType(index).name,
      )
      this.#objects.set(index, object)
    }
    return object
  }

  /**
   * Whether tensors get a piece each, because the whole is more than an ArrayBuffer or a copy
   * should be.
   */
  isLong(index: number): boolean {
    const { catalog } = this.#session
    if (catalog.storageBytes(index) <= LONGEST_COPY) return false
    const isCopied = !this.isPlain(index) && catalog.deflatedBytes(index) === 0
    return catalog.storageBytes(index) > (isCopied ? LONGEST_COPY : LONGEST_BUFFER)
  }

  /** Whether the bytes lie in memory as a typed array needs them, alignment aside. */
  isPlain(index: number): boolean {
    const { isMapped, source } = this.#session
    return (isMapped || source !== undefined) && this.isAsStored(index)
  }

  isInFile(index: number): boolean {
    return this.#session.source === undefined && this.isAsStored(index)
  }

  isBrought(_index: number): boolean {
    return false
  }

  forget(index: number): void {
    if (this.#spans.get(index)?.zeroCopy === false) this.#spans.delete(index)
  }

  /** Whether the bytes are stored as they are in host order. */
  protected isAsStored(index: number): boolean {
    const { catalog } = this.#session
    const place = catalog.storagePlace(index)
    return (
      (place === StoragePlace.record || place === StoragePlace.file) &&
      catalog.deflatedBytes(index) === 0 &&
      catalog.storageSwap(index) <= 1
    )
  }

  /**
   * Bytes [start, end) of a storage, at a multiple of `unit` bytes.
   *
   * @throws {@link StateError} `CLOSED`, `FILE_CHANGED`
   * @throws {@link UnsupportedError} `UNSUPPORTED_LAYOUT` where there are no bytes,
   * `UNSUPPORTED_RUNTIME` for a range longer than an ArrayBuffer can be
   */
  span(index: number, start: number, end: number, unit: number): Span {
    this.#session.checkOpen()
    if (this.isLong(index)) return this.#rangeOfLong(index, start, end, unit)
    const { buffer, byteOffset, zeroCopy } = this.#whole(index, unit)
    if (end > start && buffer.byteLength === 0) {
      const message = 'the buffer of these bytes was moved away, by transfer() or postMessage()'
      throw new StateError('CLOSED', message, { path: this.#session.path })
    }
    return { buffer, byteOffset: byteOffset + start, zeroCopy }
  }

  /** A copy of bytes [start, end) of a storage, as they are in host order. */
  copy(index: number, start: number, end: number): ArrayBuffer {
    this.#session.checkOpen()
    checkBufferLength(end - start, this.#session.path)
    const { catalog, path } = this.#session
    // What is in no file is in what was decoded.
    if (catalog.storagePlace(index) === StoragePlace.memory) this.#session.decode()
    if (catalog.storagePlace(index) === StoragePlace.nowhere) {
      const message = 'a meta tensor has a shape but no bytes'
      throw new UnsupportedError('UNSUPPORTED_LAYOUT', message, { path }, 'meta')
    }
    const swap = catalog.storageSwap(index)
    if (start % swap !== 0 || end % swap !== 0) {
      // Whole units only: their bytes change places.
      const from = start - (start % swap)
      const to = Math.min(Math.ceil(end / swap) * swap, catalog.storageBytes(index))
      if (from !== start || to !== end) {
        return this.copy(index, from, to).slice(start - from, end - from)
      }
    }
    const deflated = catalog.deflatedBytes(index)
    let buffer: ArrayBuffer
    if (deflated > 0) {
      buffer = this.#inflated(index, deflated)
      if (end - start < buffer.byteLength) buffer = buffer.slice(start, end)
    } else {
      buffer = this.stored(index, start, end)
    }
    if (swap > 1) binding.swap(buffer, swap)
    return buffer
  }

  /** A copy of bytes [start, end) of a storage, as they are stored. */
  protected stored(index: number, start: number, end: number): ArrayBuffer {
    const { catalog, source, handle } = this.#session
    if (source === undefined || catalog.storagePlace(index) === StoragePlace.memory)
      return this.#session.unwrap(binding.read(handle, index, start, end)).buffer
    const from = this.#offsetInSource(index, end) + start
    return new Uint8Array(source.subarray(from, from + end - start)).buffer
  }

  /** Gives up all buffers; returns those that lie over mapped pages. */
  release(): ArrayBuffer[] {
    this.#spans.clear()
    this.#ranges.clear()
    return this.#windows.release()
  }

  #whole(index: number, unit: number): Span {
    if (this.isPlain(index)) {
      const shared = this.#windows.shared(index)
      if (shared !== undefined && shared.byteOffset % unit === 0) return shared
    }
    let whole = this.#spans.get(index)
    if (whole === undefined || whole.byteOffset % unit !== 0) {
      whole = this.#make(index, 0, this.#session.catalog.storageBytes(index), unit)
      this.#spans.set(index, whole)
    }
    return whole
  }

  #rangeOfLong(index: number, start: number, end: number, unit: number): Span {
    checkBufferLength(end - start, this.#session.path)
    const key = `${index} ${start} ${end}`
    let range = this.#ranges.get(key)
    if (range === undefined || range.byteOffset % unit !== 0) {
      range = this.#make(index, start, end, unit)
      this.#ranges.set(key, range)
    }
    return range
  }

  #make(index: number, start: number, end: number, unit: number): Span {
    const { source } = this.#session
    if (end === start) return { buffer: new ArrayBuffer(0), byteOffset: 0, zeroCopy: false }
    if (this.isPlain(index)) {
      const span =
        source === undefined ? this.#windows.find(index, start, end) : this.#own(index, start, end)
      if (span.byteOffset % unit === 0) return span
    }
    return { buffer: this.copy(index, start, end), byteOffset: 0, zeroCopy: false }
  }

  /** Over the caller's own buffer. */
  #own(index: number, start: number, end: number): Span {
    const { buffer, byteOffset } = this.#session.source!
    return {
      buffer,
      byteOffset: byteOffset + this.#offsetInSource(index, end) + start,
      zeroCopy: true,
    }
  }

  /**
   * Where a storage begins in the caller's bytes, which are the caller's to shrink or to transfer.
   */
  #offsetInSource(index: number, end: number): number {
    const { handle, source } = this.#session
    const { offset } = this.#session.unwrap(binding.storageOffset(handle, index))
    if (end > source!.length - offset) {
      const message = `a storage ends at byte ${offset + end} of ${source!.length} opened ones`
      throw new StateError('FILE_CHANGED', message)
    }
    return offset
  }

  #inflated(index: number, deflated: number): ArrayBuffer {
    const { catalog, limits, path } = this.#session
    const stored = new Uint8Array(this.stored(index, 0, deflated))
    return inflate(stored, catalog.storageBytes(index), {
      // Old versions of torch write records that are longer than their storage.
      exactly: false,
      limit: limits.inflatedBytes,
      place: { path, record: `data/${catalog.storageKey(index)}` },
    }).buffer
  }
}
