/**
 * What DeepSpeed's files hold, checked: the model states, and the optimizer states of one rank.
 * Source: deepspeed/runtime/engine.py, _common_checkpoint_state; deepspeed/runtime/zero/
 * stage_1_and_2.py and stage3.py, state_dict; deepspeed/utils/zero_to_fp32.py (0.19).
 */
import { FormatError, UnsupportedError } from '../../errors'
import { PyObject } from '../../python'
import { Tensor } from '../../tensor'
import type { PartFile } from '../part-file'

/** Sizes by the name of the parameter. */
export type Shapes = ReadonlyMap<string, readonly number[]>

export interface ModelStates {
  /** The state dict of this rank: in stage 3 nothing of the weights is in it. */
  module: ReadonlyMap<string, Tensor>
  bufferNames: ReadonlySet<string>
  /** The parameters of each group, in the order they are flattened; nothing without ZeRO. */
  paramShapes: readonly Shapes[] | undefined
  frozenShapes: Shapes
  /** A frozen parameter; in stage 3 this rank's share of it, flat. */
  frozenFragments: ReadonlyMap<string, Tensor>
  /** A further name of a parameter, and the name it is saved by. */
  sharedParams: ReadonlyMap<string, string>
}

export interface OptimizerStates {
  /** Nothing for an optimizer that is not ZeRO's. */
  stage: number | undefined
  /** Ranks that the weights are spread over. */
  partitionCount: number
  /** The share of this rank in the weights of each group, flat. */
  groups: readonly Tensor[]
  /** Elements left out behind each parameter, for each group. */
  alignmentPaddings: readonly (readonly number[])[] | undefined
}

const models = new WeakMap<PartFile, ModelStates>()
const optimizers = new WeakMap<PartFile, OptimizerStates>()

/**
 * @throws {@link FormatError} `BAD_INDEX`
 * @throws {@link UnsupportedError} `UNSUPPORTED_FORMAT` for a part of a pipeline, and for experts
 * that are partitioned among themselves
 */
export function modelStates(part: PartFile): ModelStates {
  return known(models, part, readModelStates)
}

/** @throws {@link FormatError} `BAD_INDEX` */
export function optimizerStates(part: PartFile): OptimizerStates {
  return known(optimizers, part, readOptimizerStates)
}

function known<T>(all: WeakMap<PartFile, T>, part: PartFile, read: (part: PartFile) => T): T {
  let states = all.get(part)
  if (states === undefined) {
    states = read(part)
    all.set(part, states)
  }
  return states
}

function readModelStates(part: PartFile): ModelStates {
  const { root } = part.content
  const state = mapOf(root, part, 'the root')
  const names = state.get('buffer_names')
  if (!state.has('module') || !Array.isArray(names)) {
    throw bad(part, "there is no 'module' with 'buffer_names', so these are no model states")
  }
  if (state.get('module') === null) {
    throw unsupported(part, 'the stages of a pipeline', 'pipeline parallelism')
  }
  for (const key of ['ds_autoep_layers', 'autoep_layers']) {
    const layers = state.get(key)
    if (!Array.isArray(layers)) continue
    const isPartitioned = (layer: unknown) =>
      layer instanceof Map && layer.get('checkpoint_format') === 'zero3_partitioned'
    if (layers.some(isPartitioned)) throw unsupported(part, 'partitioned experts', 'experts')
  }
  const shapes = state.get('param_shapes') ?? undefined
  // Before 0.5 there was one group, and no list.
  const groups = shapes === undefined || Array.isArray(shapes) ? shapes : [shapes]
  return {
    module: tensorsOf(state.get('module'), part, "'module'"),
    bufferNames: new Set(names.filter((name) => typeof name === 'string')),
    paramShapes: groups?.map((group: unknown, i: number) =>
      shapesOf(group, part, `group ${i} of 'param_shapes'`),
    ),
    frozenShapes: shapesOf(state.get('frozen_param_shapes'), part, "'frozen_param_shapes'"),
    frozenFragments: tensorsOf(
      state.get('frozen_param_fragments'),
      part,
      "'frozen_param_fragments'",
    ),
    sharedParams: new Map(
      [...mapOf(state.get('shared_params') ?? new Map(), part, "'shared_params'")].filter(
        (pair): pair is [string, string] => pair.every((name) => typeof name === 'string'),
      ),
    ),
  }
}

