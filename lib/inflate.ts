/**
 * Deflated records. torch stores its records plain, but archives repacked by other tools do not.
 */
import { inflateSync } from 'fflate'
import { type ErrorPlace, FormatError, LimitError } from './errors'

/**
 * Deflate turns one byte into at most this many (RFC 1951: 258 bytes for two bits, less headers).
 */
const MAX_RATIO = 1032

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
  checkSize(deflated.length, bytes, limit, place)
  if (deflated.length === 0) return new Uint8Array(0)
  // fflate drops what goes beyond `out`, so a record that is too long shows in one byte more.
  const out = new Uint8Array(exactly ? bytes + 1 : bytes)
  let inflated: Uint8Array
  try {
    inflated = inflateSync(deflated, { out })
  } catch (cause) {
    throw new FormatError('BAD_RECORD', 'a deflated record is damaged', { ...place, cause })
  }
  if (inflated.length !== bytes) {
    const found = exactly && inflated.length > bytes ? `more than ${bytes}` : `${inflated.length}`
    const message = `a deflated record inflates to ${found} bytes where the archive says ${bytes}`
    throw new FormatError('BAD_RECORD', message, place)
  }
  return out.subarray(0, bytes)
}

/** Done before memory is reserved: what cannot be there is not allocated for. */
function checkSize(stored: number, bytes: number, limit: number, place: ErrorPlace): void {
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
