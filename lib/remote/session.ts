/** A checkpoint that is elsewhere: what describes it is here, its elements come when asked for. */
import { binding, type Opened } from '../binding'
import type { Limits } from '../limits'
import { type BringOptions, FileSession } from '../session'
import type { FileStorages } from '../storage'
import type { Range } from '../values'
import { Fetcher } from './fetcher'
import type { Gate } from './gate'
import type { RemoteObject } from './object'
import { RemoteStorages } from './storages'

/** Milliseconds between two reports of progress. */
const INTERVAL = 25

export class RemoteSession extends FileSession {
  declare readonly storages: RemoteStorages
  readonly #fetcher: Fetcher

  constructor(opened: Opened, object: RemoteObject, limits: Limits, gate: Gate) {
    super(opened, object.path, limits)
    this.#fetcher = new Fetcher(this, this.storages, object, gate)
  }

  protected override makeStorages(): FileStorages {
    const { rows } = this.unwrap(binding.storageExtents(this.handle))
    return new RemoteStorages(this, rows)
  }

  override get isRemote(): boolean {
    return true
  }

  override isHere(wanted: readonly Range[]): boolean {
    return wanted.every((range) => this.storages.isHere(range))
  }

  override async bring(wanted: readonly Range[], options: BringOptions): Promise<void> {
    const { signal, onProgress, nameOf } = options
    if (onProgress === undefined) return this.#fetcher.bring(wanted, signal)
    const total = wanted.reduce((sum, { start, end }) => sum + end - start, 0)
    const control = new AbortController()
    let [at, before, loaded] = [0, 0, 0]
    const report = () => {
      const left = (range: Range) => range.end - range.start - this.storages.arrived(range)
      while (at < wanted.length && left(wanted[at]!) === 0) {
        before += wanted[at]!.end - wanted[at]!.start
        ++at
      }
      const rest = wanted.slice(at).reduce((sum, range) => sum + this.storages.arrived(range), 0)
      loaded = Math.max(loaded, before + rest)
      const name = nameOf(wanted[Math.min(at, wanted.length - 1)]!)
      onProgress({ phase: 'load', loaded, total, name })
    }
    if (wanted.length > 0) report()
    const timer = setInterval(() => {
      try {
        report()
      } catch (reason) {
        control.abort(reason)
      }
    }, INTERVAL)
    try {
      const either =
        signal === undefined ? control.signal : AbortSignal.any([signal, control.signal])
      await this.#fetcher.bring(wanted, either)
    } finally {
      clearInterval(timer)
    }
    if (wanted.length > 0) report()
  }

  protected override release(): void {
    this.#fetcher.stop()
    super.release()
  }
}
