/** What all checkpoints of several files have in common. */
import { endianness } from 'node:os'
import type { Content, FileIdentity, Format, Part, Skipped } from '../content'
import { isLoss, StateError, UnsupportedError } from '../errors'
import type { FileContent } from '../file-content'
import type { CheckpointHandle } from '../handle/shape'
import type { Tensor } from '../tensor'
import type { Unit } from '../verify'

/** A part as its checkpoint knows it. */
export interface SizedPart extends Part {
  /** Bytes. */
  readonly size: number
  readonly isSalvaged?: boolean
  readonly isMapped?: boolean | undefined
  /** Opens it, where it is a checkpoint of its own. */
  readonly content?: FileContent
}

export abstract class SeveralFiles implements Content {
  abstract readonly format: Format
  abstract readonly era: string
  abstract readonly parts: readonly SizedPart[]
  abstract readonly skipped: readonly Skipped[]
  abstract readonly tensors: ReadonlyMap<string, Tensor>
  abstract readonly root: unknown
  readonly byteOrder: 'little' | 'big' = endianness() === 'LE' ? 'little' : 'big'
  /** The directory or index; nothing for parts given one by one. */
  readonly path: string | undefined
  readonly identity: FileIdentity | undefined = undefined
  readonly #mayMap: boolean
  #closed = false

  /** @param mayMap whether files of it may be mapped */
  constructor(path: string | undefined, mayMap: boolean) {
    this.path = path
    this.#mayMap = mayMap
  }

  abstract stateDict(from: string | undefined): ReadonlyMap<string, Tensor>

  /** Closes the files. */
  protected abstract release(): void

  /** Nothing where it is not said how another thread would put the parts together. */
  handle(): CheckpointHandle {
    this.checkOpen()
    const message = `a checkpoint of format ${this.format} in several files has no handle: open its path again`
    throw new UnsupportedError('UNSUPPORTED_FORMAT', message, { path: this.path }, 'handle')
  }

  /** That of the parts, if there is any, stays with them. */
  get metadata(): ReadonlyMap<string, string> | undefined {
    return undefined
  }

  get outline(): unknown {
    return this.root
  }

  get size(): number {
    return this.parts.reduce((sum, part) => sum + sizeOf(part), 0)
  }

  /** Whether the parts that are open are mapped, and others may be. */
  get isMapped(): boolean {
    return this.#mayMap && this.parts.every((part) => part.isMapped !== false)
  }

  /** Whether any part that is open is damaged. */
  get isSalvaged(): boolean {
    return this.parts.some((part) => part.isSalvaged === true)
  }

  units(): readonly Unit[] {
    return this.parts.map((part) => ({
      name: part.path,
      path: part.path,
      bytes: sizeOf(part),
      open: () => part.content!,
    }))
  }

  get isClosed(): boolean {
    return this.#closed
  }

  checkOpen(): void {
    if (this.#closed) {
      throw new StateError('CLOSED', 'the checkpoint is closed', { path: this.path })
    }
  }

  close(): void {
    if (this.#closed) return
    this.#closed = true
    this.release()
  }
}

/** A part that is not there has no bytes. */
function sizeOf(part: { readonly size: number }): number {
  try {
    return part.size
  } catch {
    return 0
  }
}

/**
 * The tensors of `tensors` under a path of keys, with the names they have below it.
 *
 * @throws {@link StateError} `NO_SUCH_TENSOR` when there are none
 */
export function branch<T>(
  names: Iterable<readonly [string, T]>,
  from: string,
  path: string | undefined,
): Map<string, T> {
  const found = new Map<string, T>()
  const prefix = `${from}.`
  for (const [name, value] of names) {
    if (from === '') found.set(name, value)
    else if (name === from) found.set('', value)
    else if (name.startsWith(prefix)) found.set(name.slice(prefix.length), value)
  }
  if (found.size === 0) {
    const message = `nothing in the checkpoint is called '${from}'`
    throw new StateError('NO_SUCH_TENSOR', message, { path })
  }
  return found
}

/**
 * What an error that was caught says of the tensor or item `name`.
 *
 * @throws `error` where it is not about the checkpoint
 */
export function skip(name: string, error: unknown): Skipped {
  if (!isLoss(error)) throw error
  return Object.freeze({ name, code: error.code, message: error.message })
}
