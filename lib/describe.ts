/**
 * Tensors as plain data, for logs and for `JSON.stringify`.
 */
import type { PartRole } from './catalog'
import type { DType } from './dtype'
import type { Layout, QScheme } from './tables'
import type { Tensor } from './tensor'

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
  /** Of a quantised tensor; of one with many scales these are among the parts. */
  quantization?: { scheme: QScheme; scale?: number; zeroPoint?: number; axis?: number }
  /** The tensors it is made of, where there are such: of sparse, nested and sharded ones. */
  parts?: Partial<Record<PartRole, TensorJson>>
}

export function describe(tensor: Tensor): TensorJson {
  const { name, dtype, shape, stride, storageOffset, byteLength, layout } = tensor
  const described: TensorJson = {
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
  const { qscheme, scale, zeroPoint, axis } = tensor
  if (qscheme !== undefined) {
    described.quantization = {
      scheme: qscheme,
      ...(scale !== undefined && { scale }),
      ...(zeroPoint !== undefined && { zeroPoint }),
      ...(axis !== undefined && { axis }),
    }
  }
  const parts = Object.entries(tensor.parts)
  if (parts.length > 0) {
    // No deeper than tensors are made of each other: the core refuses more than a few levels.
    described.parts = Object.fromEntries(parts.map(([role, part]) => [role, describe(part)]))
  }
  return described
}
