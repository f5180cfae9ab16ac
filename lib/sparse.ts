/**
 * Sparse tensors spread out into dense ones. Every index is checked: torch itself checks them only
 * on demand.
 * Source: torch/_utils.py, _rebuild_sparse_tensor, and the invariants of
 * torch/sparse/__init__.py (v2.13).
 */
import type { PartRole } from './catalog'
import { type DTypeInfo, denseBytes, type TensorData } from './dtype'
import { FormatError, UnsupportedError } from './errors'
import type { Session } from './session'
import type { Tensor } from './tensor'

/** One part of a sparse tensor, dense. */
interface DensePart {
  readonly shape: readonly number[]
  readonly data: TensorData
}

interface SparseTensor {
  readonly name: string
  readonly path: string | undefined
  readonly layout: string
  readonly dtype: DTypeInfo
  readonly shape: readonly number[]
  part(role: PartRole): DensePart
}

/**
 * The elements of a sparse tensor with the zeros it leaves out, row-major; values at one place add
 * up.
 *
 * @throws {@link FormatError} `BAD_TENSOR` when an index is outside the shape
 * @throws {@link LimitError} `LIMIT_STORAGE` for more bytes than `limits.copyBytes`
 */
export function spread(sparse: Tensor, dtype: DTypeInfo, session: Session): TensorData {
  const { name, layout, shape, parts } = sparse
  const bytes = denseBytes(dtype, sparse.size)
  session.checkCopy(bytes)
  const tensor: SparseTensor = { name, path: session.path, layout, dtype, shape, part }
  function part(role: PartRole): DensePart {
    return parts[role] ?? fail(broken(tensor, `has no ${role}`))
  }
  const target = new dtype.array(new ArrayBuffer(bytes))
  if (layout === 'sparse_coo') spreadCoordinates(tensor, target)
  else spreadCompressed(tensor, target)
  return target
}

function fail(error: Error): never {
  throw error
}

function spreadCoordinates(tensor: SparseTensor, target: TensorData): void {
  const indices = tensor.part('indices')
  const values = tensor.part('values')
  const [dimensions, count] = indices.shape
  if (indices.shape.length !== 2 || dimensions === undefined || dimensions > tensor.shape.length) {
    throw broken(tensor, `has indices of shape [${indices.shape.join(', ')}]`)
  }
  const block = product(tensor.shape.slice(dimensions))
  if (values.shape[0] !== count || product(values.shape) !== count! * block) {
    throw broken(tensor, `has ${count} indices but values of shape [${values.shape.join(', ')}]`)
  }
  const at = integers(tensor, indices)
  const add = adder(tensor, target, values.data)
  for (let k = 0; k < count!; ++k) {
    let place = 0
    for (let d = 0; d < dimensions; ++d) {
      const index = at(d * count! + k)
      checkIndex(tensor, index, tensor.shape[d]!)
      place = place * tensor.shape[d]! + index
    }
    add(place * block, k * block, block)
  }
}

