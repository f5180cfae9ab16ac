/**
 * An opened checkpoint: what it holds by name, as decoded, and how long its memory lives.
 */

import { inspect } from 'node:util'
import { bring } from './bring'
import type { Content, FileIdentity, Format, Part, Skipped } from './content'
import { StateError } from './errors'
import { Origin, type Producer, type TrainingPart } from './flavor/origin'
import type { Flavor } from './flavor/rules'
import type { CheckpointHandle } from './handle/shape'
import type { Limits } from './limits'
import { type LoadEntry, type LoadOptions, readAllInto } from './load'
import { printable } from './printable'
import { checkReadableOptions, type ReadableOptions, TensorReadable } from './readable'
import { type FoldOptions, type StateDict, type StateDictOptions, StateDicts } from './state-dict'
import {
  checkNames,
  checkStreamOptions,
  inFileOrder,
  prefetch,
  type StreamOptions,
  stream,
} from './stream'
import { rowOf, type Tensor } from './tensor'
import { type RecordVerdict, type VerifyOptions, verify, verifySync } from './verify'
import { checkWatchOptions } from './watch'

/** Only this package makes checkpoints. */
const KEY = Symbol('Checkpoint')

/** The checkpoint over some content. */
export function checkpointOf(content: Content, limits: Limits): Checkpoint {
  return new Checkpoint(KEY, content, limits)
}

/** An opened checkpoint; made by {@link open} and {@link openSync}. */
export class Checkpoint {
  readonly #content: Content
  readonly #origin: Origin
  readonly #stateDicts: StateDicts

