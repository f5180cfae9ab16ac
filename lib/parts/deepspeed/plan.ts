/**
 * The directories that DeepSpeed writes: `latest` names the directory of one step, which has the
 * model states and the optimizer states of each rank. Lightning's and Accelerate's are the same.
 * Source: deepspeed/runtime/engine.py, _get_ckpt_name and its kin; deepspeed/utils/zero_to_fp32.py
 * (0.19).
 */
import { statSync } from 'node:fs'
import { basename, dirname, join } from 'node:path'
import { FormatError, StateError } from '../../errors'
import type { FileContent } from '../../file-content'
import type { Request } from '../../request'
import { type Folder, isWeights, readFolder, shortText } from '../folder'
import { isInside } from '../index-file'
import { PartFile } from '../part-file'
import type { Plan } from '../plan'
import { DeepSpeedContent, weightsOf } from './content'
import { GroupPartitions, ParameterPartitions, type Partitions } from './partitions'
import { bad, modelStates, optimizerStates, unsupported } from './states'
import { planOfUniversal } from './universal'

const MODEL = /^(zero_pp_rank_(\d+)_)?mp_rank_(\d+)_model_states\.pt$/
const OPTIMIZER = /^(?:bf16_|fp16_)?zero_pp_rank_(\d+)_mp_rank_(\d+)_?optim_states\.pt$/
const EXPERT =
  /^(layer_\d+_)?expert_\d+_mp_rank_\d+_model_states\.pt$|^expp_rank_\d+_.*optim_states/
const PIPELINE = /^layer_\d+-.*model_states\.pt$/

/** Bytes of the longest tag. */
const LONGEST_TAG = 4096

/** Ranks that a partition count is believed to have. */
const MOST_RANKS = 2 ** 16

/**
 * The plan for a directory of DeepSpeed's, or for that of one of its steps.
 *
 * @throws {@link UnsupportedError} `UNSUPPORTED_FORMAT` for a model that is split otherwise
 * @throws {@link FormatError} `BAD_INDEX` for a tag that leads out of the directory
 * @throws {@link StateError} `MISSING_SHARD`
 */
export function planOfDeepSpeed(folder: Folder, request: Request): Plan | undefined {
  const step = planOfStep(folder, request, folder.path)
  if (step !== undefined) return step
  for (const name of ['latest', 'latest_universal']) {
    if (!folder.files.has(name)) continue
    const tag = tagIn(join(folder.path, name))
    if (tag === undefined) continue
    const path = join(folder.path, tag)
    if (isInside(tag) && statSync(path, { throwIfNoEntry: false })?.isDirectory()) {
      return planOfStep(readFolder(path), request, folder.path)
    }
    const files = [...folder.files]
    const isOther = files.some(isWeights) && !files.some((file) => file.startsWith('zero_to_'))
    if (isOther) continue
    const place = { path: folder.path }
    if (isInside(tag)) {
      const message = `'${name}' names the directory '${tag}', which is not there`
      throw new StateError('MISSING_SHARD', message, place)
    }
    const message = `'${name}' names '${tag}', which is outside the directory`
    throw new FormatError('BAD_INDEX', message, place)
  }
  return undefined
}

function tagIn(path: string): string | undefined {
  const tag = shortText(path, LONGEST_TAG)?.trim()
  return tag === '' || tag?.includes('\n') ? undefined : tag
}

/** The files of one step by what they hold, each with its path. */
interface Step {
  path: string
  /** Model states by rank. */
  models: Map<number, string>
  /** Optimizer states by rank. */
  optimizers: Map<number, string>
  /** Whether every rank has model states: in stage 3. */
  isSharded: boolean
}

/** @param path as given to `open` */
function planOfStep(folder: Folder, request: Request, path: string): Plan | undefined {
  const step = stepOf(folder)
  if (step === undefined) return undefined
  if (folder.folders.has('zero') && step.optimizers.size === 0) {
    const first = modelOf(step)
    const others = sorted(step.models).filter((file) => file !== first)
    return planOfUniversal(folder, [first, ...others], request, path)
  }
  const model = modelOf(step)
  const optimizers = sorted(step.optimizers)
  const others = sorted(step.models).filter((file) => file !== model)
  const files = [model, ...(request.parts === 'lazy' ? optimizers.slice(0, 1) : optimizers)]
  if (request.parts === 'open') files.push(...others)
  return { files, build: (opened) => contentOf(step, request, path, openedBy(files, opened)) }
}

function openedBy(files: readonly string[], opened: readonly FileContent[]) {
  return new Map(files.map((file, i) => [file, opened[i]!]))
}

