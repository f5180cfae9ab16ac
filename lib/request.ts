/**
 * One call of `open`, its options checked: opens single files and bytes, and inflates the deflated
 * records that the native side asks for.
 */
import { closeSync, openSync as openFileSync, readSync } from 'node:fs'
import { open as openFile } from 'node:fs/promises'
import { types } from 'node:util'
import { checkOptions, wrongType, wrongValue } from './arguments'
import {
  binding,
  type Handle,
  type Io,
  type NativeFailure,
  type NativeIndex,
  type NativeOptions,
  type Opened,
  type Outcome,
  type SharedFile,
} from './binding'
import { errorFrom, FormatError } from './errors'
import { FileContent } from './file-content'
import type { KeptOptions } from './handle/shape'
import { inflate } from './inflate'
import { checkLimits, LIMITS, type Limits } from './limits'
import type { RemoteObject } from './remote/object'
import { Opening } from './remote/opening'
import { type CheckedRemoteOptions, checkRemoteOptions, type RemoteOptions } from './remote/options'
import { RemoteSession } from './remote/session'
import { type RemoteSource, reach } from './remote/source'
import { FileSession } from './session'

export interface OpenOptions {
  /** Stops the opening; the promise rejects with the signal's reason. */
  signal?: AbortSignal | undefined
  /** Caps on what the checkpoint may ask for; {@link LIMITS} by default. */
  limits?: Partial<Limits> | undefined
  /**
   * How files are looked at. `mmap`: mapped. `pread`: what is asked for is read, large pieces by
   * several threads. `auto` (the default): read where a mapping could end the process because a
   * server or a program goes away (network file systems, FUSE), else mapped.
   * {@link Checkpoint.isMapped} says which it came to.
   */
  io?: 'auto' | 'mmap' | 'pread' | undefined
  /** Short for {@link io}: true for `mmap`, false for `pread`. */
  mmap?: boolean | undefined
  /**
   * What to do about classes and functions this package does not know: make them inert objects
   * (`opaque`, the default), or refuse the checkpoint (`strict`). None is ever imported or called.
   */
  globals?: 'opaque' | 'strict' | undefined
  /**
   * When the parts of a checkpoint of several files are looked at. `check` (the default): `open`
   * refuses a checkpoint with a missing part; parts are opened when a tensor of theirs is first
   * asked for. `lazy`: a missing part is an error of the tensors it should have. `open`: all parts
   * are opened now; tensors that an index does not list are found too. A distributed checkpoint opens
   * all the same where a part is missing: that is an error of the tensors in it, which
   * {@link Checkpoint.skipped} lists.
   */
  parts?: 'check' | 'lazy' | 'open' | undefined
  /**
   * Where the container is damaged, such as a download that stopped early, open what is whole in
   * it: {@link Checkpoint.isSalvaged} says so, {@link Checkpoint.skipped} lists the rest. What a
   * zip archive has a checksum of is compared with it. An undamaged file opens as always.
   */
  salvage?: boolean | undefined
  /**
   * Compare every record that has a checksum with it, as {@link Checkpoint.verify} does, and refuse
   * the checkpoint with `CHECKSUM_MISMATCH` when one is not as it was. All parts are opened.
   */
  verify?: boolean | undefined
  /** How what is elsewhere is fetched. */
  remote?: RemoteOptions | undefined
}

const OPTIONS = [
  'signal',
  'limits',
  'io',
  'mmap',
  'globals',
  'parts',
  'salvage',
  'verify',
  'remote',
] as const

/** A deflated record that has to be inflated before the checkpoint can be read. */
interface Deflated {
  name: string
  /** Bytes from the start of the file. */
  offset: number
  /** Bytes stored. */
  stored: number
  /** Bytes once inflated. */
  bytes: number
}

export class Request {
  readonly signal: AbortSignal | undefined
  readonly io: Io
  readonly parts: 'check' | 'lazy' | 'open'
  readonly limits: Limits
  readonly verify: boolean
  readonly salvage: boolean
  #remote: CheckedRemoteOptions | undefined
  /** What was asked for, as far as another thread can be told. */
  readonly options: KeptOptions
  readonly #native: Omit<NativeOptions, 'inflated'>

