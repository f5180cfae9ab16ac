/**
 * The table of flavours: what wrote a checkpoint, by marks that its writer leaves. The first row
 * whose marks are there decides. Nothing is guessed from file names or from the names of layers.
 */
import { Storage } from '../storage'
import { Tensor } from '../tensor'
import {
  type Dict,
  type Evidence,
  entriesOf,
  holdsTensor,
  isModule,
  isOf,
  isOptimizer,
  isScaler,
  isScheduler,
} from './evidence'
import { partsOf } from './parts'

/**
 * What wrote a checkpoint, or where that cannot be known, what it holds:
 *
 * - `lightning`, `darts`, `ultralytics` (YOLOv5 and its kin too), `fairseq`, `timm`, `openmmlab`
 *   (mmcv, mmengine), `espnet`, `megatron`, `deepspeed`, `accelerate`: training frameworks
 * - `huggingface`: safetensors of transformers, diffusers and their kin; the arguments and random
 *   states of transformers' Trainer
 * - `peft`: adapters; `bitsandbytes`, `gptq`, `awq`: quantised weights, by their names and shapes
 * - `torchscript`, `package`, `pt2`: by the format
 * - `optimizer`, `scheduler`, `scaler`: the state of one and nothing else
 * - `training`: a dict of weights beside the state of a training run
 * - `module`: a whole nn.Module
 * - `state_dict`: weights by name, or a dict of such, as `{'params': {...}, 'params_ema': {...}}`
 * - `tensor`, `tensors`: one, or some in lists and dicts
 * - `unknown`: nothing of these
 */
export type Flavor =
  | 'lightning'
  | 'darts'
  | 'ultralytics'
  | 'fairseq'
  | 'timm'
  | 'openmmlab'
  | 'espnet'
  | 'megatron'
  | 'deepspeed'
  | 'accelerate'
  | 'huggingface'
  | 'peft'
  | 'bitsandbytes'
  | 'gptq'
  | 'awq'
  | 'torchscript'
  | 'package'
  | 'pt2'
  | 'optimizer'
  | 'scheduler'
  | 'scaler'
  | 'training'
  | 'module'
  | 'state_dict'
  | 'tensor'
  | 'tensors'
  | 'unknown'

/** A package that wrote a checkpoint. */
export interface Framework {
  /** As its project is called. */
  readonly name: string
  /** As the checkpoint says; nothing where it does not. */
  readonly version?: string
}

interface Rule {
  flavor: Flavor
  matches(evidence: Evidence): boolean
  framework?(evidence: Evidence): { name: string; version?: unknown } | undefined
}

const LIGHTNING_VERSION = 'pytorch-lightning_version'