function stepOf({ path, files }: Folder): Step | undefined {
  const step: Step = { path, models: new Map(), optimizers: new Map(), isSharded: false }
  const kinds = { experts: false, stages: false, parallel: false }
  for (const file of files) {
    kinds.experts ||= EXPERT.test(file)
    kinds.stages ||= PIPELINE.test(file)
    const model = MODEL.exec(file)
    const found = model === null ? OPTIMIZER.exec(file) : [file, model[2] ?? '0', model[3]]
    if (found === null) continue
    kinds.parallel ||= Number(found[2]) > 0
    step.isSharded ||= model?.[1] !== undefined
    const ranks = model === null ? step.optimizers : step.models
    const rank = Number(found[1])
    const other = ranks.get(rank)
    if (other !== undefined && !kinds.parallel) {
      const message = `'${other}' and '${join(path, file)}' are of the same rank`
      throw new FormatError('BAD_INDEX', message, { path })
    }
    ranks.set(rank, join(path, file))
  }
  if (kinds.experts) throw unsupported({ path }, 'experts', 'experts')
  if (kinds.stages) throw unsupported({ path }, 'the stages of a pipeline', 'pipeline parallelism')
  if (kinds.parallel) throw unsupported({ path }, 'parts of each layer', 'tensor parallelism')
  return step.models.size + step.optimizers.size === 0 ? undefined : step
}

/** The model states that are read: those of the first rank. */
function modelOf({ path, models, optimizers }: Step): string {
  const first = models.get(0)
  if (first !== undefined) return first
  const [other] = [...sorted(models), ...sorted(optimizers)]
  const message = `the model states of rank 0 are missing beside '${other}'`
  throw new StateError('MISSING_SHARD', message, { path })
}

function sorted(ranks: ReadonlyMap<number, string>): string[] {
  return [...ranks].sort(([a], [b]) => a - b).map(([, file]) => file)
}

function contentOf(
  step: Step,
  request: Request,
  path: string,
  opened: ReadonlyMap<string, FileContent>,
): DeepSpeedContent {
  const part = (file: string) => new PartFile(file, request, opened.get(file))
  const model = part(modelOf(step))
  const { paramShapes, frozenShapes } = modelStates(model)
  if (paramShapes === undefined) {
    // Without ZeRO the optimizer has no share in what the model states have.
    const parts = [model, ...sorted(step.optimizers).map(part)]
    const { names, make } = weightsOf(undefined)
    return new DeepSpeedContent(
      path,
      { models: [model], parts, isSharded: false },
      request,
      names,
      make,
    )
  }
  const present = sorted(step.optimizers).map(part)
  const [first] = present
  if (first === undefined) {
    const message = `the optimizer states are missing beside '${model.path}'`
    throw new StateError('MISSING_SHARD', message, { path: step.path })
  }
  const { stage, partitionCount } = optimizerStates(first)
  if ((stage === 3) !== step.isSharded) {
    throw bad(first, `it is of stage ${stage}, which the model states '${model.path}' are not of`)
  }
  const known = new Map([first, ...present.slice(1)].map((file) => [file.path, file]))
  const ranks = ranksOf(partitionCount, step.optimizers, first, request).map(
    (file) => known.get(file) ?? part(file),
  )
  // Those of the other ranks are only needed for their shares of frozen parameters.
  const isNeeded = step.isSharded && frozenShapes.size > 0
  const files = isNeeded
    ? ranksOf(partitionCount, step.models, model, request)
    : sorted(step.models)
  const models = files.map((file) => (file === model.path ? model : part(file)))
  const partitions: Partitions =
    stage === 3
      ? new ParameterPartitions(ranks, first, paramShapes)
      : new GroupPartitions(ranks, first, paramShapes)
  if (request.parts !== 'lazy') partitions.check()
  const { names, make } = weightsOf(partitions)
  const parts = [...models, ...ranks]
  return new DeepSpeedContent(
    path,
    { models, parts, isSharded: step.isSharded },
    request,
    names,
    make,
  )
}

/**
 * The files of ranks 0 to `count`; with `parts: 'lazy'` also those that are not there.
 *
 * @param example file of one of the ranks
 */
function ranksOf(
  count: number,
  found: ReadonlyMap<number, string>,
  example: PartFile,
  request: Request,
): string[] {
  const last = [...found.keys()].reduce((a, b) => Math.max(a, b))
  if (last >= count || count > MOST_RANKS) {
    const message = `the partition count is ${count} but there are ${found.size} ranks, up to ${last}`
    throw bad(example, message)
  }
  const files: string[] = []
  for (let rank = 0; rank < count; ++rank) {
    const file = found.get(rank)
    if (file === undefined && request.parts !== 'lazy') {
      const message = `rank ${rank} of ${count} is missing: '${nameOf(rank, example)}'`
      throw new StateError('MISSING_SHARD', message, { path: nameOf(rank, example) })
    }
    files.push(file ?? nameOf(rank, example))
  }
  return files
}

/** The file of a rank, called as the one of another rank. */
function nameOf(rank: number, example: PartFile): string {
  const name = basename(example.path).replace(/(zero_pp_rank_)\d+/, `$1${rank}`)
  return join(dirname(example.path), name)
}
