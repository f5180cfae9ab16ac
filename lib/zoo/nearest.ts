/** Which name was likely meant. */

/** Names that are looked at for each that has none; more would take too long. */
const MOST = 20_000

/** The nearest of `names` by the share of levels that are the same; nothing where none is near. */
export function nearestName(name: string, names: Iterable<string>): string | undefined {
  const wanted = name.split('.')
  let best: { name: string; score: number } | undefined
  let count = 0
  for (const other of names) {
    if (++count > MOST) break
    const score = likeness(wanted, other.split('.'))
    if (score > (best?.score ?? 0.5)) best = { name: other, score }
  }
  return best?.name
}

/** Levels in common from the end, where what was saved and what is expected mostly agree. */
function likeness(a: readonly string[], b: readonly string[]): number {
  let same = 0
  while (same < Math.min(a.length, b.length) && a.at(-1 - same) === b.at(-1 - same)) ++same
  let first = 0
  while (first < Math.min(a.length, b.length) - same && a[first] === b[first]) ++first
  return (2 * (same + first)) / (a.length + b.length)
}
