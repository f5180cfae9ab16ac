/**
 * The parts of a checkpoint that only training needs: found by the keys that frameworks give them
 * and by what is in them.
 */
import type { Tensor } from '../tensor'
import {
  attributesOf,
  entriesOf,
  isFilled,
  isOf,
  isOptimizer,
  isScaler,
  isScheduler,
} from './evidence'

/**
 * What a part is: moments of an optimizer, state of a schedule of learning rates, scale of losses,
 * state of callbacks, progress and records of the training loop, states of random generators, the
 * loss, metrics, what the run was started with (which can describe the model too), or data that was
 * trained on.
 */
export type TrainingKind =
  | 'optimizer'
  | 'scheduler'
  | 'scaler'
  | 'callback'
  | 'loop'
  | 'random_state'
  | 'loss'
  | 'metrics'
  | 'arguments'
  | 'training_data'

/** A part as it is found: what it is called, and the value. */
export interface FoundPart {
  kind: TrainingKind
  /** From the root, as the names of tensors are made; empty for the root itself. */
  path: string
  /** Where in the root: its key or attribute, and the index there if it is a list of parts. */
  at: readonly (string | number)[]
}

interface PartRule {
  kind: TrainingKind
  keys: RegExp
  /** What must be true of the value, where the key alone says too little. */
  when?(value: unknown): boolean
}

/** A list of them is so many parts. */
const SHAPES: readonly [TrainingKind, (value: unknown) => boolean][] = [
  ['optimizer', isOptimizer],
  ['scheduler', isScheduler],
  ['scaler', isScaler],
]

/**
 * Keys of the root. Sources are those of the flavours in rules.ts; `(?:_state(?:_dict)?)?` is what
 * people add in scripts of their own.
 */
const KEYS: readonly PartRule[] = [
  // Lightning optimizer_states; fairseq last_optimizer_state; DeepSpeed, ESPnet, mmengine, timm.
  { kind: 'optimizer', keys: /^(?:last_)?optim(?:izer)?s?(?:_states?(?:_dicts?)?)?$/ },
  // Lightning lr_schedulers; mmengine param_schedulers; Megatron opt_param_scheduler; fairseq.
  {
    kind: 'scheduler',
    keys: /^(?:lr_|param_|opt_param_)?schedulers?(?:_states?(?:_dicts?)?)?$|^optimizer_history$/,
  },
  // Lightning's precision plugins by class; before 1.6 the other two. apex.amp.state_dict.
  {
    kind: 'scaler',
    keys: /^(?:Native)?MixedPrecision(?:Plugin)?$|^(?:native_)?amp_scaling_state$/,
  },
  { kind: 'scaler', keys: /^amp$/, when: (value) => entriesOf(value).has('loss_scaler0') },
  { kind: 'callback', keys: /^callbacks$/ },
  // Lightning; mmengine; ESPnet; ultralytics; timm; Megatron; DeepSpeed.
  {
    kind: 'loop',
    keys: /^(?:loops|message_hub|reporter|train_metrics|train_results|saver|rerun_state_machine|data_sampler|random_ltd)$/,
  },
  // fairseq: averaged weights can be in it.
  {
    kind: 'loop',
    keys: /^extra_state$/,
    when: (value) => entriesOf(value).size > 0 && !entriesOf(value).has('ema'),
  },
  // Megatron rng_state, or torch_rng_state and others beside each other; Darts _random_instance.
  {
    kind: 'random_state',
    keys: /^(?:\w+_)?rng_(?:tracker_)?states?$|^random_(?:rng_)?states?$|^_random_instance$/,
  },
  // transformers; accelerate: the root itself is the states of all generators.
  { kind: 'loss', keys: /^(?:loss_fn|criterion)$/ },
  { kind: 'metrics', keys: /^torch_metrics(?:_train|_val)?$/ },
  // Lightning, before 1.0 hparams; ultralytics; Megatron, fairseq, timm; YOLOv5 opt.
  {
    kind: 'arguments',
    keys: /^(?:datamodule_)?hyper_parameters$|^hparams$|^(?:train_|training_)?args$|^opt$|^ds_config$/,
  },
]

/** Attributes of Darts' models. Source: as for `darts` in rules.ts. */
const DARTS: readonly PartRule[] = [
  {
    kind: 'training_data',
    keys: /^(?:training_series|past_covariate_series|future_covariate_series|static_covariates)$/,
  },
  { kind: 'random_state', keys: /^_random_instance$/ },
  { kind: 'arguments', keys: /^trainer_params$/ },
]

/** The parts of a root that is a dict, or one of Darts' models. */
export function partsOf(root: unknown): FoundPart[] {
  const isDarts = isOf(root, 'darts.models')
  const rules = isDarts ? DARTS : KEYS
  const parts: FoundPart[] = []
  for (const [key, value] of isDarts ? attributesOf(root) : entriesOf(root)) {
    if (typeof key !== 'string' || !isFilled(value)) continue
    const kind = kindOf(key, value, rules)
    if (kind === undefined) continue
    if (!Array.isArray(value) || !SHAPES.some(([shape]) => shape === kind)) {
      parts.push({ kind, path: key, at: [key] })
      continue
    }
    for (const [index, item] of value.entries()) {
      if (isFilled(item)) parts.push({ kind, path: `${key}.${index}`, at: [key, index] })
    }
  }
  return parts
}

function kindOf(key: string, value: unknown, rules: readonly PartRule[]): TrainingKind | undefined {
  const sample = Array.isArray(value) ? value.find(isFilled) : value
  const shape = SHAPES.find(([, isShape]) => isShape(sample))
  if (shape !== undefined) return shape[0]
  return rules.find(({ keys, when }) => keys.test(key) && (when === undefined || when(value)))?.kind
}

/** Whether a tensor of this name is in the part at this path. */
export function isUnder(path: string, name: string): boolean {
  if (!name.startsWith(path)) return false
  return path === '' || name.length === path.length || name.charCodeAt(path.length) === DOT
}

const DOT = 46

/** Storages, each counted once. */
export class StorageBytes {
  readonly #storages = new Set<unknown>()
  #bytes = 0

  get bytes(): number {
    return this.#bytes
  }

  add(tensor: Tensor): void {
    const parts = Object.values(tensor.parts).map((part) => part.storage)
    for (const storage of [tensor.storage, ...parts]) {
      if (storage === undefined || this.#storages.has(storage)) continue
      this.#storages.add(storage)
      this.#bytes += storage.byteLength
    }
  }
}
