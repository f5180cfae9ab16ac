/**
 * Compares the weights that `stateDict({ fold: true })` computes with torch's, which
 * test/fixtures/folded.py wrote: the largest difference of each kind in units in the last place.
 *
 *   node scripts/folds.mjs FOLDER [--threads N]
 */
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { openSync } from '../dist/index.js'

const { values, positionals } = parseArgs({
  options: { threads: { type: 'string', default: '1' } },
  allowPositionals: true,
})
const [folder] = positionals
if (folder === undefined) throw new Error('which folder?')
const threads = Number(values.threads)

/** Place in the order of all float32. */
const placed = (bits) => (bits < 0 ? -(bits & 0x7fff_ffff) : bits)

function distance(a, b) {
  const [left, right] = [a, b].map((data) => {
    return new Int32Array(data.buffer, data.byteOffset, data.length)
  })
  if (left.length !== right.length) return Number.POSITIVE_INFINITY
  let largest = 0
  for (let i = 0; i < left.length; ++i) {
    if (Number.isNaN(a[i]) && Number.isNaN(b[i])) continue
    const here = Math.abs(placed(left[i]) - placed(right[i]))
    if (here > largest) largest = here
  }
  return largest
}

const kinds = new Map()
for (const { name, kind } of JSON.parse(readFileSync(join(folder, 'cases.json'), 'utf8'))) {
  const parts = openSync(join(folder, `${name}.pt`))
  const effective = openSync(join(folder, `${name}.effective.pt`))
  const map = parts.stateDict({ fold: { threads } })
  const weight = map.get('weight')
  if (weight === undefined) throw new Error(`${name}: ${map.unfolded[0]?.reason}`)
  const row = kinds.get(kind) ?? {
    kind,
    cases: 0,
    elements: 0,
    differing: 0,
    largest: 0,
    shape: '',
  }
  kinds.set(kind, row)
  const found = distance(weight.data, effective.root.data)
  row.cases += 1
  row.elements += weight.size
  if (found > 0) row.differing += 1
  if (found > row.largest) Object.assign(row, { largest: found, shape: weight.shape.join(' x ') })
  parts.close()
  effective.close()
}
console.table([...kinds.values()])
