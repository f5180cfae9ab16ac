/**
 * Tensors as plain data, for logs and for `JSON.stringify`.
 */
import type { DType } from './dtype'
import type { Layout, Tensor } from './tensor'

/** {@link Tensor.toJSON}: sizes and strides in elements. */
export interface TensorJson {
  name: string
  dtype: DType
  shape: readonly number[]
  stride: readonly number[]
  storageOffset: number
  byteLength: number
  layout: Layout
  device: string
  requiresGrad: boolean
  /** Key of the storage. */
  storage: string | null
}

export function describe(tensor: Tensor): TensorJson {
  const { name, dtype, shape, stride, storageOffset, byteLength, layout } = tensor
  return {
    name,
    dtype,
    shape,
    stride,
    storageOffset,
    byteLength,
    layout,
    device: tensor.device,
    requiresGrad: tensor.requiresGrad,
    storage: tensor.storage?.key ?? null,
  }
}
