/**
 * What Darts saves as two files: `x.pt` holds the forecasting model without its network, and
 * `x.pt.ckpt` beside it the network as a Lightning checkpoint.
 * Source: darts/models/forecasting/torch_forecasting_model.py, TorchForecastingModel.save (0.46).
 */
import { existsSync } from 'node:fs'
import type { Format, Skipped } from '../content'
import type { FileContent } from '../file-content'
import type { Request } from '../request'
import type { Tensor } from '../tensor'
import { PartFile } from './part-file'
import type { Plan } from './plan'
import { SeveralFiles } from './several'

/** Root class of the wrapper. */
const WRAPPER = 'darts.models.forecasting.'

/** The plan for a wrapper that its checkpoint stands beside. */
export function planOfDarts(file: FileContent, request: Request): Plan | undefined {
  if (file.path === undefined || !file.rootClass.startsWith(WRAPPER)) return undefined
  const path = `${file.path}.ckpt`
  if (!existsSync(path)) return undefined
  return {
    files: [path],
    build: ([checkpoint]) => new DartsModel(file, checkpoint!, request),
    abandon: () => file.close(),
  }
}

class DartsModel extends SeveralFiles {
  readonly parts: readonly PartFile[]
  readonly #wrapper: FileContent
  readonly #checkpoint: FileContent

  constructor(wrapper: FileContent, checkpoint: FileContent, request: Request) {
    super(wrapper.path, wrapper.isMapped)
    this.parts = [wrapper, checkpoint].map((file) => new PartFile(file.path!, request, file))
    this.#wrapper = wrapper
    this.#checkpoint = checkpoint
  }

  get format(): Format {
    return this.#wrapper.format
  }

  get era(): string {
    return this.#wrapper.era
  }

  get tensors(): ReadonlyMap<string, Tensor> {
    return this.#checkpoint.tensors
  }

  get skipped(): readonly Skipped[] {
    return [...this.#wrapper.skipped, ...this.#checkpoint.skipped]
  }

  get root(): unknown {
    return this.#wrapper.root
  }

  stateDict(from: string | undefined): ReadonlyMap<string, Tensor> {
    return this.#checkpoint.stateDict(from)
  }

  protected override release(): void {
    this.#wrapper.close()
    this.#checkpoint.close()
  }
}
