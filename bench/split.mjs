// split.mjs [TENSORS]: what opening an index of 10 parts costs beside opening one of its parts, and what is mapped when
// one tensor is touched. The parts are sparse files of 2 GB with TENSORS (default 100) float16 tensors each.

import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

const require = createRequire(import.meta.url)
const Benchmark = require('benchmark')
require('../test/support/register.cjs')
const { writeCheckpoint } = require('../test/support/checkpoint-writer.ts')
const { openSync } = require('../dist/index.js')

const PARTS = 10
const PART_BYTES = 2e9
const count = Number(process.argv[2] ?? 100)
const folder = mkdtempSync(join(tmpdir(), 'torchmap-bench-'))

function writeModel() {
  const numel = Math.floor(PART_BYTES / 2 / count)
  const map = {}
  for (let part = 0; part < PARTS; ++part) {
    const file = `pytorch_model-${part + 1}-of-${PARTS}.bin`
    const names = Array.from({ length: count }, (_, i) => `layers.${part * count + i}.mlp.weight`)
    const tensors = names.map((name, i) => ({
      name,
      type: 'Half',
      key: `${i}`,
      numel,
      shape: [numel],
    }))
    const storages = names.map((_, i) => ({ key: `${i}`, size: numel * 2, parts: [] }))
    writeCheckpoint(join(folder, file), tensors, storages)
    for (const name of names) map[name] = file
  }
  const index = join(folder, 'pytorch_model.bin.index.json')
  writeFileSync(
    index,
    JSON.stringify({ metadata: { total_size: PARTS * PART_BYTES }, weight_map: map }),
  )
  return index
}

/** Median of whole calls, in milliseconds. */
function median(name, work) {
  const { stats, error } = new Benchmark(name, work, { minSamples: 50, maxTime: 5 }).run()
  if (error) throw error
  const sorted = [...stats.sample].sort((a, b) => a - b)
  return sorted[sorted.length >> 1] * 1000
}

const opened = (path) => () => openSync(path).close()

const listed = (path) => () => {
  const checkpoint = openSync(path)
  if ([...checkpoint.tensors.keys()].length < count) throw new Error('tensors are missing')
  checkpoint.close()
}

try {
  const index = writeModel()
  const part = join(folder, `pytorch_model-1-of-${PARTS}.bin`)
  console.log(`${PARTS} parts of 2 GB, ${count} tensors each (sparse files)`)
  for (const [what, work] of [
    ['open', opened],
    ['open, list names', listed],
  ]) {
    const [one, all] = [median('part', work(part)), median('index', work(index))]
    const times = `${(all / one).toFixed(2)} times`
    console.log(
      `  ${what}: one part ${one.toFixed(3)} ms, the index ${all.toFixed(3)} ms: ${times}`,
    )
  }

  const checkpoint = openSync(index)
  const mapped = () => {
    const maps = readFileSync('/proc/self/maps', 'utf8')
    return checkpoint.parts.filter(({ path }) => maps.includes(path)).length
  }
  console.log(`  parts mapped after opening: ${mapped()}`)
  const { data } = checkpoint.tensors.get('layers.0.mlp.weight')
  console.log(`  parts mapped after touching one tensor (${data.length} elements): ${mapped()}`)
  checkpoint.close()
  console.log(`  parts mapped after close(): ${mapped()}`)
} finally {
  rmSync(folder, { recursive: true })
}
