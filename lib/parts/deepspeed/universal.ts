/**
 * DeepSpeed's universal checkpoint: `zero/<parameter>/fp32.pt` has each weight whole, the model
 * states beside `zero` the buffers and the shapes.
 * Source: deepspeed/checkpoint/ds_to_universal.py, main, merge_tp_slices, merge_zero3_slices (0.19).
 */
import { basename, join } from 'node:path'
import { viewOf } from '../../derived'
import { StateError } from '../../errors'
import { rowMajor } from '../../made'
import type { Request } from '../../request'
import { Tensor } from '../../tensor'
import { type Folder, readFolder } from '../folder'
import { PartFile } from '../part-file'
import type { Plan } from '../plan'
import { DeepSpeedContent, type Files } from './content'
import { bad, flat, modelStates, numel, type Shapes } from './states'

/**
 * @param models files of the model states, of several ranks where those are of stage 3
 * @param path as given to `open`
 */
export function planOfUniversal(
  folder: Folder,
  models: readonly string[],
  request: Request,
  path: string,
): Plan {
  const zero = readFolder(join(folder.path, 'zero'))
  const others = states(zero)
  const weights = new Map<string, string>()
  for (const name of zero.folders) {
    const files = states(readFolder(join(zero.path, name)))
    const weight = files.find((file) => basename(file) === 'fp32.pt')
    if (weight !== undefined) weights.set(name, weight)
    others.push(...files)
  }
  const all = [...models, ...others]
  const files = request.parts === 'open' ? all : all.slice(0, 1)
  return {
    files,
    build: (opened) => {
      const parts = new Map(all.map((file, i) => [file, new PartFile(file, request, opened[i])]))
      const part = (file: string) => parts.get(file)!
      const found = new Map([...weights].map(([name, file]) => [name, part(file)]))
      const isSharded = basename(models[0]!).startsWith('zero_pp_rank_')
      const files = { models: models.map(part), parts: [...parts.values()], isSharded }
      return universal(path, files, found, request)
    },
  }
}

/** The files of states in a directory. */
function states({ path, files }: Folder): string[] {
  return [...files].filter((file) => file.endsWith('.pt')).map((file) => join(path, file))
}

function universal(
  path: string,
  files: Files,
  weights: ReadonlyMap<string, PartFile>,
  request: Request,
): DeepSpeedContent {
  const model = files.models[0]!
  const { paramShapes, module, bufferNames } = modelStates(model)
  const shapes: Shapes = new Map((paramShapes ?? []).flatMap((group) => [...group]))
  const weight = (name: string): Tensor => {
    const part = weights.get(name)
    if (part !== undefined) return weightIn(part, name, shapes.get(name))
    // A weight that never had a gradient has no optimizer states, but is whole in the model's.
    const whole = module.get(name)
    if (whole !== undefined && (!files.isSharded || whole.size > 0)) return whole
    const message = `parameter '${name}' has no 'zero/${name}/fp32.pt'`
    throw new StateError('MISSING_SHARD', message, { path: model.path })
  }
  if (request.parts !== 'lazy') {
    for (const name of shapes.keys()) if (!weights.has(name)) weight(name)
  }
  const known = [...module.keys()].filter((name) => weights.has(name))
  const ordered = new Set([...shapes.keys(), ...known, ...weights.keys()])
  // The model states have buffers as they were, `zero` has them as float32.
  for (const name of bufferNames) if (module.has(name)) ordered.delete(name)
  return new DeepSpeedContent(path, files, request, ordered, (_, name) => weight(name))
}

/** `{'param': tensor, ...}`, or of stage 3 the flat elements of the weight alone. */
function weightIn(part: PartFile, name: string, shape: readonly number[] | undefined): Tensor {
  const { root } = part.content
  const value = root instanceof Map ? root.get('param') : root
  if (!(value instanceof Tensor)) throw bad(part, 'there is no tensor in it')
  if (root instanceof Map || shape === undefined) return value
  const elements = flat(value, part, 'the tensor')
  const count = numel(shape)
  if (count > elements.size) {
    const message = `'${name}' of shape [${shape.join(', ')}] has ${elements.size} elements there`
    throw bad(part, message)
  }
  const offset = elements.storageOffset
  return viewOf(elements, name, { offset, sizes: shape, strides: rowMajor(shape) })
}