/** Packages before formats of tensors, formats before shapes. */
export const RULES: readonly Rule[] = [
  { flavor: 'torchscript', matches: ({ subject }) => subject.format === 'torchscript' },
  { flavor: 'package', matches: ({ subject }) => subject.format === 'package' },
  { flavor: 'pt2', matches: ({ subject }) => subject.format === 'pt2' },

  // Source: unit8co/darts darts/models/forecasting/torch_forecasting_model.py, save,
  // on_save_checkpoint (0.46).
  {
    flavor: 'darts',
    matches: (evidence) =>
      isOf(evidence.root, 'darts.models') ||
      evidence.has(LIGHTNING_VERSION, 'model_dtype', 'train_sample_shape'),
    framework: (evidence) =>
      evidence.has(LIGHTNING_VERSION) ? lightning(evidence) : { name: 'darts' },
  },
  // Source: Lightning-AI/pytorch-lightning
  // pytorch_lightning/trainer/connectors/checkpoint_connector.py, dump_checkpoint (2.6.6).
  {
    flavor: 'lightning',
    matches: (evidence) => evidence.has(LIGHTNING_VERSION),
    framework: lightning,
  },
  // Source: deepspeedai/DeepSpeed deepspeed/runtime/engine.py, _save_checkpoint,
  // _save_zero_checkpoint (0.16); early releases have no ds_version.
  {
    flavor: 'deepspeed',
    matches: (evidence) =>
      evidence.has('ds_version') ||
      evidence.has('module', 'param_shapes') ||
      entriesOf(evidence.dict.get('optimizer_state_dict')).has('zero_stage'),
    framework: ({ dict }) => ({ name: 'deepspeed', version: dict.get('ds_version') }),
  },
  // Source: NVIDIA/Megatron-LM megatron/training/checkpointing.py, generate_state_dict.
  {
    flavor: 'megatron',
    matches: (evidence) =>
      evidence.has('checkpoint_version', 'iteration') &&
      ['args', 'model', 'model0'].some((key) => evidence.has(key)),
    framework: () => ({ name: 'megatron-lm' }),
  },
  // Source: ultralytics/ultralytics ultralytics/engine/trainer.py, save_model (8.3);
  // ultralytics/yolov5 train.py (v7.0), whose classes are in models.yolo.
  {
    flavor: 'ultralytics',
    matches: (evidence) =>
      isOfUltralytics(evidence) ||
      (evidence.has('best_fitness') && modelsIn(evidence, 'models.yolo')),
    // What is in models.yolo has many writers.
    framework: (evidence) =>
      isOfUltralytics(evidence)
        ? { name: 'ultralytics', version: evidence.dict.get('version') }
        : undefined,
  },
  // Source: facebookresearch/fairseq fairseq/trainer.py, state_dict (0.12);
  // fairseq/checkpoint_utils.py, save_state (0.9).
  {
    flavor: 'fairseq',
    matches: (evidence) => evidence.has('model', 'optimizer_history', 'extra_state'),
    framework: () => ({ name: 'fairseq' }),
  },
  // Source: huggingface/pytorch-image-models timm/utils/checkpoint_saver.py, _save (1.0).
  {
    flavor: 'timm',
    matches: (evidence) =>
      evidence.has('epoch', 'state_dict', 'optimizer') &&
      typeof evidence.dict.get('arch') === 'string' &&
      typeof evidence.dict.get('version') === 'number',
    framework: () => ({ name: 'timm' }),
  },
  // Source: open-mmlab/mmengine mmengine/runner/runner.py, save_checkpoint (0.10);
  // open-mmlab/mmcv mmcv/runner/checkpoint.py, save_checkpoint (1.7).
  {
    flavor: 'openmmlab',
    matches: (evidence) => evidence.has('state_dict') && openmmlab(evidence.dict) !== undefined,
    framework: ({ dict }) => openmmlab(dict),
  },
  // Source: espnet/espnet espnet2/train/trainer.py, run.
  {
    flavor: 'espnet',
    matches: (evidence) => evidence.has('model', 'reporter', 'optimizers', 'schedulers'),
    framework: () => ({ name: 'espnet' }),
  },
  // Source: huggingface/transformers src/transformers/trainer.py, _save, _save_rng_state (5.23).
  {
    flavor: 'huggingface',
    matches: (evidence) =>
      isOf(evidence.root, 'transformers') ? !isModule(evidence.root) : isRandomState(evidence.dict),
    framework: () => ({ name: 'transformers' }),
  },
  // Source: huggingface/accelerate src/accelerate/checkpointing.py, save_accelerator_state (1.15).
  {
    flavor: 'accelerate',
    matches: (evidence) => evidence.has('random_state', 'numpy_random_seed', 'torch_manual_seed'),
    framework: () => ({ name: 'accelerate' }),
  },

  // Source: huggingface/peft src/peft/utils/save_and_load.py, get_peft_model_state_dict (0.21).
  { flavor: 'peft', matches: ({ marks }) => marks.isAdapter, framework: () => ({ name: 'peft' }) },
  // Source: bitsandbytes-foundation/bitsandbytes bitsandbytes/functional.py, QuantState.as_dict;
  // bitsandbytes/nn/modules.py, Linear8bitLt._save_to_state_dict (0.45).
  {
    flavor: 'bitsandbytes',
    matches: ({ marks }) => marks.isBitsAndBytes,
    framework: () => ({ name: 'bitsandbytes' }),
  },
  { flavor: 'gptq', matches: (evidence) => packing(evidence) === 'rows' },
  { flavor: 'awq', matches: (evidence) => packing(evidence) === 'columns' },
  // Source: huggingface/transformers src/transformers/modeling_utils.py, save_pretrained;
  // huggingface/diffusers src/diffusers/models/modeling_utils.py, save_pretrained.
  {
    flavor: 'huggingface',
    matches: ({ subject: { format, metadata } }) =>
      (format === 'safetensors' || format === 'split') && metadata?.get('format') === 'pt',
  },

  { flavor: 'optimizer', matches: ({ root, dict }) => isOptimizer(root) && dict.size <= 2 },
  { flavor: 'scheduler', matches: ({ root }) => isScheduler(root) },
  { flavor: 'scaler', matches: ({ root }) => isScaler(root) },
  { flavor: 'module', matches: ({ root }) => isModule(root) },
  { flavor: 'training', matches: isTraining },
  { flavor: 'state_dict', matches: isStateDict },
  {
    flavor: 'tensor',
    matches: ({ root }) => root instanceof Tensor || root instanceof Storage,
  },
  {
    flavor: 'tensors',
    matches: ({ root, subject }) =>
      (Array.isArray(root) || root instanceof Map) && subject.tensors.size > 0,
  },
]