function readOptimizerStates(part: PartFile): OptimizerStates {
  const state = mapOf(part.content.root, part, 'the root')
  const optimizer = mapOf(state.get('optimizer_state_dict'), part, "'optimizer_state_dict'")
  const stage = stageOf(optimizer.get('zero_stage'), part)
  const counts: unknown = [optimizer.get('partition_count')].flat()
  if (!isCounts(counts) || counts.length === 0 || counts.includes(0)) {
    throw bad(part, "'partition_count' is no number of ranks")
  }
  const key = stage === 3 ? 'fp32_flat_groups' : 'single_partition_of_fp32_groups'
  const groups = optimizer.get(key)
  if (!Array.isArray(groups)) throw bad(part, `there are no '${key}', so this is no ZeRO optimizer`)
  const paddings = optimizer.get('param_alignment_paddings') ?? undefined
  if (paddings !== undefined && !(Array.isArray(paddings) && paddings.every(isCounts))) {
    throw bad(part, "'param_alignment_paddings' are no lists of numbers")
  }
  return {
    stage,
    partitionCount: counts.reduce((a, b) => Math.max(a, b)),
    groups: groups.map((group, i) => flat(group, part, `group ${i} of '${key}'`)),
    alignmentPaddings: paddings,
  }
}

/** A tensor of one dimension without gaps, which others can be cut out of. */
export function flat(value: unknown, part: PartFile, what: string): Tensor {
  const isFlat =
    value instanceof Tensor &&
    value.layout === 'strided' &&
    value.shape.length === 1 &&
    value.isContiguous &&
    !value.isMeta &&
    value.storage !== undefined &&
    value.qscheme === undefined
  if (isFlat) return value
  throw bad(part, `${what} is no flat tensor`)
}

/** Elements of a shape; Infinity for more than a number can count. */
export function numel(shape: readonly number[]): number {
  if (shape.includes(0)) return 0
  const product = shape.reduce((a, b) => a * b, 1)
  return Number.isSafeInteger(product) ? product : Number.POSITIVE_INFINITY
}

export function bad(part: PartFile, message: string): FormatError {
  return new FormatError('BAD_INDEX', `the ZeRO checkpoint is wrong: ${message}`, {
    path: part.path,
  })
}

export function unsupported(
  { path }: { path: string },
  what: string,
  feature: string,
): UnsupportedError {
  const message = `the DeepSpeed checkpoint is made of ${what}; its files can be opened one by one`
  return new UnsupportedError('UNSUPPORTED_FORMAT', message, { path }, feature)
}

function isCount(value: unknown): value is number {
  return Number.isSafeInteger(value) && (value as number) >= 0
}

function isCounts(value: unknown): value is number[] {
  return Array.isArray(value) && value.every(isCount)
}

function mapOf(value: unknown, part: PartFile, what: string): ReadonlyMap<unknown, unknown> {
  if (value instanceof Map) return value
  throw bad(part, `${what} is no dict`)
}

/** None is no shapes. */
function shapesOf(value: unknown, part: PartFile, what: string): Shapes {
  const shapes = new Map<string, readonly number[]>()
  for (const [name, shape] of mapOf(value ?? new Map(), part, what)) {
    if (typeof name !== 'string' || !isCounts(shape)) {
      throw bad(part, `${what} has something else than shapes by name`)
    }
    shapes.set(name, shape)
  }
  return shapes
}

/** The tensors among the values; None is no tensors. */
function tensorsOf(value: unknown, part: PartFile, what: string): ReadonlyMap<string, Tensor> {
  const tensors = new Map<string, Tensor>()
  for (const [name, tensor] of mapOf(value ?? new Map(), part, what)) {
    if (typeof name === 'string' && tensor instanceof Tensor) tensors.set(name, tensor)
  }
  return tensors
}

/** A number, or `ZeroStageEnum(number)`. */
function stageOf(value: unknown, part: PartFile): number | undefined {
  const stage = value instanceof PyObject ? value.args?.[0] : value
  if (stage === undefined || (isCount(stage) && stage >= 1 && stage <= 3)) return stage
  throw bad(part, `its 'zero_stage' is ${String(stage)}, where 1, 2 and 3 are known`)
}
