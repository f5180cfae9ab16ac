/** Tensors made of others without touching elements. */

import type { View } from './catalog'
import { TensorFlag } from './tables'
import { rowOf, type Tensor, tensorOf } from './tensor'

/** The same tensor under another name. */
export function renamed(tensor: Tensor, name: string): Tensor {
  if (tensor.name === name) return tensor
  const { session, row } = rowOf(tensor)
  return tensorOf(session, row, name)
}

/**
 * A view over the storage of `tensor`, `offset` elements into it; the caller has checked that it
 * lies inside.
 */
export function viewOf(tensor: Tensor, name: string, view: View): Tensor {
  const { session, row } = rowOf(tensor)
  const { catalog } = session
  const flags = catalog.flags(row) & (TensorFlag.conjugate | TensorFlag.negative)
  return tensorOf(session, catalog.addLike(row, view, flags), name)
}