  constructor(options: OpenOptions) {
    checkOptions('options', options, OPTIONS)
    const given: OpenOptions = options
    const { signal, limits = {}, globals = 'opaque', parts = 'check' } = given
    const { salvage = false, verify = false } = given
    if (signal !== undefined && typeof signal?.throwIfAborted !== 'function') {
      throw wrongType('options.signal', 'an AbortSignal', signal)
    }
    if (globals !== 'opaque' && globals !== 'strict') {
      throw wrongValue('options.globals', "'opaque' or 'strict'", globals)
    }
    if (parts !== 'check' && parts !== 'lazy' && parts !== 'open') {
      throw wrongValue('options.parts', "'check', 'lazy' or 'open'", parts)
    }
    if (typeof salvage !== 'boolean') throw wrongType('options.salvage', 'a boolean', salvage)
    if (typeof verify !== 'boolean') throw wrongType('options.verify', 'a boolean', verify)
    const caps = checkLimits(limits)
    this.signal = signal
    this.io = checkIo(given)
    this.parts = parts
    this.verify = verify
    this.salvage = salvage
    if (given.remote !== undefined) this.#remote = checkRemoteOptions(given.remote)
    this.limits = { ...LIMITS, ...caps }
    const { signal: _, parts: __, verify: ___, remote: ____, ...kept } = given
    this.options = { ...kept, limits: caps }
    this.#native = { io: this.io, strict: globals === 'strict', salvage, limits: caps }
  }

  /** Whether files are mapped where nothing speaks against it. */
  get mayMap(): boolean {
    return this.io !== 'pread'
  }

  /** Opens a file off the main thread. */
  async openFile(path: string): Promise<FileContent> {
    const attempt = this.#attempt(path)
    for (;;) {
      const outcome = await this.#stoppable((cancel) => binding.open(path, attempt.native, cancel))
      if (!outcome.failure) return attempt.content(outcome)
      const record = attempt.deflated(outcome.failure)
      attempt.inflated(record, await readBytes(path, record))
    }
  }

