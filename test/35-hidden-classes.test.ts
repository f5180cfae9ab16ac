/** Code that V8 compiled for listing tensors outlives the checkpoints it was compiled for. */
import { spawnSync } from 'node:child_process'
import { join } from 'node:path'
import { expect, test } from '@jest/globals'

const ROUNDS = 30

// Between any two checkpoints there is more garbage collection than hidden classes outlive.
const SCRIPT = `
const { openSync } = require('./index.js')
const header = {}
let end = 0
for (let i = 0; i < 4000; ++i) {
  const start = end
  end += i % 7 + 1
  header['layers.' + i] = { dtype: 'U8', shape: [1, i % 7 + 1], data_offsets: [start, end] }
}
const text = JSON.stringify(header)
const bytes = Buffer.alloc(8 + text.length + end)
bytes.writeBigUInt64LE(BigInt(text.length))
bytes.write(text, 8)
function list(tensors) {
  let sum = 0
  for (const [name, { dtype, shape }] of tensors) sum += name.length + dtype.length + shape.length
  return sum
}
async function run() {
  for (let round = 0; round < ${ROUNDS}; ++round) {
    const checkpoint = openSync(bytes)
    list(checkpoint.tensors)
    checkpoint.close()
    for (let times = 0; times < 3; ++times) {
      gc()
      await new Promise(setImmediate)
    }
  }
}
run()
`

// Opening as it would be if nothing were kept.
const NOTHING_KEPT = `
const { checkpointOf } = require('./checkpoint.js')
require('./hidden-classes.js').checkpointFor = (content, { limits }) => checkpointOf(content, limits)
`

/** How many compiled functions are thrown away because nothing is left of what they are for. */
function thrownAway(script: string): number {
  const { status, stdout, stderr } = spawnSync(
    process.execPath,
    ['--expose-gc', '--trace-deopt', '--eval', script],
    { cwd: join(__dirname, '../dist'), encoding: 'utf8', maxBuffer: 1 << 26 },
  )
  expect({ status, stderr }).toEqual({ status: 0, stderr: '' })
  return stdout.split('\n').filter((line) => line.includes('weak objects')).length
}

test('listing tensors stays compiled from one checkpoint to the next', () => {
  const before = thrownAway(NOTHING_KEPT + SCRIPT)
  // So that the test would see it.
  expect(before).toBeGreaterThan(5)
  expect(thrownAway(SCRIPT)).toBeLessThan(before / 3)
})
