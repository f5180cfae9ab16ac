/** The content of one file, or of the bytes of one. */
import { binding, type NativeTape, type Opened, type PackedStrings } from './binding'
import { stringAt } from './catalog'
import type { Content, FileIdentity, Format, Part, Skipped } from './content'
import { isCheckpointError, UnsupportedError } from './errors'
import { absolute, fileHandle } from './handle/pack'
import type { FileHandle } from './handle/shape'
import type { FileSession } from './session'
import { StorageColumn, StoragePlace, TensorWord } from './tables'
import { rootOf } from './tape'
import { type Tensor, tensorOf } from './tensor'
import { type NamedRows, TensorMap } from './tensor-map'
import type { Unit } from './verify'

/** Formats that lie in zip archives. */
const ARCHIVES: ReadonlySet<Format> = new Set(['zip', 'torchscript', 'package', 'pt2'])

/** In a list of records: none. */
const NO_RECORD = 0xffff_ffff

export class FileContent implements Content {
  readonly format: Format
  readonly era: string
  readonly byteOrder: 'little' | 'big'
  readonly size: number
  /** `module.name` of the class of a root that is an object; empty for other roots. */
  readonly rootClass: string
  readonly identity: FileIdentity | undefined
  readonly isSalvaged: boolean
  readonly metadata: ReadonlyMap<string, string> | undefined
  readonly skipped: readonly Skipped[]
  readonly parts: readonly Part[]
  readonly #session: FileSession
  readonly #tensors: TensorMap
  readonly #prefix: string | undefined
  /** With the rows that the state dict adds, where nothing else added some before. */
  #opened: Opened
  /** Resolved when it was opened: the process can go elsewhere. */
  readonly #absolute: string | undefined
  /** Names and rows of the state dict, once it was asked for. */
  #weights: NamedRows | undefined
  readonly #stateDicts = new Map<string | undefined, TensorMap>()
  #root: { value: unknown } | undefined
  #outline: { value: unknown } | undefined

  /**
   * @param prefix what the content is called in a checkpoint of several files
   * @param weights the state dict, where it is known
   */
  constructor(session: FileSession, opened: Opened, prefix?: string, weights?: NamedRows) {
    this.format = opened.format as Format
    this.era = opened.era
    this.byteOrder = opened.byteOrder
    this.size = opened.size
    this.rootClass = opened.rootClass
    const isFile = session.path !== undefined && !session.isRemote
    this.identity = isFile ? Object.freeze(opened.identity) : undefined
    this.skipped = Object.freeze(opened.skipped.map((skipped) => Object.freeze(skipped)))
    this.isSalvaged = opened.salvaged
    this.metadata = opened.metadata && pairsOf(opened.metadata)
    const { path } = session
    this.parts = Object.freeze(
      path === undefined ? [] : [Object.freeze({ path, isOpen: true } as const)],
    )
    this.#session = session
    this.#tensors = new TensorMap(session, opened, prefix)
    this.#prefix = prefix
    this.#opened = opened
    this.#absolute = path && absolute(path)
    this.#weights = weights
    if (weights !== undefined) {
      this.#stateDicts.set(undefined, new TensorMap(session, weights, prefix))
    }
  }

  get path(): string | undefined {
    return this.#session.path
  }

  get isMapped(): boolean {
    return this.#session.isMapped
  }

  get isClosed(): boolean {
    return this.#session.isClosed
  }

  get tensors(): TensorMap {
    return this.#tensors
  }

