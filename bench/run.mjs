// run.mjs [FILE]: what opening a checkpoint costs, beside torch.load of the same file in the same run.
//
// TORCHMAP_PYTHON names a Python that has torch; without it torch is marked absent, and FILE has to be given. Without
// FILE, torch writes one: 10,000 tensors of 8 x 4 float32. Prints medians and spreads; asserts nothing.

import { spawnSync } from 'node:child_process'
import { mkdtempSync, rmSync, statSync } from 'node:fs'
import { createRequire } from 'node:module'
import { cpus, platform, release, tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'

const require = createRequire(import.meta.url)
const Benchmark = require('benchmark')
const { openSync } = require('../dist/index.js')

const python = process.env.TORCHMAP_PYTHON
const script = join(dirname(fileURLToPath(import.meta.url)), 'torch_load.py')
const folder = mkdtempSync(join(tmpdir(), 'torchmap-bench-'))

/** Runs the Python script; gives what it prints as JSON. */
function torch(...args) {
  const { status, stdout, stderr } = spawnSync(python, [script, ...args], { encoding: 'utf8' })
  if (status !== 0) throw new Error(stderr)
  return JSON.parse(stdout)
}

const quantile = (values, q) => values[Math.floor((values.length - 1) * q)]

/** Median, first and last decile in milliseconds. */
function summary(seconds) {
  const sorted = [...seconds].sort((a, b) => a - b)
  return [0.5, 0.1, 0.9].map((q) => quantile(sorted, q) * 1000)
}

/** Whole calls of `work`, timed by benchmark. */
function measure(name, work) {
  const bench = new Benchmark(name, work, { minSamples: 30, maxTime: 5 }).run()
  if (bench.error) throw bench.error
  return summary(bench.stats.sample)
}

function row(name, [median, low, high], base) {
  const times = `${median.toFixed(2)} ms (${low.toFixed(2)} to ${high.toFixed(2)})`
  const ratio =
    base === undefined ? '' : `  ${(median / base).toFixed(1)} times torchmap's openSync()`
  console.log(`${name.padEnd(44)} ${times}${ratio}`)
}

try {
  let file = process.argv[2]
  if (file === undefined) {
    if (python === undefined)
      throw new Error('give a FILE, or set TORCHMAP_PYTHON to a Python that has torch')
    file = join(folder, 'tensors-10000.pth')
    torch('write', file, '10000')
  }
  const checkpoint = openSync(file)
  const about = `${checkpoint.tensors.size} tensors, ${statSync(file).size} bytes, warm page cache`
  checkpoint.close()
  console.log(
    `${cpus()[0]?.model}, ${cpus().length} cores, ${platform()} ${release()}, Node ${process.versions.node}`,
  )
  console.log(`${new Date().toISOString().slice(0, 10)}, ${about}; median (first to last decile)\n`)

  const open = measure('open', () => openSync(file).close())
  row('torchmap openSync()', open)
  const listed = measure('list', () => {
    const opened = openSync(file)
    let dimensions = 0
    for (const tensor of opened.tensors.values()) dimensions += tensor.shape.length
    opened.close()
    return dimensions
  })
  row('torchmap openSync(), every name and shape', listed)
  if (python === undefined) {
    console.log('torch.load                                   absent: set TORCHMAP_PYTHON')
  } else {
    for (const [name, seconds] of Object.entries(torch('load', file)))
      row(name, summary(seconds), open[0])
  }
} catch (error) {
  console.error(`bench: ${error.message}`)
  process.exitCode = 2
} finally {
  rmSync(folder, { recursive: true })
}
