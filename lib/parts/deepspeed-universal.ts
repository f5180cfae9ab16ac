/**
 * DeepSpeed's universal checkpoint: `zero/<parameter>/fp32.pt` has each weight whole, the model
 * states beside `zero` the buffers and the shapes.
 * Source: deepspeed/checkpoint/ds_to_universal.py, main, merge_tp_slices, merge_zero3_slices (0.19).
 */
import { existsSync } from 'node:fs'
import { basename, join } from 'node:path'
import { StateError } from '../errors'
import { rowMajor } from '../made'
import type { Request } from '../request'
import { Tensor, viewOf } from '../tensor'
import { DeepSpeedContent } from './deepspeed-content'
import { bad, flat, modelStates, numel, type Shapes } from './deepspeed-states'
import { type Folder, readFolder } from './directory'
import { PartFile } from './part-file'
import type { Plan } from './plan'

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
  const zero = join(folder.path, 'zero')
  const names = [...readFolder(zero).folders]
  const weights = new Map<string, PartFile>()
  for (const name of names) {
    const file = join(zero, name, 'fp32.pt')
    if (existsSync(file)) weights.set(name, new PartFile(file, request))
  }
  const files = request.parts === 'open' ? [...weights.values()].map((part) => part.path) : []
  return {
    files: [models[0]!, ...files],
    build: ([first, ...opened]) => {
      const states = models.map(
        (file, i) => new PartFile(file, request, i === 0 ? first : undefined),
      )
      for (const [i, [name, { path: file }]] of [...weights].entries()) {
        if (opened[i] !== undefined) weights.set(name, new PartFile(file, request, opened[i]))
      }
      return universal(path, states, weights, request)
    },
  }
}

function universal(
  path: string,
  models: readonly PartFile[],
  weights: ReadonlyMap<string, PartFile>,
  request: Request,
): DeepSpeedContent {
  const model = models[0]!
  const { paramShapes, module, bufferNames } = modelStates(model)
  const shapes: Shapes = new Map((paramShapes ?? []).flatMap((group) => [...group]))
  for (const name of shapes.keys()) {
    if (weights.has(name) || request.parts === 'lazy') continue
    // A weight that never had a gradient has no optimizer states, but is whole in the model's.
    if ((module.get(name)?.size ?? 0) > 0) continue
    const message = `parameter '${name}' has no 'zero/${name}/fp32.pt'`
    throw new StateError('MISSING_SHARD', message, { path: model.path })
  }
  const known = [...module.keys(), ...shapes.keys()].filter((name) => weights.has(name))
  const ordered = new Set([...known, ...weights.keys()])
  // The model states have buffers as they were, `zero` has them as float32.
  for (const name of bufferNames) if (module.has(name)) ordered.delete(name)
  const parts = [...models, ...weights.values()]
  const files = { models, parts, isSharded: basename(model.path).startsWith('zero_pp_rank_') }
  return new DeepSpeedContent(path, files, request, ordered, (_, name) =>
    weightIn(weights.get(name)!, name, shapes.get(name)),
  )
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
