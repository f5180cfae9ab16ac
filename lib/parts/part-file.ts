/** One file among those of a checkpoint, opened when something of it is first asked for. */
import { statSync } from 'node:fs'
import type { Part } from '../content'
import { StateError } from '../errors'
import type { FileContent } from '../file-content'
import type { Request } from '../request'

/** What opens a file. */
export type Opener = Pick<Request, 'openFileSync'>

export class PartFile implements Part {
  readonly path: string
  readonly #request: Opener
  #content: FileContent | undefined
  #isClosed = false

  constructor(path: string, request: Opener, content?: FileContent) {
    this.path = path
    this.#request = request
    this.#content = content
  }

  get isOpen(): boolean {
    return this.#content !== undefined
  }

  /** Nothing as long as it is not open. */
  get isMapped(): boolean | undefined {
    return this.#content?.isMapped
  }

  get isSalvaged(): boolean {
    return this.#content?.isSalvaged === true
  }

  /**
   * Bytes of the file.
   *
   * @throws {@link StateError} `MISSING_SHARD`
   */
  get size(): number {
    try {
      return this.#content?.size ?? statSync(this.path).size
    } catch (error) {
      throw this.#failure(error)
    }
  }

  /** @throws {@link StateError} `MISSING_SHARD`, `CLOSED`, and what opening a file throws */
  get content(): FileContent {
    if (this.#content === undefined) {
      if (this.#isClosed) {
        throw new StateError('CLOSED', 'the checkpoint is closed', { path: this.path })
      }
      try {
        this.#content = this.#request.openFileSync(this.path)
      } catch (error) {
        throw this.#failure(error)
      }
    }
    return this.#content
  }

  /** Closes the file; one that was not opened is not opened any more. */
  close(): void {
    this.#isClosed = true
    this.#content?.close()
  }

  #failure(error: unknown): unknown {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') return error
    const message = `a part of the checkpoint is missing: '${this.path}'`
    return new StateError('MISSING_SHARD', message, { path: this.path, cause: error })
  }
}
