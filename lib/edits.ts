/** How far two names are apart. */

/** Levenshtein's; `most` where there are that many or more. */
export function editsBetween(first: string, second: string, most = Infinity): number {
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
