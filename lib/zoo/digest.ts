/**
 * SHA-256 of tensors and files.
 *
 * The digest of a tensor does not depend on what it is stored in: the same dtype, shape and elements
 * have the same one in every container, contiguous or not, split or not, in either byte order. It is
 * that of these bytes:
 *
 *     torchmap tensor 1\n
 *     <dtype>\n                          torch's name, such as float32
 *     <size>,<size>,...\n                an empty line for a scalar
 *     <elements>                         row-major, without gaps, little-endian
 *
 * Quantised tensors have a line more in front of the elements, with the scheme, then scale and zero
 * point, or the axis and the digests of scales and zero points. Tensors that are made of parts
 * (sparse, nested, shards), and those without elements, have this instead:
 *
 *     torchmap parts 1\n
 *     <dtype>\n
 *     <size>,<size>,...\n
 *     <layout>\n                         or meta
 *     <role> <digest of the part>\n      for each part, by role in the order of UTF-16 units
 */
import { createHash, type Hash } from 'node:crypto'
import { open } from 'node:fs/promises'
import { endianness } from 'node:os'
import { binding } from '../binding'
import { bring } from '../bring'
import { denseBytes } from '../dtype'
import { LoadColumn } from '../tables'
import { rowOf, type Tensor } from '../tensor'
import { elementsRow, isView } from '../values'
import { type FilePlace, isRagged, placeOf } from './elements'

export interface DigestOptions {
  /** Stops the work; the promise rejects with the signal's reason. */
  signal?: AbortSignal | undefined
}

/** Bytes that are read and hashed at a time; while some are hashed the next are read. */
const PIECE = 2 ** 22

const HOST_IS_LITTLE = endianness() === 'LE'

/**
 * SHA-256 of dtype, shape and elements, in hexadecimal digits; the bytes are in the comment at the
 * top of this file. Elements that lie in a file as they are, are read from it in pieces; others go
 * through {@link Tensor.bytes}.
 *
 * @throws {@link StateError} `CLOSED`, `FILE_CHANGED`
 * @throws what {@link Tensor.bytes} and, of a checkpoint that is elsewhere, {@link Tensor.load} throw
 */
export async function digestOf(tensor: Tensor, options: DigestOptions = {}): Promise<string> {
  const { signal } = options
  signal?.throwIfAborted()
  const hash = createHash('sha256')
  const { dtype, shape, layout } = tensor
  const isOfParts = tensor.local !== undefined || layout.startsWith('sparse') || isRagged(tensor)
  if (isOfParts || tensor.isMeta) {
    hash.update(`torchmap parts 1\n${dtype}\n${shape.join(',')}\n`)
    hash.update(`${tensor.isMeta ? 'meta' : layout}\n`)
    const roles = Object.keys(tensor.parts).sort() as (keyof typeof tensor.parts)[]
    for (const role of roles) {
      hash.update(`${role} ${await digestOf(tensor.parts[role]!, options)}\n`)
    }
    return hash.digest('hex')
  }
  hash.update(`torchmap tensor 1\n${dtype}\n${shape.join(',')}\n`)
  hash.update(await quantizationText(tensor, options))
  await addElements(hash, tensor, signal)
  return hash.digest('hex')
}

async function quantizationText(tensor: Tensor, options: DigestOptions): Promise<string> {
  const { qscheme, scale, zeroPoint, axis, parts } = tensor
  if (qscheme === undefined) return ''
  if (scale !== undefined) return `${qscheme} ${scale} ${zeroPoint}\n`
  const { scales, zeroPoints } = parts
  if (scales === undefined || zeroPoints === undefined) {
    return `${qscheme} ${axis} ${tensor.scales?.join()} ${tensor.zeroPoints?.join()}\n`
  }
  const digests = [await digestOf(scales, options), await digestOf(zeroPoints, options)]
  return `${qscheme} ${axis} ${digests.join(' ')}\n`
}

async function addElements(
  hash: Hash,
  tensor: Tensor,
  signal: AbortSignal | undefined,
): Promise<void> {
  const { session, row: own } = rowOf(tensor)
  const { name } = tensor
  session.checkOpen()
  if (session.isRemote) await bring([{ tensor, session, row: own }], { signal })
  const row = elementsRow(session, own, name)
  const dtype = session.catalog.dtype(row)
  const length = denseBytes(dtype, session.catalog.numel(row))
  if (length === 0) return
  const place = HOST_IS_LITTLE ? placeOf(session, row, name) : undefined
  if (place !== undefined) return addRange(hash, place, length, signal)
  const wasHere = session.data.has(row)
  for (let start = 0; start < length; start += PIECE) {
    signal?.throwIfAborted()
    hash.update(tensor.bytes(start, Math.min(start + PIECE, length)))
    if (start + PIECE < length) await new Promise(setImmediate)
  }
  if (!wasHere && !session.isClosed && !isView(session, row)) session.data.delete(row)
}

/** Bytes of a file, the next ones being read while some are hashed. */
async function addRange(
  hash: Hash,
  { session, storage, start }: FilePlace,
  length: number,
  signal: AbortSignal | undefined,
): Promise<void> {
  const read = async (from: number, target: Uint8Array) => {
    const row = new Float64Array(LoadColumn.count)
    row[LoadColumn.storage] = storage
    row[LoadColumn.start] = start + from
    row[LoadColumn.end] = start + from + target.length
    const outcome =
      length <= PIECE / 16
        ? binding.loadSync(session.handle, row, [target])
        : await binding.load(session.handle, row, [target], new BigUint64Array(2))
    session.unwrap(outcome)
    return target
  }
  const pieces = [0, 1].map(() => new Uint8Array(Math.min(PIECE, length)))
  let coming = read(0, pieces[0]!)
  for (let from = 0, turn = 1; from < length; from += PIECE, turn = 1 - turn) {
    const here = await coming
    const next = from + PIECE
    if (signal?.aborted || session.isClosed) break
    if (next < length) {
      coming = read(next, pieces[turn]!.subarray(0, Math.min(PIECE, length - next)))
      // It is waited for in the next round; what is thrown before that must not be unheard.
      coming.catch(() => {})
    }
    hash.update(here)
  }
  signal?.throwIfAborted()
  session.checkOpen()
}

/**
 * SHA-256 of a file, read in pieces, in hexadecimal digits: what `sha256sum` says.
 *
 * @throws what the system refuses, in Node's shape
 */
export async function digestOfFile(path: string, options: DigestOptions = {}): Promise<string> {
  const { signal } = options
  const hash = createHash('sha256')
  const file = await open(path)
  try {
    const pieces = [Buffer.allocUnsafeSlow(PIECE), Buffer.allocUnsafeSlow(PIECE)]
    let coming = file.read(pieces[0]!, 0, PIECE, null)
    for (let turn = 1; ; turn = 1 - turn) {
      const { buffer, bytesRead } = await coming
      signal?.throwIfAborted()
      if (bytesRead === 0) return hash.digest('hex')
      coming = file.read(pieces[turn]!, 0, PIECE, null)
      coming.catch(() => {})
      hash.update(buffer.subarray(0, bytesRead))
    }
  } finally {
    await file.close()
  }
}

/** One digest of many, by name: the same whatever order they are given in. */
export function digestOfAll(digests: Iterable<readonly [name: string, digest: string]>): string {
  const hash = createHash('sha256').update('torchmap tensors 1\n')
  const lines = Array.from(digests, ([name, digest]) => `${JSON.stringify(name)} ${digest}\n`)
  for (const line of lines.sort()) hash.update(line)
  return hash.digest('hex')
}