function lightning({ dict }: Evidence) {
  return { name: 'pytorch-lightning', version: dict.get(LIGHTNING_VERSION) }
}

function isOfUltralytics(evidence: Evidence): boolean {
  return isOf(evidence.root, 'ultralytics') || modelsIn(evidence, 'ultralytics')
}

/** Whether the model, or the average of it, is of a class in this module. */
function modelsIn({ dict }: Evidence, module: string): boolean {
  return isOf(dict.get('model'), module) || isOf(dict.get('ema'), module)
}

function openmmlab(dict: Dict): { name: string; version: unknown } | undefined {
  const meta = entriesOf(dict.get('meta'))
  const name = ['mmengine', 'mmcv'].find((name) => meta.has(`${name}_version`))
  return name === undefined ? undefined : { name, version: meta.get(`${name}_version`) }
}

function isRandomState(dict: Dict): boolean {
  return (
    ['python', 'numpy', 'cpu'].every((key) => dict.has(key)) && dict.get('cpu') instanceof Tensor
  )
}

/**
 * How integers of a few bits lie in those of 32: GPTQ packs the inputs of a layer, AWQ the outputs.
 * Source: AutoGPTQ/AutoGPTQ auto_gptq/nn_modules/qlinear/qlinear_cuda.py; casper-hansen/AutoAWQ
 * awq/modules/linear/gemm.py.
 */
function packing({ subject, marks }: Evidence): 'rows' | 'columns' | undefined {
  if (marks.packed === undefined) return undefined
  const part = (name: string) => subject.tensors.get(`${marks.packed}.${name}`)
  const [weight, zeros, scales] = [part('qweight'), part('qzeros'), part('scales')]
  if (weight?.dtype !== 'int32' || zeros?.dtype !== 'int32' || scales === undefined)
    return undefined
  const [columns, outputs] = [weight.shape[1], scales.shape[1]]
  if (columns === undefined || outputs === undefined) return undefined
  if (columns === outputs) return 'rows'
  return columns < outputs && outputs % columns === 0 ? 'columns' : undefined
}

/** How far a training run has come. */
const PROGRESS = [
  'epoch',
  'epochs',
  'step',
  'steps',
  'global_step',
  'iter',
  'iteration',
  'iterations',
]

function isTraining({ root, dict, subject }: Evidence): boolean {
  if (dict.size === 0) return false
  if (partsOf(root).length > 0) return true
  const hasProgress = PROGRESS.some((key) => typeof dict.get(key) === 'number')
  const holdsMore = [...dict.values()].some((value) => value instanceof Map || isModule(value))
  return hasProgress && holdsMore && subject.tensors.size > 0
}

function isStateDict({ dict, subject }: Evidence): boolean {
  if (subject.tensors.size === 0) return false
  if (isPlain(dict)) return true
  const holders = [...dict.values()].filter(holdsTensor)
  return holders.length > 0 && holders.every((value) => isPlain(entriesOf(value)))
}

/**
 * A mapping of tensors with no mappings of tensors in it. Other values may be there: what modules
 * keep as extra state, tuples of quantised ones.
 */
function isPlain(dict: Dict): boolean {
  let hasTensors = false
  for (const value of dict.values()) {
    if (value instanceof Tensor) hasTensors = true
    else if (value instanceof Map && holdsTensor(value)) return false
  }
  return hasTensors
}

/** The version as text, or nothing where the checkpoint has none. */
export function frameworkOf(rule: Rule | undefined, evidence: Evidence): Framework | undefined {
  const found = rule?.framework?.(evidence)
  if (found === undefined) return undefined
  const { name, version } = found
  return typeof version === 'string' && version !== '' ? { name, version } : { name }
}
