/** The files that items of a distributed checkpoint lie in, one behind the other. */
import { statSync } from 'node:fs'
import { binding, type SharedFile } from '../../binding'
import type { Part } from '../../content'
import { errorFrom, FormatError, StateError } from '../../errors'
import type { FileContent } from '../../file-content'
import type { Request } from '../../request'
import { Budget } from './budget'
import type { Place } from './table'

/** One file, opened when an item of it is first asked for. */
export class ItemFile implements Part {
  readonly path: string
  readonly #request: Request
  readonly #contents = new Set<FileContent>()
  #isSalvaged = false
  #size: number | undefined
  #opened: { file: SharedFile; mapped: boolean; budget: Budget } | undefined

  constructor(path: string, request: Request) {
    this.path = path
    this.#request = request
  }

  get isOpen(): boolean {
    return this.#opened !== undefined
  }

  /** Nothing as long as it is not open. */
  get isMapped(): boolean | undefined {
    return this.#opened?.mapped
  }

  /** Whether an item that was opened is damaged. */
  get isSalvaged(): boolean {
    return this.#isSalvaged
  }

  /**
   * Bytes of the file.
   *
   * @throws errors of the file system
   */
  get size(): number {
    // Asked once: every item compares its place with it.
    if (this.#size === undefined) {
      const found = statSync(this.path)
      // What is no file says so when it is opened.
      if (!found.isFile()) this.open()
      this.#size ??= found.size
    }
    return this.#size
  }

  /** @throws errors of the file system */
  open(): void {
    if (this.#opened !== undefined) return
    const { path } = this
    const { failure, ...opened } = binding.openFile(path, this.#request.io)
    if (failure !== undefined) throw errorFrom(failure, path)
    const { file, size, mapped } = opened as { file: SharedFile; size: number; mapped: boolean }
    this.#size = size
    this.#opened = { file, mapped, budget: new Budget(size, this.#request.limits, path) }
  }

  /**
   * Whether the bytes of an item are there.
   *
   * @throws {@link StateError} `MISSING_SHARD`
   * @throws {@link FormatError} `TRUNCATED`
   */
  check(place: Place, name: string): void {
    let size: number
    try {
      size = this.size
    } catch (error) {
      throw this.#failure(error, name)
    }
    const { offset, length, file } = place
    if (offset <= size && length <= size - offset) return
    const message =
      `'${name}' is said to have ${length} bytes at byte ${offset} of '${file}', ` +
      `which has ${size}`
    throw new FormatError('TRUNCATED', message, { path: this.path, offset })
  }

  /**
   * Opens an item.
   *
   * @throws what {@link check} throws, and what opening a file does
   */
  item(place: Place, name: string): FileContent {
    try {
      this.open()
    } catch (error) {
      throw this.#failure(error, name)
    }
    this.check(place, name)
    const { file, budget } = this.#opened!
    // Items that lie in each other could be decoded any number of times.
    budget.charge(place.length)
    const { path } = this
    const content = this.#request.openInside(file, path, place.offset, place.length, name)
    this.#isSalvaged ||= content.isSalvaged
    this.#contents.add(content)
    return content
  }

  /** Closes one item before the others. */
  release(content: FileContent): void {
    this.#contents.delete(content)
    content.close()
  }

  close(): void {
    for (const content of this.#contents) content.close()
    this.#contents.clear()
    if (this.#opened !== undefined) binding.closeFile(this.#opened.file)
  }

  #failure(error: unknown, name: string): unknown {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') return error
    const message = `'${name}' is in '${this.path}', which is missing`
    return new StateError('MISSING_SHARD', message, { path: this.path, cause: error })
  }
}
