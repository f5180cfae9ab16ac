/**
 * What the tensors of one source share: the tables, the storages, the caps, and whether it is
 * closed. {@link FileSession} stands on an opened file or bytes, {@link MadeSession} of `made.ts`
 * on elements that are put together when they are asked for.
 */
import { binding, type Handle, type NativeTables, type Opened, type Outcome } from './binding'
import { Catalog } from './catalog'
import type { TensorData } from './dtype'
import { errorFrom, isCheckpointError, LimitError, StateError } from './errors'
import type { KeptOptions } from './handle/shape'
import { inflate } from './inflate'
import type { Limits } from './limits'
import { FileStorages, type Storages } from './storage'
import type { Range } from './values'
import type { WatchOptions } from './watch'

/** How bytes are brought here; `nameOf`: what progress calls a range. */
export interface BringOptions extends WatchOptions<'load'> {
  nameOf: (range: Range) => string
}

export abstract class Session {
  abstract readonly catalog: Catalog
  abstract readonly storages: Storages
  readonly limits: Limits
  /** The file or directory, as given; nothing for bytes. */
  readonly path: string | undefined
  /** Elements by tensor row, so that one tensor under two names gives one array. */
  readonly data = new Map<number, TensorData>()
  #closed = false

  constructor(path: string | undefined, limits: Limits) {
    this.path = path
    this.limits = limits
  }

  get isClosed(): boolean {
    return this.#closed
  }

  /** Whether elements have to be brought here before they can be looked at. */
  get isRemote(): boolean {
    return false
  }

  /** @throws {@link StateError} `CLOSED` */
  checkOpen(): void {
    if (this.#closed) {
      throw new StateError('CLOSED', 'the checkpoint is closed', { path: this.path })
    }
  }

  /**
   * @throws {@link LimitError} `LIMIT_STORAGE` when a dense copy would be larger than the caller
   * allows
   */
  checkCopy(bytes: number): void {
    const limit = this.limits.copyBytes
    if (bytes <= limit) return
    const message = `a dense copy needs ${bytes} bytes where limits.copyBytes allows ${limit}`
    throw new LimitError(
      'LIMIT_STORAGE',
      message,
      { path: this.path },
      { limitName: 'copyBytes', limit, actual: bytes },
    )
  }

  /**
   * Brings bytes of storages here that are elsewhere, so that they can be looked at.
   *
   * @throws what {@link Checkpoint.load} rejects with
   */
  async bring(_wanted: readonly Range[], _options: BringOptions): Promise<void> {
    this.checkOpen()
  }

  /** Whether they can be looked at. */
  isHere(_wanted: readonly Range[]): boolean {
    return true
  }

  /**
   * Reads what the code of a TorchScript archive says of its tensors, at first use.
   *
   * @throws {@link StateError} `CLOSED`, `FILE_CHANGED`
   */
  readCode(): void {}

  close(): void {
    if (this.#closed) return
    this.#closed = true
    this.data.clear()
    this.release()
  }

  /** Gives up what {@link storages} have handed out. */
  protected abstract release(): void
}

/** One opened file, or the bytes of one. */
export class FileSession extends Session {
  readonly handle: Handle
  readonly catalog: Catalog
  /** The caller's bytes, where those were opened. */
  readonly source: Uint8Array | undefined
  readonly isMapped: boolean
  readonly storages: FileStorages
  /** Whether what the code of a TorchScript archive says of its tensors is still to be read. */
  #hasCode: boolean
  /** How {@link open} was told to open it. */
  readonly options: KeptOptions
  #decode: (() => NativeTables) | undefined

  /** @param decode what decodes a checkpoint that came without its pickle, and gives its tables */
  constructor(
    opened: Opened,
    source: string | Uint8Array | undefined,
    limits: Limits,
    options: KeptOptions = {},
    decode?: () => NativeTables,
  ) {
    super(typeof source === 'string' ? source : undefined, limits)
    this.handle = opened.handle
    this.catalog = new Catalog(opened)
    this.source = typeof source === 'string' ? undefined : source
    this.isMapped = opened.mapped
    this.options = options
    this.#decode = decode
    // What is decoded later has its code read then.
    this.#hasCode = opened.format === 'torchscript' && decode === undefined
    this.storages = this.makeStorages()
  }

  protected makeStorages(): FileStorages {
    return new FileStorages(this)
  }

  /**
   * Which tensors of a TorchScript module are parameters and which are buffers: the records that
   * say it are deflated, and many users never ask. A record that does not inflate says nothing.
   */
  override readCode(): void {
    if (!this.#hasCode) return
    this.checkOpen()
    const { records } = this.unwrap(binding.scriptCode(this.handle))
    const inflated: { name: string; bytes: Uint8Array }[] = []
    for (const { name, deflated, bytes } of records) {
      try {
        const options = { exactly: true, limit: this.limits.inflatedBytes, place: {} }
        inflated.push({ name, bytes: inflate(new Uint8Array(deflated), bytes, options) })
      } catch (error) {
        if (!isCheckpointError(error)) throw error
      }
    }
    this.catalog.update(this.unwrap(binding.classify(this.handle, inflated)).tables)
    this.#hasCode = false
  }

  /**
   * Has what only the decoded pickle says, where a handle was opened without it.
   *
   * @throws {@link StateError} `CLOSED`, `FILE_CHANGED`
   * @throws {@link FormatError} `BAD_INDEX` when the handle was about other tensors
   */
  decode(): void {
    if (this.#decode === undefined) return
    this.checkOpen()
    this.catalog.update(this.#decode())
    this.#decode = undefined
  }

  /** What a native call gave; throws what it failed with. */
  unwrap<T>(outcome: Outcome<T>): T {
    if (outcome.failure) throw errorFrom(outcome.failure, this.path)
    return outcome as T
  }

  protected override release(): void {
    binding.close(this.handle, this.storages.release())
  }
}