  /** Native opening that the signal stops. */
  async #stoppable(
    work: (cancel: Uint8Array) => Promise<Outcome<Opened>>,
  ): Promise<Outcome<Opened>> {
    const { signal } = this
    signal?.throwIfAborted()
    const cancel = new Uint8Array(1)
    const stop = () => {
      cancel[0] = 1
    }
    signal?.addEventListener('abort', stop, { once: true })
    try {
      const outcome = await work(cancel)
      if (!signal?.aborted) return outcome
      if (!outcome.failure) binding.close(outcome.handle, [])
      throw signal.reason
    } finally {
      signal?.removeEventListener('abort', stop)
    }
  }

  openFileSync(path: string): FileContent {
    const attempt = this.#attempt(path)
    for (;;) {
      const outcome = binding.openSync(path, attempt.native)
      if (!outcome.failure) return attempt.content(outcome)
      const record = attempt.deflated(outcome.failure)
      attempt.inflated(record, readBytesSync(path, record))
    }
  }

  openBytes(bytes: Uint8Array): FileContent {
    // Other threads could change shared bytes while they are decoded.
    const stable = types.isSharedArrayBuffer(bytes.buffer) ? new Uint8Array(bytes) : bytes
    const attempt = this.#attempt(bytes)
    for (;;) {
      const outcome = binding.openSync(stable, attempt.native)
      if (!outcome.failure) return attempt.content(outcome)
      const record = attempt.deflated(outcome.failure)
      const { offset, stored } = record
      attempt.inflated(record, stable.subarray(offset, offset + stored))
    }
  }

  /** Made when something is elsewhere, which most checkpoints are not. */
  get remote(): CheckedRemoteOptions {
    this.#remote ??= checkRemoteOptions({})
    return this.#remote
  }

  /** Opens one file that is elsewhere. */
  async openRemote(source: RemoteSource): Promise<FileContent> {
    return this.openObject(await this.reach(source))
  }

  reach(source: RemoteSource): Promise<RemoteObject> {
    return reach(source, this.remote, this.signal)
  }

  async openObject(object: RemoteObject): Promise<FileContent> {
    const attempt = this.#attempt(object.path)
    const opening = new Opening(object, this.limits, this.signal)
    for (;;) {
      const outcome = await this.#stoppable((cancel) => opening.run(attempt.native, cancel))
      if (!outcome.failure) {
        const session = new RemoteSession(outcome, object, this.limits, this.remote.gate)
        return new FileContent(session, outcome)
      }
      const record = attempt.deflated(outcome.failure)
      const { offset, stored } = record
      attempt.inflated(record, await opening.read(offset, offset + stored))
    }
  }

  /**
   * The index of a split checkpoint; nothing for another file.
   *
   * @param source its path, or its bytes
   */
  readIndex(source: string | Uint8Array, path = source): NativeIndex | undefined {
    const outcome = binding.readIndex(source, { ...this.#native, inflated: [] })
    if (outcome.failure) {
      throw errorFrom(outcome.failure, typeof path === 'string' ? path : undefined)
    }
    return outcome.files === undefined ? undefined : (outcome as NativeIndex)
  }

  /**
   * Opens the checkpoint at bytes [offset, offset + length) of a file.
   *
   * @param name what its content is called among everything in the file
   */
  openInside(
    file: SharedFile,
    path: string,
    offset: number,
    length: number,
    name?: string,
  ): FileContent {
    const attempt = this.#attempt(path)
    for (;;) {
      const outcome = binding.openSync(file, attempt.native, offset, length)
      if (!outcome.failure) return attempt.content(outcome, name)
      const record = attempt.deflated(outcome.failure)
      attempt.inflated(record, readBytesSync(path, record))
    }
  }

  /** Decodes what a checkpoint was attached without; see {@link Binding.attach}. */
  decode(handle: Handle, path: string): Opened {
    const attempt = this.#attempt(path)
    for (;;) {
      const outcome = binding.decode(handle, attempt.native)
      if (!outcome.failure) return outcome
      const record = attempt.deflated(outcome.failure)
      const stored = binding.readFile(handle, record.offset, record.stored)
      if (stored.failure) throw errorFrom(stored.failure, path)
      attempt.inflated(record, new Uint8Array(stored.buffer))
    }
  }

  #attempt(source: string | Uint8Array | undefined): Attempt {
    return new Attempt(source, { ...this.#native, inflated: [] }, this)
  }
}

function checkIo({ io, mmap }: OpenOptions): Io {
  if (mmap !== undefined && typeof mmap !== 'boolean') {
    throw wrongType('options.mmap', 'a boolean', mmap)
  }
  if (io !== undefined && io !== 'auto' && io !== 'mmap' && io !== 'pread') {
    throw wrongValue('options.io', "'auto', 'mmap' or 'pread'", io)
  }
  if (mmap === undefined) return io ?? 'auto'
  const meant = mmap ? 'mmap' : 'pread'
  if (io !== undefined && io !== meant) {
    throw wrongValue('options.io', `'${meant}', as options.mmap says,`, io)
  }
  return meant
}

/** The rounds it takes to open one file: one more for each deflated record that is needed. */
class Attempt {
  readonly native: NativeOptions
  readonly #source: string | Uint8Array | undefined
  readonly #request: Request

  constructor(source: string | Uint8Array | undefined, native: NativeOptions, request: Request) {
    this.#source = source
    this.native = native
    this.#request = request
  }

  get #path(): string | undefined {
    return typeof this.#source === 'string' ? this.#source : undefined
  }

  content(opened: Opened, name?: string): FileContent {
    const { limits, options } = this.#request
    return new FileContent(new FileSession(opened, this.#source, limits, options), opened, name)
  }

  /** The record that a failure asks for; throws every failure that is about something else. */
  deflated(failure: NativeFailure): Deflated {
    const { code, subject, record: name, offset, limit: stored, actual: bytes } = failure
    const isAsking = code === 'UNSUPPORTED_COMPRESSION' && subject === 'deflate'
    const isKnown = this.native.inflated.some((record) => record.name === name)
    if (!isAsking || isKnown || name === undefined || offset === undefined) {
      throw errorFrom(failure, this.#path)
    }
    return { name, offset, stored: stored ?? 0, bytes: bytes ?? 0 }
  }

  inflated({ name, offset, stored, bytes }: Deflated, deflated: Uint8Array): void {
    const place = { path: this.#path, record: name, offset }
    if (deflated.length !== stored) {
      const message = `record '${name}' has ${deflated.length} of ${stored} bytes`
      throw new FormatError('TRUNCATED', message, place)
    }
    const limit = this.#request.limits.inflatedBytes
    const result = inflate(deflated, bytes, { exactly: true, limit, place })
    this.native.inflated.push({ name, bytes: result })
  }
}

async function readBytes(path: string, { offset, stored }: Deflated): Promise<Uint8Array> {
  const file = await openFile(path)
  try {
    const bytes = new Uint8Array(stored)
    let count = 0
    while (count < stored) {
      const { bytesRead } = await file.read(bytes, count, stored - count, offset + count)
      if (bytesRead === 0) break
      count += bytesRead
    }
    return bytes.subarray(0, count)
  } finally {
    await file.close()
  }
}

function readBytesSync(path: string, { offset, stored }: Deflated): Uint8Array {
  const file = openFileSync(path, 'r')
  try {
    const bytes = new Uint8Array(stored)
    let count = 0
    while (count < stored) {
      const bytesRead = readSync(file, bytes, count, stored - count, offset + count)
      if (bytesRead === 0) break
      count += bytesRead
    }
    return bytes.subarray(0, count)
  } finally {
    closeSync(file)
  }
}
