/**
 * An opened checkpoint: what it holds by name, as decoded, and how long its memory lives.
 */

import { inspect } from 'node:util'
import { wrongType } from './arguments'
import { binding, type Opened } from './binding'
import { printable } from './printable'
import { Session } from './session'
import { rootOf } from './tape'
import { Tensor } from './tensor'
import { TensorMap } from './tensor-map'

/** How the checkpoint is packed. */
export type Format =
  | 'zip'
  | 'legacy'
  | 'tar'
  | 'pickle'
  | 'torchscript'
  | 'package'
  | 'pt2'
  | 'safetensors'

/** Which file was opened, and in which state: all four change when another file takes its place. */
export interface FileIdentity {
  readonly device: bigint
  readonly inode: bigint
  /** Bytes. */
  readonly size: bigint
  /** Nanoseconds since 1970. */
  readonly mtimeNs: bigint
}

/** Something that is in the checkpoint but that this package cannot give. */
export interface Skipped {
  /** The name it would have among {@link Checkpoint.tensors}. */
  readonly name: string
  /** An {@link ErrorCode}. */
  readonly code: string
  readonly message: string
}

/** An opened checkpoint; made by {@link open} and {@link openSync}. */
export class Checkpoint {
  readonly format: Format
  /** The versions of torch that write such a file, such as `2.1 to 2.6`. */
  readonly era: string
  /** Byte order of the elements in the file; they are given in this machine's. */
  readonly byteOrder: 'little' | 'big'
  /** The file, as given to `open`; nothing for bytes. */
  readonly path: string | undefined
  /** Bytes of the file. */
  readonly size: number
  /** Nothing for bytes. */
  readonly identity: FileIdentity | undefined
  /** Whether the file is mapped rather than read piece by piece. */
  readonly isMapped: boolean
  /** What is in the checkpoint but cannot be given, and why; mostly empty. */
  readonly skipped: readonly Skipped[]
  readonly #session: Session
  readonly #tensors: TensorMap
  readonly #stateDicts = new Map<string | undefined, TensorMap>()
  #root: { value: unknown } | undefined

  /** @internal */
  constructor(session: Session, opened: Opened) {
    if (!(session instanceof Session)) throw new TypeError('Illegal constructor')
    this.format = opened.format as Format
    this.era = opened.era
    this.byteOrder = opened.byteOrder
    this.path = session.path
    this.size = opened.size
    this.identity = session.path === undefined ? undefined : Object.freeze(opened.identity)
    this.isMapped = opened.mapped
    this.skipped = Object.freeze(opened.skipped.map((skipped) => Object.freeze(skipped)))
    this.#session = session
    this.#tensors = new TensorMap(session, { names: opened.names, named: opened.named })
  }

  /**
   * Every tensor reachable from the root, by name and in file order: dict keys, list indices and
   * attribute names joined with `.`, for modules the names torch shows. A tensor with two names is
   * there twice.
   *
   * @throws {@link StateError} `CLOSED` after {@link close}
   */
  get tensors(): ReadonlyMap<string, Tensor> {
    this.#session.checkOpen()
    return this.#tensors
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
    this.#session.checkOpen()
    let found = this.#stateDicts.get(from)
    if (found === undefined) {
      this.#session.readCode()
      const { names, named, tables } = this.#session.unwrap(
        binding.stateDict(this.#session.handle, from),
      )
      if (tables !== undefined) this.#session.catalog.update(tables)
      found = new TensorMap(this.#session, { names, named })
      this.#stateDicts.set(from, found)
    }
    return found
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
    this.#session.checkOpen()
    if (this.#root === undefined) {
      const tape = this.#session.unwrap(binding.tape(this.#session.handle))
      if (tape.tables !== undefined) this.#session.catalog.update(tape.tables)
      const session = this.#session
      const nameless = new Map<number, Tensor>()
      const tensor = (row: number) => {
        const known = this.#tensors.ofRow(row) ?? nameless.get(row)
        if (known !== undefined) return known
        const made = new Tensor(session, row, '')
        nameless.set(row, made)
        return made
      }
      const storage = (index: number) => session.storages.object(index)
      this.#root = { value: rootOf(tape, { session, tensor, storage }) }
    }
    return this.#root.value
  }

  get closed(): boolean {
    return this.#session.isClosed
  }

  /**
   * Takes the file's pages away: every array over them has length 0 afterwards. What describes the
   * checkpoint and its tensors stays; everything else throws `CLOSED`. Closing twice does nothing.
   */
  close(): void {
    this.#root = undefined
    this.#session.close()
  }

  [Symbol.dispose](): void {
    this.close()
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.close()
  }

  [inspect.custom](): string {
    const place = this.path === undefined ? 'bytes' : `'${printable(this.path)}'`
    const state = this.closed ? 'closed' : this.isMapped ? 'mapped' : 'read'
    return `Checkpoint(${place} ${this.format}, torch ${this.era}, ${this.size} bytes, ${state})`
  }
}
