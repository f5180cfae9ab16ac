/** Deflated records that have to be inflated to be looked into. */
import { closeSync, openSync, readSync } from 'node:fs'
import { inflateRawSync } from 'node:zlib'
import { FormatError, isCheckpointError } from '../../errors'
import { inflateSlices } from '../../inflate'

export interface Deflated {
  readonly name: string
  /** Bytes from the start of the file. */
  readonly offset: number
  /** Bytes in the file. */
  readonly stored: number
  /** Bytes once inflated. */
  readonly bytes: number
}

export interface Inflated {
  name: string
  bytes: Uint8Array
}

/** Bytes up to which a record is inflated at once, which is faster than by slices. */
const SMALL = 2 ** 18

/** Bytes of all records together: more is not looked into. */
const MOST_INFLATED = 2 ** 28

/**
 * First bytes of pickles (a protocol, or what can come first in one that calls something), archives
 * and arrays.
 */
const LOADABLE = new Set([0x80, ...Buffer.from('c(i]}P\x93', 'latin1')])

/**
 * Inflates those records that begin like something that is loaded, or are called like it.
 *
 * @param source the path of the file, or its bytes
 * @param limit cap on one record, in bytes
 * @param refused is told of a record that cannot be inflated, and why
 */
export function inflateAll(
  source: string | Uint8Array,
  records: readonly Deflated[],
  limit: number,
  refused: (record: string, why: string) => void,
): Inflated[] {
  const found: Inflated[] = []
  let left = MOST_INFLATED
  const file = typeof source === 'string' ? openSync(source, 'r') : undefined
  try {
    for (const record of records) {
      const read = (start: number, end: number) => {
        const at = record.offset + start
        if (typeof source !== 'string') return source.subarray(at, record.offset + end)
        const bytes = new Uint8Array(end - start)
        return bytes.subarray(0, readSync(file!, bytes, 0, bytes.length, at))
      }
      try {
        const bytes = inflateOne(record, read, Math.min(limit, left))
        if (bytes === undefined) continue
        left -= bytes.length
        found.push({ name: record.name, bytes })
      } catch (error) {
        if (!isCheckpointError(error)) throw error
        refused(record.name, error.message)
      }
    }
  } finally {
    if (file !== undefined) closeSync(file)
  }
  return found
}

/** @throws {@link FormatError} `BAD_RECORD` when it does not inflate to `bytes` bytes */
function inflateSmall(deflated: Uint8Array, bytes: number): Uint8Array {
  let inflated: Uint8Array
  try {
    inflated = inflateRawSync(deflated, { maxOutputLength: bytes })
  } catch (cause) {
    throw new FormatError('BAD_RECORD', 'a deflated record is damaged', { cause })
  }
  if (inflated.length === bytes) return inflated
  const message = `a deflated record inflates to ${inflated.length} bytes where the archive says ${bytes}`
  throw new FormatError('BAD_RECORD', message)
}

/** Nothing where its first bytes say that nothing loads it. */
function inflateOne(
  { name, stored, bytes }: Deflated,
  read: (start: number, end: number) => Uint8Array,
  limit: number,
): Uint8Array | undefined {
  if (bytes === 0) return undefined
  const place = { record: name }
  if (stored <= SMALL && bytes <= Math.min(SMALL, limit))
    return inflateSmall(read(0, stored), bytes)
  const pieces: Uint8Array[] = []
  const take = (piece: Uint8Array) => {
    if (piece.length > 0) pieces.push(piece.slice())
  }
  for (const _ of inflateSlices(stored, { bytes, limit, place }, read, take)) {
    const first = pieces[0]?.[0]
    if (first !== undefined && !LOADABLE.has(first) && !name.endsWith('.pkl')) return undefined
  }
  return Buffer.concat(pieces)
}
