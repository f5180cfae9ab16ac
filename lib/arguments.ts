/**
 * The vocabulary of argument checks: every wrong argument is reported in one form, with Node's own
 * codes.
 */
import { inspect } from 'node:util'
import { editsBetween } from './edits'

/** An error of Node's shape for a wrong argument. */
export type ArgumentError = (TypeError | RangeError) & {
  code: 'ERR_INVALID_ARG_TYPE' | 'ERR_INVALID_ARG_VALUE' | 'ERR_OUT_OF_RANGE'
}

/** A TypeError for an argument of a wrong type. */
export function wrongType(name: string, expected: string, actual: unknown): ArgumentError {
  const error = new TypeError(sentence(name, expected, actual))
  return Object.assign(error, { code: 'ERR_INVALID_ARG_TYPE' as const })
}

/** A RangeError for an argument of the right type with a value that cannot be. */
export function wrongValue(name: string, expected: string, actual: unknown): ArgumentError {
  const error = new RangeError(sentence(name, expected, actual))
  return Object.assign(error, { code: 'ERR_INVALID_ARG_VALUE' as const })
}

function sentence(name: string, expected: string, actual: unknown): string {
  const shown = inspect(actual, { depth: 0, maxStringLength: 60, breakLength: Infinity })
  return `Expected ${expected} for ${name} but received ${shown} of type ${typeof actual}`
}

/** Refuses what is no plain object of options, and names that are none of `known`. */
export function checkOptions(
  name: string,
  options: unknown,
  known: readonly string[],
): asserts options is Record<string, unknown> {
  if (typeof options !== 'object' || options === null || Array.isArray(options)) {
    throw wrongType(name, 'an object', options)
  }
  for (const key of Object.keys(options)) {
    if (known.includes(key)) continue
    const nearest = nearestName(key, known)
    const expected = nearest === undefined ? `one of ${known.join(', ')}` : `perhaps ${nearest}`
    throw Object.assign(
      new TypeError(`Expected ${expected} in ${name} but received the unknown name ${key}`),
      { code: 'ERR_INVALID_ARG_VALUE' as const },
    )
  }
}

/** Checks that `start` and `end` cut a piece out of `length` bytes. */
export function checkRange(start: number, end: number, length: number): void {
  for (const [name, value] of [
    ['start', start],
    ['end', end],
  ] as const) {
    if (typeof value !== 'number') throw wrongType(name, 'a number of bytes', value)
    if (!Number.isInteger(value) || value < 0 || value > length) {
      const expected = `an integer from 0 to ${length}`
      throw Object.assign(new RangeError(sentence(name, expected, value)), {
        code: 'ERR_OUT_OF_RANGE' as const,
      })
    }
  }
  if (start > end) {
    throw Object.assign(new RangeError(sentence('end', `an integer from ${start}`, end)), {
      code: 'ERR_OUT_OF_RANGE' as const,
    })
  }
}

/** Letters of a name that somebody could have meant another by. */
const LONGEST_NAME = 64

/** The known name that `given` most likely meant, or nothing when none is near. */
function nearestName(given: string, known: readonly string[]): string | undefined {
  if (given.length > LONGEST_NAME) return undefined
  const ranked = known
    .map((name) => ({ name, edits: editsBetween(given.toLowerCase(), name.toLowerCase()) }))
    .sort((a, b) => a.edits - b.edits)
  const best = ranked[0]
  return best !== undefined && best.edits <= Math.max(2, given.length >> 1) ? best.name : undefined
}
