/** Uses everything a checkpoint has to give, as a curious caller would. */
import { inspect } from 'node:util'
import {
  type Checkpoint,
  isCheckpointError,
  NumpyArray,
  PyObject,
  type Tensor,
} from '../../lib/index'

/** Code of the error of this package that `use` throws, or `ok`; throws every other error. */
export function outcomeOf(use: () => void): string {
  try {
    use()
    return 'ok'
  } catch (error) {
    if (isCheckpointError(error)) return error.code
    throw error
  }
}

/** Asks a tensor for all there is, each on its own: one refusal must not hide what is behind the next. */
function walkTensor(tensor: Tensor, outcomes: Set<string>, depth = 0): void {
  const attempt = (use: () => void) => outcomes.add(outcomeOf(use))
  if (tensor.size === 0) outcomes.add('empty')
  attempt(() => JSON.stringify(tensor))
  attempt(() => inspect(tensor))
  attempt(() => {
    const { data } = tensor
    sum(new Uint8Array(data.buffer, data.byteOffset, data.byteLength))
  })
  attempt(() => sum(tensor.bytes()))
  attempt(() => tensor.isZeroCopy)
  attempt(() => tensor.toFloat32())
  attempt(() => tensor.storage?.byteLength)
  if (tensor.layout !== 'strided') attempt(() => tensor.toDense())
  attempt(() => tensor.scales?.length)
  const parts = Object.values(tensor.parts)
  if (parts.length === 0 || depth > 3) return
  for (const part of parts) walkTensor(part, outcomes, depth + 1)
  attempt(() => tensor.rowOffsets?.length)
  attempt(() => {
    for (const row of tensor.rows()) walkTensor(row, outcomes, depth + 1)
  })
}

/** Reads every byte, so that one that is not there shows. */
function sum(bytes: Uint8Array): number {
  let total = 0
  for (let i = 0; i < bytes.length; ++i) total += bytes[i]!
  return total
}

/** Visits every value once. */
export function walkRoot(root: unknown): number {
  const seen = new Set<object>()
  const pending: unknown[] = [root]
  while (pending.length > 0) {
    const value = pending.pop()
    if (typeof value !== 'object' || value === null || seen.has(value)) continue
    seen.add(value)
    if (value instanceof NumpyArray) {
      outcomeOf(() => sum(new Uint8Array(value.data.buffer, 0, 0)))
      outcomeOf(() => value.strings)
      pending.push(...(value.items ?? []))
    } else if (value instanceof Map) {
      pending.push(...value.keys(), ...value.values())
    } else if (value instanceof Set || Array.isArray(value)) {
      for (const item of value) pending.push(item)
    } else if (value instanceof PyObject) {
      pending.push(value.callable, value.args, value.kwargs, value.state)
      pending.push(value.items, value.entries)
    }
  }
  return seen.size
}

/** Returns the outcomes there were, and `empty` where there were tensors without elements. */
export function walk(checkpoint: Checkpoint): Set<string> {
  const outcomes = new Set<string>()
  inspect(checkpoint)
  const { tensors } = checkpoint
  outcomes.add(
    outcomeOf(() => {
      for (const name of tensors.keys()) {
        outcomes.add(outcomeOf(() => walkTensor(tensors.get(name)!, outcomes)))
      }
    }),
  )
  outcomes.add(outcomeOf(() => walkRoot(checkpoint.root)))
  outcomes.add(outcomeOf(() => inspect(checkpoint.root)))
  outcomes.add(outcomeOf(() => checkpoint.stateDict().size))
  outcomes.add(outcomeOf(() => checkpoint.stateDict({ fold: true, stripPrefixes: true }).size))
  outcomes.add(outcomeOf(() => checkpoint.skipped.length + checkpoint.size))
  outcomes.add(outcomeOf(() => checkpoint.metadata?.size))
  outcomes.add(outcomeOf(() => checkpoint.flavor))
  outcomes.add(
    outcomeOf(() => {
      for (const { path } of checkpoint.training) checkpoint.stateDict({ from: path })
    }),
  )
  return outcomes
}
