/**
 * What Darts saves as two files: `x.pt` holds the forecasting model without its network, and
 * `x.pt.ckpt` beside it the network as a Lightning checkpoint.
 * Source: darts/models/forecasting/torch_forecasting_model.py, TorchForecastingModel.save (0.46).
 */
import { existsSync } from 'node:fs'
import type { Format, Skipped } from '../content'
import type { FileContent } from '../file-content'
import { NamedTensors } from '../named-tensors'
import { PyObject } from '../python'
import type { Request } from '../request'
import type { Tensor } from '../tensor'
import { PartFile } from './part-file'
import type { Plan } from './plan'
import { SeveralFiles } from './several'

/** Root class of the wrapper. */
const WRAPPER = 'darts.models.forecasting.'

/** The plan for a wrapper, with the checkpoint beside it if there is one. */
export function planOfDarts(file: FileContent, request: Request): Plan | undefined {
  if (file.path === undefined || !file.rootClass.startsWith(WRAPPER)) return undefined
  const path = `${file.path}.ckpt`
  return {
    files: existsSync(path) ? [path] : [],
    build: ([checkpoint]) => new DartsModel(file, checkpoint, path, request),
    abandon: () => file.close(),
  }
}

class DartsModel extends SeveralFiles {
  readonly parts: readonly PartFile[]
  readonly tensors: ReadonlyMap<string, Tensor>
  readonly #wrapper: FileContent
  readonly #checkpoint: FileContent | undefined
  /** Where the checkpoint is, or should be. */
  readonly #expected: string

  constructor(
    wrapper: FileContent,
    checkpoint: FileContent | undefined,
    expected: string,
    request: Request,
  ) {
    super(wrapper.path, wrapper.isMapped)
    const files = checkpoint === undefined ? [wrapper] : [wrapper, checkpoint]
    this.parts = files.map((file) => new PartFile(file.path!, request, file))
    this.#wrapper = wrapper
    this.#checkpoint = checkpoint
    this.#expected = expected
    // The wrapper has tensors where a callback holds on to the network.
    this.tensors = new NamedTensors(
      () => union([...files].reverse().map(({ tensors }) => tensors)),
      (_, [tensors, name]) => tensors.get(name)!,
    )
  }

  get format(): Format {
    return this.#wrapper.format
  }

  get era(): string {
    return this.#wrapper.era
  }

  get skipped(): readonly Skipped[] {
    const skipped = [...this.#wrapper.skipped, ...(this.#checkpoint?.skipped ?? [])]
    if (this.#checkpoint === undefined && wasTrained(this.root)) {
      const message = `the weights lie in '${this.#expected}', which is missing`
      skipped.push({ name: 'state_dict', code: 'MISSING_SHARD', message })
    }
    return skipped
  }

  get root(): unknown {
    return this.#wrapper.root
  }

  stateDict(from: string | undefined): ReadonlyMap<string, Tensor> {
    return (this.#checkpoint ?? this.#wrapper).stateDict(from)
  }

  protected override release(): void {
    this.#wrapper.close()
    this.#checkpoint?.close()
  }
}

/** An untrained model has no weights to miss. */
function wasTrained(root: unknown): boolean {
  const states = root instanceof PyObject && root.state instanceof Map ? root.state : new Map()
  return states.get('_fit_called') !== false
}

type Names = ReadonlyMap<string, Tensor>

/** The names of all maps; one that several have gets `#2` and so on. */
function union(maps: readonly Names[]): Map<string, [Names, string]> {
  const places = new Map<string, [Names, string]>()
  for (const map of maps) {
    for (const name of map.keys()) {
      let free = name
      for (let count = 2; places.has(free); ++count) free = `${name}#${count}`
      places.set(free, [map, name])
    }
  }
  return places
}
