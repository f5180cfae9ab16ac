// What is printed of many runs.

/** The q-th quantile, between the two nearest values where it falls between them. */
export function quantile(values, q) {
  const sorted = [...values].sort((a, b) => a - b)
  const place = (sorted.length - 1) * q
  const below = Math.floor(place)
  const above = Math.min(below + 1, sorted.length - 1)
  return sorted[below] + (sorted[above] - sorted[below]) * (place - below)
}

export const median = (values) => quantile(values, 0.5)

/** Median, first and last decile, and how many there were. */
export function summary(values) {
  const [middle, low, high] = [0.5, 0.1, 0.9].map((q) => quantile(values, q))
  return { median: middle, low, high, count: values.length }
}

/**
 * How many times as long as `base` it took: the median of the ratios of each round, so that what slows the machine down
 * for a while counts on both sides. Samples are { round, ms }. Nothing where no round has both.
 */
export function ratio(samples, base) {
  const based = new Map(base.map(({ round, ms }) => [round, ms]))
  const ratios = samples
    .filter(({ round }) => based.has(round))
    .map(({ round, ms }) => ms / based.get(round))
  return ratios.length === 0 ? undefined : median(ratios)
}
