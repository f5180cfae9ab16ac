/** How much of the long tests is done where time is short. */

/** The sanitizers make everything an order of magnitude slower. */
export const hasSanitizers = process.env.ASAN_OPTIONS !== undefined

/** One of how many variants of a file is tried: all of them unless under the sanitizers or in CI. */
export const thin = hasSanitizers ? 31 : process.env.CI === undefined ? 1 : 7

/** The first hundred, then one in `thin`. */
export function* thinned<T>(variants: Iterable<T>): Generator<T> {
  let count = 0
  for (const variant of variants) if (count++ < 100 || count % thin === 0) yield variant
}
