/** Tensors that are cut out of flat ones, which may lie in several files. */

import { viewOf } from '../../derived'
import { FormatError } from '../../errors'
import { heldData, type MadeSession, rowMajor } from '../../made'
import type { Tensor } from '../../tensor'

/** Elements [start, start + count) of a flat tensor; the caller has checked that it has them. */
export interface Piece {
  flat: Tensor
  start: number
  count: number
}

const bases = new WeakMap<Tensor, readonly Tensor[]>()

/** The tensors of files that one is made of; itself where it was not {@link put} together. */
export function basesOf(tensor: Tensor): readonly Tensor[] {
  return bases.get(tensor) ?? [tensor]
}

/** `tensor`, known from here on to be made of others. */
export function put(tensor: Tensor, parts: readonly Tensor[]): Tensor {
  bases.set(tensor, parts)
  return tensor
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
    const written = new Uint8Array(target)
    let end = 0
    for (const piece of pieces) {
      const bytes = bytesOf(piece)
      written.set(bytes, end)
      end += bytes.length
    }
  }
  const made = session.tensor(session.add({ dtype, shape, key: name, fill }), name)
  return put(
    made,
    pieces.map(({ flat }) => flat),
  )
}

/** Bytes of the longest flat tensor that is asked for all its elements when some are wanted. */
const LONGEST_WHOLE = 2 ** 30

/** The elements in host order. */
function bytesOf({ flat, start, count }: Piece): Uint8Array {
  if (flat.byteLength <= LONGEST_WHOLE) {
    const { buffer, byteOffset, byteLength } = heldData(flat)
    const width = byteLength / flat.size
    return new Uint8Array(buffer, byteOffset + start * width, count * width)
  }
  const offset = flat.storageOffset + start
  const { data } = viewOf(flat, flat.name, { offset, sizes: [count], strides: [1] })
  return new Uint8Array(data.buffer, data.byteOffset, data.byteLength)
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
