/** Tensors that are cut out of flat ones, which may lie in several files. */
import { FormatError } from '../errors'
import { type MadeSession, rowMajor } from '../made'
import { type Tensor, viewOf } from '../tensor'

/** Elements [start, start + count) of a flat tensor; the caller has checked that it has them. */
export interface Piece {
  flat: Tensor
  start: number
  count: number
}

/**
 * The tensor that `pieces` make up, one after another: a view where there is one piece only, else
 * one that is put together when its elements are first asked for.
 *
 * @throws {@link FormatError} `BAD_INDEX` where pieces have different dtypes
 */
export function assembled(
  session: MadeSession,
  name: string,
  shape: readonly number[],
  dtype: Tensor['dtype'],
  pieces: readonly Piece[],
): Tensor {
  for (const { flat } of pieces) {
    if (flat.dtype === dtype) continue
    const message = `the pieces of '${name}' are ${dtype} and ${flat.dtype}`
    throw new FormatError('BAD_INDEX', message, { path: session.path })
  }
  const [first, ...others] = pieces
  if (first !== undefined && others.length === 0) {
    const { flat, start } = first
    const offset = flat.storageOffset + start
    return viewOf(flat, name, { offset, sizes: shape, strides: rowMajor(shape) })
  }
  const fill = (target: ArrayBuffer) => {
    let end = 0
    for (const piece of pieces) {
      const { buffer, byteOffset, byteLength } = cut(piece).data
      new Uint8Array(target, end, byteLength).set(new Uint8Array(buffer, byteOffset, byteLength))
      end += byteLength
    }
  }
  return session.tensor(session.add({ dtype, shape, key: name, fill }), name)
}

function cut({ flat, start, count }: Piece): Tensor {
  const offset = flat.storageOffset + start
  return viewOf(flat, flat.name, { offset, sizes: [count], strides: [1] })
}

/** Elements [start, start + count) of flat tensors that stand one after another. */
export function piecesOf(
  lengths: readonly number[],
  flat: (index: number) => Tensor,
  start: number,
  count: number,
): Piece[] {
  const pieces: Piece[] = []
  let left = count
  let skip = start
  for (let i = 0; i < lengths.length && left > 0; ++i) {
    const length = lengths[i]!
    if (skip >= length) {
      skip -= length
      continue
    }
    const taken = Math.min(left, length - skip)
    pieces.push({ flat: flat(i), start: skip, count: taken })
    left -= taken
    skip = 0
  }
  return pieces
}
