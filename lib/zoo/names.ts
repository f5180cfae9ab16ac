/** Which name another one most likely became, or was meant. */
import { editsBetween } from '../edits'

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
