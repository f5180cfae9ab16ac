/**
 * Deflated records. torch stores its records plain, but archives repacked by other tools do not.
 * They are inflated a slice at a time, so that nothing waits for a long one.
 */
import { Inflate, inflateSync } from 'fflate'
import { type ErrorPlace, FormatError, LimitError } from './errors'

/**
 * Deflate turns one byte into at most this many (RFC 1951: 258 bytes for two bits, less headers).
 */
const MAX_RATIO = 1032

/**
 * Deflated bytes at a time: so many that about this much comes out of them, and never so many that
 * more comes out than {@link MOST_SLICE} times the ratio above.
 */
const SLICE_OUT = 2 ** 19
const LEAST_SLICE = 2 ** 10
const MOST_SLICE = 2 ** 14

/**
 * Deflated bytes that may follow each other without anything coming out of them: more than a stored
 * block has, which comes out when all of it is there. Behind the end of the stream nothing does.
 */
const MOST_SILENT = 2 ** 17

/** What a deflated record should be. */
interface Wanted {
  /** Bytes once inflated. */
  bytes: number
  /** Cap on them. */
  limit: number
  place: ErrorPlace
}

/**
 * Inflates one record.
 *
 * @param bytes of the result; `exactly`: the record must have no more than that
 * @param limit cap on `bytes`
 * @throws {@link LimitError} `LIMIT_STORAGE` when `bytes` is above the cap
 * @throws {@link FormatError} `BAD_RECORD` when the record does not inflate to `bytes`
 */
export function inflate(
  deflated: Uint8Array,
  bytes: number,
  { exactly, limit, place }: { exactly: boolean; limit: number; place: ErrorPlace },
): Uint8Array<ArrayBuffer> {
  checkSize(deflated.length, { bytes, limit, place })
  if (deflated.length === 0) return new Uint8Array(0)
  // fflate drops what goes beyond `out`, so a record that is too long shows in one byte more.
  const out = new Uint8Array(exactly ? bytes + 1 : bytes)
  let inflated: Uint8Array
  try {
    inflated = inflateSync(deflated, { out })
  } catch (cause) {
    throw damaged(place, cause)
  }
  if (inflated.length !== bytes) throw wrongSize(inflated.length, bytes, exactly, place)
  return out.subarray(0, bytes)
}

/**
 * Inflates one record slice by slice, without holding more of it than a slice and what comes out of
 * it. Stops as soon as more comes out than should.
 *
 * @param stored bytes that are deflated
 * @param read gives deflated bytes [start, end)
 * @param take is given the inflated bytes, in order
 * @returns after each slice how many deflated bytes are done
 * @throws what {@link inflate} throws, before anything is read where the sizes are impossible
 */
export function* inflateSlices(
  stored: number,
  { bytes, limit, place }: Wanted,
  read: (start: number, end: number) => Uint8Array,
  take: (inflated: Uint8Array) => void,
): Generator<number, void> {
  checkSize(stored, { bytes, limit, place })
  let [count, silent, length] = [0, 0, LEAST_SLICE]
  let came = 0
  const stream = new Inflate((inflated) => {
    came = inflated.length
    count += came
    if (count <= bytes) take(inflated)
  })
  for (let at = 0, end = 0; at < stored; at = end) {
    end = Math.min(at + length, stored)
    // Its last bytes tell the stream that it has to end there.
    const isLast = end === stored || silent > MOST_SILENT
    const slice = silent > MOST_SILENT ? new Uint8Array(0) : read(at, end)
    try {
      stream.push(slice, isLast)
    } catch (cause) {
      throw damaged(place, cause)
    }
    if (count > bytes) throw wrongSize(count, bytes, true, place)
    yield isLast ? stored : end
    if (isLast) break
    silent = came === 0 ? silent + end - at : 0
    const wanted = came === 0 ? MOST_SLICE : Math.round((end - at) * (SLICE_OUT / came))
    length = Math.min(Math.max(wanted, LEAST_SLICE), MOST_SLICE)
  }
  if (count !== bytes) throw wrongSize(count, bytes, true, place)
}

/** Done before memory is reserved: what cannot be there is not allocated for. */
function checkSize(stored: number, { bytes, limit, place }: Wanted): void {
  if (bytes > limit) {
    throw new LimitError(
      'LIMIT_STORAGE',
      `a deflated record inflates to ${bytes} bytes where limits.inflatedBytes allows ${limit}`,
      place,
      { limitName: 'inflatedBytes', limit, actual: bytes },
    )
  }
  if (bytes > stored * MAX_RATIO) {
    const message = `${stored} deflated bytes cannot inflate to ${bytes} bytes`
    throw new FormatError('BAD_RECORD', message, place)
  }
}

function damaged(place: ErrorPlace, cause: unknown): FormatError {
  return new FormatError('BAD_RECORD', 'a deflated record is damaged', { ...place, cause })
}

/** @param isCut whether nothing was counted beyond what is wanted */
function wrongSize(count: number, bytes: number, isCut: boolean, place: ErrorPlace): FormatError {
  const found = isCut && count > bytes ? `more than ${bytes}` : `${count}`
  const message = `a deflated record inflates to ${found} bytes where the archive says ${bytes}`
  return new FormatError('BAD_RECORD', message, place)
}