/** CSR, CSC and their block forms, with leading batch and trailing dense dimensions. */
function spreadCompressed(tensor: SparseTensor, target: TensorData): void {
  const byRow = tensor.layout === 'sparse_csr' || tensor.layout === 'sparse_bsr'
  const isBlocked = tensor.layout === 'sparse_bsr' || tensor.layout === 'sparse_bsc'
  const compressed = tensor.part(byRow ? 'crowIndices' : 'ccolIndices')
  const plain = tensor.part(byRow ? 'colIndices' : 'rowIndices')
  const values = tensor.part('values')
  const batchRank = compressed.shape.length - 1
  if (batchRank < 0 || tensor.shape.length < batchRank + 2) {
    throw broken(tensor, 'has indices of more dimensions than it has itself')
  }
  const batches = product(tensor.shape.slice(0, batchRank))
  const rows = tensor.shape[batchRank]!
  const columns = tensor.shape[batchRank + 1]!
  const inner = product(tensor.shape.slice(batchRank + 2))
  const count = plain.shape[batchRank] ?? -1
  const height = isBlocked ? (values.shape[batchRank + 1] ?? 0) : 1
  const width = isBlocked ? (values.shape[batchRank + 2] ?? 0) : 1
  const [lines, places] = byRow
    ? [rows / height, columns / width]
    : [columns / width, rows / height]
  const fits =
    Number.isInteger(lines) &&
    Number.isInteger(places) &&
    product(compressed.shape) === batches * (lines + 1) &&
    product(plain.shape) === batches * count &&
    product(values.shape) === batches * count * height * width * inner
  if (!fits) throw broken(tensor, 'has indices and values that do not fit its shape')

  const cut = integers(tensor, compressed)
  const at = integers(tensor, plain)
  const add = adder(tensor, target, values.data)
  for (let batch = 0; batch < batches; ++batch) {
    let k = 0
    for (let line = 0; line < lines; ++line) {
      // Consecutive by rule, so that the work is no more than there are values.
      const start = cut(batch * (lines + 1) + line)
      const end = cut(batch * (lines + 1) + line + 1)
      if (start !== k || end < start || end > count) {
        throw broken(tensor, `has a line from ${start} to ${end} of ${count} values`)
      }
      for (; k < end; ++k) {
        const place = at(batch * count + k)
        checkIndex(tensor, place, places)
        const [top, left] = byRow ? [line * height, place * width] : [place * height, line * width]
        const from = (batch * count + k) * height * width
        for (let y = 0; y < height; ++y) {
          const to = (batch * rows + top + y) * columns + left
          add(to * inner, (from + y * width) * inner, width * inner)
        }
      }
    }
  }
}

/** Reads integers of any width; what is beyond 2^53 is beyond every index too. */
function integers(tensor: SparseTensor, { data }: DensePart): (i: number) => number {
  if (data instanceof Float32Array || data instanceof Float64Array) {
    throw broken(tensor, 'has indices that are no integers')
  }
  return (i) => Number(data[i])
}

function checkIndex(tensor: SparseTensor, index: number, size: number): void {
  if (index >= 0 && index < size) return
  throw broken(tensor, `has the index ${index} in a dimension of ${size}`)
}

/** Adds `count` tensor elements of `source` from `from` to `target` at `to`. */
function adder(
  tensor: SparseTensor,
  target: TensorData,
  source: TensorData,
): (to: number, from: number, count: number) => void {
  const { dtype } = tensor
  const lanes = dtype.bytes / dtype.array.BYTES_PER_ELEMENT
  const isBits = isBitPattern(dtype)
  return (to, from, count) => {
    for (let i = 0; i < count * lanes; ++i) {
      const value = source[from * lanes + i]!
      const place = to * lanes + i
      const sum = target[place]!
      if (!sum || dtype.kind === 'Bool') target[place] = sum || value
      else if (typeof value === 'bigint') target[place] = (sum as bigint) + value
      else if (!isBits) target[place] = (sum as number) + value
      else if (value) throw unaddable(tensor)
    }
  }
}

/** Whether the arithmetic of JavaScript has no meaning for the elements. */
function isBitPattern({ kind, array }: DTypeInfo): boolean {
  const isReal = array === Float32Array || array === Float64Array
  return kind === 'Bits' || ((kind === 'Float' || kind === 'Complex') && !isReal)
}

function unaddable({ name, dtype, path }: SparseTensor): UnsupportedError {
  const message = `tensor '${name}' has several ${dtype.name} values at one place to add up`
  return new UnsupportedError('UNSUPPORTED_DTYPE', message, { path }, dtype.name)
}

function broken({ name, path, layout }: SparseTensor, message: string): FormatError {
  return new FormatError('BAD_TENSOR', `${layout} tensor '${name}' ${message}`, { path })
}

function product(sizes: readonly number[]): number {
  return sizes.reduce((a, b) => a * b, 1)
}
