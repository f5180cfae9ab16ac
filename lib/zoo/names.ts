/** Which name another one most likely became. */

/** Names that are compared one by one; of more, the first. */
const MOST_COMPARED = 500
/** Letters of a name that are looked at, its last ones: what is in front of a name changes most. */
const LONGEST = 128

/**
 * The nearest of some names, by the letters that have to be changed, or nothing where none is near:
 * no more than half of the letters.
 */
export function nearestOf(name: string, others: Iterable<string>): string | undefined {
  const given = name.slice(-LONGEST)
  let best: string | undefined
  let least = Math.floor(given.length / 2) + 1
  let compared = 0
  for (const other of others) {
    if (compared++ === MOST_COMPARED) break
    // A prefix more, or less, is one change.
    const isInside = other.endsWith(`.${name}`) || name.endsWith(`.${other}`)
    const changed = isInside ? 1 : editsBetween(given, other.slice(-LONGEST), least)
    if (changed < least) {
      least = changed
      best = other
    }
  }
  return best
}

/** Levenshtein's; `most` where there are that many or more. */
function editsBetween(first: string, second: string, most: number): number {
  if (Math.abs(first.length - second.length) >= most) return most
  // Names of layers have most of their letters in common.
  let start = 0
  while (start < first.length && first[start] === second[start]) ++start
  let [i, j] = [first.length, second.length]
  while (i > start && j > start && first[i - 1] === second[j - 1]) {
    --i
    --j
  }
  const [a, b] = [first.slice(start, i), second.slice(start, j)]
  let row = Array.from({ length: b.length + 1 }, (_, column) => column)
  for (let line = 1; line <= a.length; ++line) {
    const next = [line]
    for (let column = 1; column <= b.length; ++column) {
      const replaced = row[column - 1]! + (a[line - 1] === b[column - 1] ? 0 : 1)
      next.push(Math.min(replaced, row[column]! + 1, next[column - 1]! + 1))
    }
    row = next
  }
  return row[b.length]!
}
