/**
 * An opened checkpoint: what it holds by name, as decoded, and how long its memory lives.
 */

import { inspect } from 'node:util'
import { wrongType } from './arguments'
import type { Content, FileIdentity, Format, Part, Skipped } from './content'
import { printable } from './printable'
import type { Tensor } from './tensor'

/** Only this package makes checkpoints. */
const KEY = Symbol('Checkpoint')

/** The checkpoint over some content. */
export function checkpointOf(content: Content): Checkpoint {
  return new Checkpoint(KEY, content)
}

/** An opened checkpoint; made by {@link open} and {@link openSync}. */
export class Checkpoint {
  readonly #content: Content

  /** @internal */
  constructor(key: symbol, content: Content) {
    if (key !== KEY) throw new TypeError('Illegal constructor')
    this.#content = content
  }

  get format(): Format {
    return this.#content.format
  }

  /** The versions of torch that write such a file, such as `2.1 to 2.6`; empty where none does. */
  get era(): string {
    return this.#content.era
  }

  /** Byte order of the elements in the file; they are given in this machine's. */
  get byteOrder(): 'little' | 'big' {
    return this.#content.byteOrder
  }

  /** The file or directory, as given to `open`; nothing for bytes and for an array of parts. */
  get path(): string | undefined {
    return this.#content.path
  }

  /** Bytes of the file; of several, those of the ones that are there. */
  get size(): number {
    return this.#content.size
  }

  /** Nothing for bytes and for several files. */
  get identity(): FileIdentity | undefined {
    return this.#content.identity
  }

  /** Whether files are mapped rather than read piece by piece. */
  get isMapped(): boolean {
    return this.#content.isMapped
  }

  /**
   * Whether a file is damaged and only what is whole in it is given; only with the option
   * `salvage`.
   */
  get isSalvaged(): boolean {
    return this.#content.isSalvaged
  }

  /** What a safetensors file says in its `__metadata__`; nothing where there is none. */
  get metadata(): ReadonlyMap<string, string> | undefined {
    return this.#content.metadata
  }

  /** The files the checkpoint is made of; none for bytes. */
  get parts(): readonly Part[] {
    return this.#content.parts
  }

  /**
   * What is in the checkpoint but cannot be given, and why; mostly empty. Of several parts it can
   * be known only after all of them were opened, which this does.
   */
  get skipped(): readonly Skipped[] {
    return this.#content.skipped
  }

  /**
   * Every tensor reachable from the root, by name and in file order: dict keys, list indices and
   * attribute names joined with `.`, for modules the names torch shows. A tensor with two names is
   * there twice.
   *
   * @throws {@link StateError} `CLOSED` after {@link close}
   */
  get tensors(): ReadonlyMap<string, Tensor> {
    this.#content.checkOpen()
    return this.#content.tensors
  }

  /**
   * The weights, by the names torch's `state_dict()` would give: those in a well-known wrapper
   * (`state_dict`, `model`, ...) where the root has one, else those of the root itself; of a module
   * its parameters and persistent buffers.
   *
   * @param options.from path of the branch to take them from instead, such as `optimizer`
   * @returns the same map each time for the same branch
   * @throws {@link StateError} `NO_SUCH_TENSOR` when there is no such branch, `CLOSED` after
   * {@link close}
   */
  stateDict(options: { from?: string | undefined } = {}): ReadonlyMap<string, Tensor> {
    if (typeof options !== 'object' || options === null) {
      throw wrongType('options', 'an object', options)
    }
    const { from } = options
    if (from !== undefined && typeof from !== 'string') {
      throw wrongType('options.from', 'a string', from)
    }
    this.#content.checkOpen()
    return this.#content.stateDict(from)
  }

  /**
   * The value that was saved, decoded when first asked for: None null, numbers number or bigint,
   * str string, bytes Uint8Array, lists and tuples arrays, dicts Map, sets Set, tensors
   * {@link Tensor}, numpy arrays {@link NumpyArray}, classes and functions {@link PyGlobal},
   * objects {@link PyObject}. What is shared in the file is shared here, cycles included.
   *
   * @throws {@link StateError} `CLOSED` after {@link close}
   */
  get root(): unknown {
    this.#content.checkOpen()
    return this.#content.root
  }

  get closed(): boolean {
    return this.#content.isClosed
  }

  /**
   * Takes the file's pages away: every array over them has length 0 afterwards. What describes the
   * checkpoint and its tensors stays; everything else throws `CLOSED`. Closing twice does nothing.
   */
  close(): void {
    this.#content.close()
  }

  [Symbol.dispose](): void {
    this.close()
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.close()
  }

  [inspect.custom](): string {
    const place = this.path === undefined ? 'bytes' : `'${printable(this.path)}'`
    const era = this.era === '' ? '' : ` torch ${this.era},`
    const state = this.closed ? 'closed' : this.isMapped ? 'mapped' : 'read'
    const salvaged = this.isSalvaged ? ', salvaged' : ''
    return `Checkpoint(${place} ${this.format},${era} ${this.size} bytes, ${state}${salvaged})`
  }
}