  /** @internal */
  constructor(key: symbol, content: Content, limits: Limits) {
    if (key !== KEY) throw new TypeError('Illegal constructor')
    this.#content = content
    this.#origin = new Origin(content)
    this.#stateDicts = new StateDicts(content, limits)
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

  /**
   * Whether files are mapped rather than read piece by piece: what `io` came to. Of several files
   * those that are open so far.
   */
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
   * What wrote the checkpoint, or what it holds where that cannot be told: see {@link Flavor}.
   * Decided by keys, classes and metadata that are in the file, never by its name.
   *
   * @throws {@link StateError} `CLOSED` after {@link close}, unless it was asked for before
   * @throws {@link LimitError} `LIMIT_WORK` for a root that shares more than `limits.work` allows
   */
  get flavor(): Flavor {
    return this.#origin.flavor
  }

  /**
   * Who wrote it: the versions of torch, and the framework where it left its marks.
   *
   * @throws what {@link flavor} throws
   */
  get producer(): Producer {
    return this.#origin.producer
  }

  /**
   * What only training needs: optimizers, schedulers, states of random generators and the like,
   * with their sizes. Empty where there is nothing of the kind, or no way to tell. Uses
   * {@link root} where there is more than optimizers.
   *
   * @throws what {@link flavor} throws
   */
  get training(): readonly TrainingPart[] {
    return this.#origin.training
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
   * With `stripPrefixes` the names lose the levels that wrappers such as DistributedDataParallel and
   * torch.compile add; with `fold`, which comes after that, reparametrised weights become the ones
   * the module computes with. Weight norm of float32 adds up in torch's own order for processors
   * with AVX2, so that it comes out as in torch to the last bit or the one before; spectral norm is
   * computed in float64 and rounded once, 16-bit floats in float32.
   *
   * @returns the same map each time for the same options
   * @throws {@link StateError} `NO_SUCH_TENSOR` when there is no branch `from`, `CLOSED` after
   * {@link close}
   */
  stateDict(options: StateDictOptions & { readonly fold: true | FoldOptions }): StateDict
  stateDict(options?: StateDictOptions): ReadonlyMap<string, Tensor>
  stateDict(options: StateDictOptions = {}): ReadonlyMap<string, Tensor> {
    return this.#stateDicts.get(options)
  }

  /**
   * Tensors one after another, for what is larger than memory: the system reads ahead of the
   * consumer as far as `budget` allows, and pages leave the process behind it. Arrays over the file
   * stay valid, what was written to them stays, and looked at again their pages come back. Copies,
   * which tensors that do not lie in a file as they are have for `data`, are given up.
   *
   * @throws {@link StateError} `NO_SUCH_TENSOR`, `CLOSED` also when the checkpoint is closed on the
   * way
   */
  stream(options: StreamOptions = {}): AsyncGenerator<Tensor, void, undefined> {
    const checked = checkStreamOptions(options)
    return stream(this.#chosen(checked.names), checked)
  }

  /**
   * Tensors as the bytes of a safetensors file, in the order of this file; nothing is kept but a
   * chunk of it, and it is read at the pace of the consumer. `byteLength` of the stream says how long
   * it is. For Node's streams: `Readable.fromWeb(checkpoint.readable())`.
   *
   * @throws {@link UnsupportedError} `UNSUPPORTED_DTYPE` for dtypes that safetensors has no name for,
   * `UNSUPPORTED_LAYOUT` for tensors without elements of their own
   * @throws {@link StateError} `NO_SUCH_TENSOR`, `CLOSED`
   */
  readable(options: ReadableOptions = {}): TensorReadable {
    const checked = checkReadableOptions(options)
    const tensors = new Map(inFileOrder(this.#chosen(checked.names)))
    return new TensorReadable(tensors, checked, this.path)
  }

  /**
   * Brings the elements of tensors here, by default of all, for their `data` to be looked at: of a
   * checkpoint that is elsewhere they are fetched by as few requests as that takes; of others they
   * are here. A record that is fetched whole is compared with its checksum.
   *
   * @returns the tensors, by name, in the order of `names`
   * @throws {@link RemoteError} when they cannot be had
   * @throws {@link FormatError} `CHECKSUM_MISMATCH`
   * @throws {@link StateError} `NO_SUCH_TENSOR`, `CLOSED`, `FILE_CHANGED`
   */
  async load(
    names?: Iterable<string>,
    options: LoadOptions = {},
  ): Promise<ReadonlyMap<string, Tensor>> {
    checkNames(names)
    const chosen = new Map(this.#chosen(names))
    const placed = Array.from(chosen.values(), (tensor) => ({ tensor, ...rowOf(tensor) }))
    await bring(placed, checkWatchOptions(options))
    return chosen
  }

  /**
   * Brings the bytes of tensors into the system's page cache, of all by default; closing the
   * checkpoint stops it. What is elsewhere is fetched, as {@link load} does.
   *
   * @throws {@link StateError} `NO_SUCH_TENSOR`, `CLOSED`
   */
  async prefetch(names?: Iterable<string>): Promise<void> {
    checkNames(names)
    await prefetch(this.#chosen(names))
  }

  /**
   * {@link Tensor.readInto} of many tensors at once: a map, or pairs, of names among
   * {@link tensors} and targets, or `{ target, dtype, offset }`. All of a file is read in the order
   * of the file.
   *
   * @returns the bytes that were written
   * @throws {@link StateError} `NO_SUCH_TENSOR`
   * @throws what {@link Tensor.readInto} throws
   */
  async readAllInto(plan: Iterable<LoadEntry>, options: LoadOptions = {}): Promise<number> {
    const find = (name: string) => {
      const tensor = this.#find(name)
      return { tensor, ...rowOf(tensor) }
    }
    return readAllInto(plan, find, options)
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

  /**
   * Compares every record that has a checksum with it, off the main thread and on several, and says
   * of each what came out: damage is a verdict, not an error. Parts of a checkpoint of several
   * files are opened as they are needed; one that is missing, damaged or refused by the system is a
   * `mismatch` under the empty name, one that this package does not open `none`. What is compared
   * are the files as they are now, not what was written to tensors; bytes that were given to `open`
   * are compared before this returns, or copied first where records are deflated.
   *
   * @throws {@link StateError} `CLOSED` after {@link close}, `FILE_CHANGED`
   * @throws {@link LimitError} for a part that needs more than `limits` allow
   */
  async verify(options: VerifyOptions = {}): Promise<RecordVerdict[]> {
    const checked = checkWatchOptions(options)
    checked.signal?.throwIfAborted()
    this.#content.checkOpen()
    return verify(this.#content.units(), checked, () => this.#content.checkOpen())
  }

  /**
   * The same before it returns.
   *
   * @throws what {@link verify} rejects with
   */
  verifySync(): RecordVerdict[] {
    this.#content.checkOpen()
    return verifySync(this.#content.units())
  }

  /**
   * From which other threads and processes open the same checkpoint without decoding it again, by
   * {@link openHandle}: plain data to be sent by `postMessage()`, as `workerData`, or to a child
   * process, also as JSON. It stays of use after {@link close}, as long as the file is the same.
   * Of parts that hold a share of the tensors each all are opened for it.
   *
   * @throws {@link UnsupportedError} `UNSUPPORTED_FORMAT` for bytes, and for distributed, DeepSpeed
   * and Darts checkpoints
   * @throws {@link StateError} `CLOSED` after {@link close}, `FILE_CHANGED`
   */
  handle(): CheckpointHandle {
    return this.#content.handle()
  }

  get closed(): boolean {
    return this.#content.isClosed
  }

  /**
   * Takes the file's pages away: every array over them has length 0 afterwards. What describes the
   * checkpoint and its tensors stays; everything else throws `CLOSED`. Closing twice does nothing.
   */
  close(): void {
    this.#stateDicts.close()
    this.#content.close()
  }

  #chosen(names: Iterable<string> | undefined): Iterable<readonly [string, Tensor]> {
    if (names === undefined) return this.tensors
    return Array.from(names, (name) => [name, this.#find(name)] as const)
  }

  #find(name: string): Tensor {
    const tensor = this.tensors.get(name)
    if (tensor !== undefined) return tensor
    const message = `no tensor of the checkpoint is called '${printable(name)}'`
    throw new StateError('NO_SUCH_TENSOR', message, { path: this.path })
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
