/** A file that is elsewhere: bytes that are asked for by ranges. */
import { types } from 'node:util'
import { wrongValue } from '../arguments'
import { RemoteError, StateError } from '../errors'

/** Takes bytes of the file, which follow each other, as they arrive; they are the sink's. */
export type Sink = (offset: number, bytes: Uint8Array) => void

export interface RemoteObject {
  /** What errors call it. */
  readonly path: string | undefined
  readonly byteLength: number
  /** The bytes it begins with, which came with the knowledge of its length. */
  readonly head: Uint8Array
  /** Bytes that are rather fetched for nothing than asked for by a request more. */
  readonly grain: number
  /**
   * Gives bytes [start, end) to `sink`, all of them or it rejects.
   *
   * @throws {@link RemoteError} when they cannot be had
   * @throws {@link StateError} `FILE_CHANGED` when the file is no longer the one that was opened
   */
  read(start: number, end: number, sink: Sink, signal?: AbortSignal): Promise<void>
}

/** What a slice of a {@link ByteSource} can be. */
export type Slice = ArrayBufferLike | ArrayBufferView | { arrayBuffer(): Promise<ArrayBuffer> }

/** Bytes that are elsewhere, cut out by their owner. */
export interface ByteSource {
  /** Bytes of the whole. */
  readonly byteLength: number
  /** Bytes [start, end). */
  slice(start: number, end: number): Slice | Promise<Slice>
}

/** {@link RemoteObject.grain} where a request takes some milliseconds. */
export const GRAIN = 2 ** 17

/** Bytes that are asked for first: what most safetensors files and pickles have room in. */
export const HEAD_BYTES = 2 ** 16

export function isByteSource(source: unknown): source is ByteSource | Blob {
  if (typeof source !== 'object' || source === null) return false
  // These have both, too, but hold what is here.
  if (ArrayBuffer.isView(source) || types.isAnyArrayBuffer(source)) return false
  const { slice, byteLength, size } = source as Partial<ByteSource & Blob>
  return typeof slice === 'function' && typeof (byteLength ?? size) === 'number'
}

/** The object over a source of the caller; what its `slice` throws passes as it is. */
export class SlicedObject implements RemoteObject {
  readonly path = undefined
  readonly grain = GRAIN
  readonly byteLength: number
  readonly head: Uint8Array
  readonly #source: ByteSource | Blob

  private constructor(source: ByteSource | Blob, byteLength: number, head: Uint8Array) {
    this.#source = source
    this.byteLength = byteLength
    this.head = head
  }

  static async open(source: ByteSource | Blob, name: string): Promise<SlicedObject> {
    const byteLength = lengthOf(source)
    if (!Number.isSafeInteger(byteLength) || byteLength < 0) {
      throw wrongValue(`${name}.byteLength`, 'a number of bytes', byteLength)
    }
    const head = await cut(source, 0, Math.min(HEAD_BYTES, byteLength))
    return new SlicedObject(source, byteLength, head)
  }

  async read(start: number, end: number, sink: Sink, signal?: AbortSignal): Promise<void> {
    signal?.throwIfAborted()
    if (lengthOf(this.#source) !== this.byteLength) {
      const message = `the source had ${this.byteLength} bytes when it was opened and has ${lengthOf(this.#source)}`
      throw new StateError('FILE_CHANGED', message)
    }
    const bytes = await cut(this.#source, start, end)
    signal?.throwIfAborted()
    sink(start, bytes)
  }
}

function lengthOf(source: ByteSource | Blob): number {
  return 'byteLength' in source ? source.byteLength : source.size
}

async function cut(source: ByteSource | Blob, start: number, end: number): Promise<Uint8Array> {
  const slice: Slice = await source.slice(start, end)
  let bytes: Uint8Array
  if (ArrayBuffer.isView(slice)) {
    bytes = new Uint8Array(slice.buffer, slice.byteOffset, slice.byteLength)
  } else if (types.isAnyArrayBuffer(slice)) {
    bytes = new Uint8Array(slice)
  } else if (typeof slice?.arrayBuffer === 'function') {
    bytes = new Uint8Array(await slice.arrayBuffer())
  } else {
    throw new RemoteError('REMOTE_UNSUITED', 'a slice of the source is no bytes', { offset: start })
  }
  if (bytes.length === end - start) return bytes
  const message = `the source gave ${bytes.length} bytes for bytes ${start} to ${end}`
  throw new RemoteError('REMOTE_FAILED', message, { offset: start })
}