  stateDict(from: string | undefined): TensorMap {
    let found = this.#stateDicts.get(from)
    if (found === undefined) {
      this.#session.decode()
      this.#session.readCode()
      const rows = this.#session.unwrap(binding.stateDict(this.#session.handle, from))
      if (rows.tables !== undefined) {
        if (from === undefined && !this.#hasAdded())
          this.#opened = { ...this.#opened, ...rows.tables }
        this.#session.catalog.update(rows.tables)
      }
      found = new TensorMap(this.#session, rows, this.#prefix)
      this.#stateDicts.set(from, found)
      if (from === undefined) this.#weights = rows
    }
    return found
  }

  handle(): FileHandle {
    const session = this.#session
    session.checkOpen()
    const path = this.#absolute
    if (path === undefined || session.isRemote) {
      const message =
        'only files have handles: no other thread can reach bytes, or what is elsewhere'
      throw new UnsupportedError('UNSUPPORTED_FORMAT', message, {}, 'handle')
    }
    session.readCode()
    const weights = this.#knownWeights()
    const { offsets } = session.unwrap(binding.storageOffsets(session.handle))
    // Rows that values added since are not in what another thread decodes.
    const tensors = session.catalog.tables.tensors.subarray(0, this.#opened.tensors.length)
    const storages = offsets.subarray(0, this.#opened.storages.length / StorageColumn.count)
    const { options } = session
    return fileHandle({ path, options, opened: this.#opened, tensors, offsets: storages, weights })
  }

  get root(): unknown {
    if (this.#root === undefined) {
      const session = this.#session
      const tape = this.#tape(false)
      const nameless = new Map<number, Tensor>()
      const tensor = (row: number) => {
        const known = this.#tensors.ofRow(row) ?? nameless.get(row)
        if (known !== undefined) return known
        const made = tensorOf(session, row, '')
        nameless.set(row, made)
        return made
      }
      const storage = (index: number) => session.storages.object(index)
      this.#root = { value: rootOf(tape, { session, tensor, storage }) }
    }
    return this.#root.value
  }

  get outline(): unknown {
    if (this.#outline === undefined) {
      const session = this.#session
      session.checkOpen()
      const tensor = (row: number) => tensorOf(session, row, '')
      const storage = (index: number) => session.storages.object(index)
      this.#outline = { value: rootOf(this.#tape(true), { session, tensor, storage }) }
    }
    return this.#outline.value
  }

  units(): readonly Unit[] {
    const { path, size } = this
    const open = () => {
      if (!this.#session.isRemote) return this
      const message = 'it is elsewhere: what load() brings is compared with checksums as it comes'
      throw new UnsupportedError('UNSUPPORTED_FORMAT', message, { path }, 'remote verification')
    }
    return [{ name: path ?? '', path, bytes: size, open }]
  }

  get session(): FileSession {
    return this.#session
  }

  /** Whether it is an archive, of records that can have checksums. */
  get hasRecords(): boolean {
    return ARCHIVES.has(this.format)
  }

  /**
   * Names of tensors by the record their elements lie in; of a file that is no archive, by storage.
   *
   * @param of the names: all, or those of a state dict
   */
  tensorsByRecord(of: TensorMap = this.#tensors): Map<number, string[]> {
    this.#session.decode()
    const { handle, catalog } = this.#session
    const { records } = this.#session.unwrap(binding.storageRecords(handle))
    const found = new Map<number, string[]>()
    for (const [name, row] of of.rows()) {
      const places = new Set<number>()
      for (const storage of catalog.storagesOf(row)) {
        const record = records[storage]!
        if (this.hasRecords) {
          if (record !== NO_RECORD) places.add(record)
        } else if (catalog.storagePlace(storage) === StoragePlace.file) places.add(storage)
      }
      for (const place of places) {
        const names = found.get(place)
        if (names === undefined) found.set(place, [name])
        else names.push(name)
      }
    }
    return found
  }

  checkOpen(): void {
    this.#session.checkOpen()
  }

  close(): void {
    this.#root = undefined
    this.#outline = undefined
    this.#session.close()
  }

  /** Whether values that were made since it was opened added rows. */
  #hasAdded(): boolean {
    const { tensors, storages } = this.#session.catalog.tables
    const { length } = this.#opened.tensors
    return tensors.length > length || storages.length > this.#opened.storages.length
  }

  /** Those of the state dict, unless there is none or its rows are of no order that repeats. */
  #knownWeights(): NamedRows | undefined {
    try {
      this.stateDict(undefined)
    } catch (error) {
      if (!isCheckpointError(error)) throw error
      return undefined
    }
    const count = this.#opened.tensors.length / TensorWord.count
    return this.#weights?.named.every((row) => row < count) ? this.#weights : undefined
  }

  #tape(isOutline: boolean): NativeTape {
    this.#session.decode()
    const tape = this.#session.unwrap(binding.tape(this.#session.handle, isOutline))
    if (tape.tables !== undefined) this.#session.catalog.update(tape.tables)
    return tape
  }
}

/** Keys and values that follow each other. */
function pairsOf(strings: PackedStrings): ReadonlyMap<string, string> {
  const pairs = new Map<string, string>()
  for (let i = 0; i < strings.ends.length; i += 2)
    pairs.set(stringAt(strings, i), stringAt(strings, i + 1))
  return pairs
}
