/**
 * Tensors whose elements are put together when they are first asked for: from the chunks of a
 * distributed checkpoint, the partitions of an optimizer, the factors of a reparametrised weight.
 */

import { Catalog } from './catalog'
import { DTYPES, type DType, type TensorData } from './dtype'
import { StateError } from './errors'
import type { Limits } from './limits'
import { Session } from './session'
import { checkBufferLength, Storage, type Storages } from './storage'
import { TensorFlag } from './tables'
import { type Tensor, tensorOf } from './tensor'
import { LONGEST_BUFFER, type Span } from './windows'

/** A row-major tensor to be made. */
export interface Recipe {
  dtype: DType
  shape: readonly number[]
  requiresGrad?: boolean
  isParameter?: boolean
  /** Name of its storage. */
  key: string
  /**
   * Where the elements lie somewhere already, in one piece: that tensor. Nothing is copied then.
   * It is asked for once, when the elements are.
   */
  whole?: () => Tensor
  /** Throws where the elements cannot be had; called before memory for them is reserved. */
  check?: () => void
  /** Else: writes all elements, in host order; `target` is zeroed. */
  fill?: (target: ArrayBuffer) => void
}

const BY_NAME = new Map(DTYPES.map((dtype) => [dtype.name, dtype]))

/** A session of made tensors; {@link close} gives their elements up. */
export class MadeSession extends Session {
  readonly catalog = new Catalog({
    tensors: new Uint32Array(0),
    extras: new Uint32Array(0),
    dims: new Float64Array(0),
    parts: new Uint32Array(0),
    quantizers: [],
    storages: new Float64Array(0),
    keys: { text: '', ends: new Uint32Array(0) },
    devices: ['cpu'],
  })
  readonly storages: MadeStorages

  constructor(path: string | undefined, limits: Limits) {
    super(path, limits)
    this.storages = new MadeStorages(this)
  }

  /** Adds a tensor; the number names it, for any number of {@link tensor}s. */
  add(recipe: Recipe): number {
    const { requiresGrad = false, isParameter = false, shape } = recipe
    const dtype = BY_NAME.get(recipe.dtype)!
    return this.catalog.add({
      dtype: dtype.index,
      storage: this.storages.add(recipe),
      device: 0,
      flags:
        (requiresGrad ? TensorFlag.requiresGrad : 0) | (isParameter ? TensorFlag.isParameter : 0),
      offset: 0,
      sizes: shape,
      strides: rowMajor(shape),
    })
  }

  tensor(row: number, name: string): Tensor {
    return tensorOf(this, row, name)
  }

  protected override release(): void {
    this.storages.release()
  }
}

class MadeStorages implements Storages {
  readonly #session: MadeSession
  readonly #recipes: Recipe[] = []
  readonly #objects = new Map<number, Storage>()
  readonly #spans = new Map<number, Span>()
  /** What {@link Recipe.whole} gave. */
  readonly #wholes = new Map<number, Tensor>()

  constructor(session: MadeSession) {
    this.#session = session
  }

  add(recipe: Recipe): number {
    this.#recipes.push(recipe)
    return this.#recipes.length - 1
  }

  object(index: number): Storage {
    let object = this.#objects.get(index)
    if (object === undefined) {
      const { key, dtype } = this.#recipes[index]!
      object = new Storage(key, this.#bytes(index), 'cpu', dtype)
      this.#objects.set(index, object)
    }
    return object
  }

  isLong(index: number): boolean {
    return this.#bytes(index) > LONGEST_BUFFER
  }

  isPlain(index: number): boolean {
    return this.#recipes[index]!.whole !== undefined
  }

  isInFile(): boolean {
    return false
  }

  /** The tensor that the elements of a storage are all of, where there is one. */
  wholeOf(index: number): Tensor | undefined {
    this.#session.checkOpen()
    if (!this.isPlain(index)) return
    this.#recipes[index]!.check?.()
    return this.#whole(index)
  }

  isBrought(_index: number): boolean {
    return false
  }

  forget(index: number): void {
    if (this.#spans.get(index)?.zeroCopy === false) this.#spans.delete(index)
  }

  span(index: number, start: number, end: number): Span {
    this.#session.checkOpen()
    this.#recipes[index]!.check?.()
    // A range of a whole tensor that is too long for one buffer would need a window of its own.
    checkBufferLength(this.#bytes(index), this.#session.path)
    let all = this.#spans.get(index)
    if (all === undefined) {
      all = end === start ? EMPTY : this.#make(index)
      this.#spans.set(index, all)
    }
    return { ...all, byteOffset: all.byteOffset + start }
  }

  copy(index: number, start: number, end: number): ArrayBuffer {
    this.#session.checkOpen()
    this.#recipes[index]!.check?.()
    checkBufferLength(end - start, this.#session.path)
    if (this.isPlain(index) && this.isLong(index)) {
      return new Uint8Array(this.#whole(index).bytes(start, end)).buffer
    }
    const { buffer, byteOffset } = this.span(index, 0, this.#bytes(index))
    return new Uint8Array(new Uint8Array(buffer, byteOffset + start, end - start)).buffer
  }

  release(): void {
    this.#spans.clear()
    this.#wholes.clear()
  }

  #whole(index: number): Tensor {
    let tensor = this.#wholes.get(index)
    if (tensor === undefined) {
      tensor = this.#recipes[index]!.whole!()
      this.#wholes.set(index, tensor)
    }
    return tensor
  }

  #bytes(index: number): number {
    const { dtype, shape } = this.#recipes[index]!
    return shape.reduce((a, b) => a * b, BY_NAME.get(dtype)!.bytes)
  }

  #make(index: number): Span {
    if (this.isPlain(index)) {
      const tensor = this.#whole(index)
      const { buffer, byteOffset } = tensor.data
      return { buffer, byteOffset, zeroCopy: tensor.isZeroCopy }
    }
    const bytes = this.#bytes(index)
    this.#session.checkCopy(bytes)
    const buffer = new ArrayBuffer(bytes)
    this.#recipes[index]!.fill?.(buffer)
    return { buffer, byteOffset: 0, zeroCopy: false }
  }
}

const EMPTY: Span = { buffer: new ArrayBuffer(0), byteOffset: 0, zeroCopy: false }

/**
 * The elements of a tensor that others are made of.
 *
 * @throws {@link StateError} `CLOSED` where their buffer was moved away
 * @throws what {@link Tensor.data} throws
 */
export function heldData(tensor: Tensor): TensorData {
  const { data } = tensor
  if (data.length > 0 || tensor.size === 0) return data
  const message = 'the buffer of these bytes was moved away, by transfer() or postMessage()'
  throw new StateError('CLOSED', message)
}

/** Strides of a tensor without gaps, in elements. */
export function rowMajor(shape: readonly number[]): number[] {
  const strides = shape.map(() => 1)
  for (let d = shape.length - 2; d >= 0; --d) {
    strides[d] = strides[d + 1]! * Math.max(shape[d + 1]!, 1)
  }
  return strides
}
