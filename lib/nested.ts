/**
 * The rows of nested tensors, which differ in size.
 * Source: torch/_utils.py, _rebuild_nested_tensor; torch/nested/_internal/nested_tensor.py (v2.13).
 */
import type { View } from './catalog'
import { FormatError, isCheckpointError, LimitError, UnsupportedError } from './errors'
import type { Session } from './session'
import type { Tensor } from './tensor'

/**
 * The rows of `tensor`, as views over the storage of its values.
 *
 * @throws {@link FormatError} `BAD_TENSOR` when a row is not inside the values
 * @throws {@link LimitError} `LIMIT_NAMES` for more rows than `limits.names`
 */
export function nestedRows(tensor: Tensor, session: Session): View[] {
  const { values, offsets, sizes, strides } = tensor
  const place = { path: session.path }
  if (values === undefined || (offsets ?? sizes) === undefined) {
    const message = `tensor '${tensor.name}' is not nested, so it has no rows`
    throw new UnsupportedError('UNSUPPORTED_LAYOUT', message, place, 'rows')
  }
  const count = tensor.shape[0] ?? 0
  const limit = session.limits.names
  if (count > limit) {
    throw new LimitError(
      'LIMIT_NAMES',
      `tensor '${tensor.name}' has ${count} rows where limits.names allows ${limit}`,
      place,
      { limitName: 'names', limit, actual: count },
    )
  }
  const starts = tensor.rowOffsets ?? []
  const views =
    sizes && strides
      ? stridedRows(count, values, starts, sizes, strides)
      : jaggedRows(count, values, starts, tensor)
  for (const [i, view] of views.entries()) {
    if (isInside(view, values)) continue
    const message = `row ${i} of nested tensor '${tensor.name}' is not inside its values`
    throw new FormatError('BAD_TENSOR', message, place)
  }
  return views
}

/**
 * For each dimension of the rows their size, or -1 where they differ; `sizes` has a row for each.
 * Nothing when those have no elements to look at.
 */
function commonSizes(sizes: Tensor): number[] | undefined {
  let all: number[]
  try {
    all = Array.from(sizes.data, Number)
  } catch (error) {
    if (isCheckpointError(error)) return undefined
    throw error
  }
  const [count = 0, rank = 0] = sizes.shape
  return Array.from({ length: rank }, (_, d) => {
    for (let i = 1; i < count; ++i) {
      if (all[i * rank + d] !== all[d]) return -1
    }
    return all[d] ?? -1
  })
}

/** Each row has a shape, a stride and an offset of its own. */
function stridedRows(
  count: number,
  values: Tensor,
  starts: readonly number[],
  sizes: Tensor,
  strides: Tensor,
): View[] {
  const rank = sizes.shape[1] ?? 0
  const [shape, stride] = [Array.from(sizes.data, Number), Array.from(strides.data, Number)]
  return Array.from({ length: count }, (_, i) => ({
    offset: values.storageOffset + (starts[i] ?? Number.NaN),
    sizes: shape.slice(i * rank, (i + 1) * rank),
    strides: stride.slice(i * rank, (i + 1) * rank),
  }))
}

/** Each row is a piece of one dimension of the values. */
function jaggedRows(
  count: number,
  values: Tensor,
  starts: readonly number[],
  { shape, lengths }: Tensor,
): View[] {
  const dimension = shape.indexOf(-1) - 1
  const given = lengths && Array.from(lengths.data, Number)
  const stride = values.stride[dimension] ?? Number.NaN
  const room = values.shape[dimension] ?? 0
  return Array.from({ length: count }, (_, i) => {
    const start = starts[i] ?? Number.NaN
    const length =
      given === undefined ? (starts[i + 1] ?? Number.NaN) - start : (given[i] ?? Number.NaN)
    const isThere = start >= 0 && length >= 0 && length <= room - start
    return {
      offset: isThere ? values.storageOffset + start * stride : Number.NaN,
      sizes: values.shape.map((size, d) => (d === dimension ? length : size)),
      strides: values.stride,
    }
  })
}

/** Whether a view lies in the elements that `values` has; false for what is no number. */
function isInside({ offset, sizes, strides }: View, values: Tensor): boolean {
  const isCount = (value: number) => Number.isSafeInteger(value) && value >= 0
  if (!isCount(offset) || ![...sizes, ...strides].every(isCount)) return false
  if (sizes.length !== strides.length) return false
  if (sizes.includes(0)) return true
  const last = sizes.reduce((sum, size, d) => sum + (size - 1) * strides[d]!, offset)
  const end = values.shape.reduce((sum, size, d) => sum + (size - 1) * values.stride[d]!, 1)
  return values.size > 0 && last < values.storageOffset + end && offset >= values.storageOffset
}

/** The shape of a nested tensor, with the sizes that all of its rows have; `shape` has -1 there. */
export function raggedShape(shape: readonly number[], sizes: Tensor): readonly number[] {
  return Object.freeze([shape[0]!, ...(commonSizes(sizes) ?? shape.slice(1))])
}
