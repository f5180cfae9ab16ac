// zoo.mjs [GB] [FILE]: verifies GB (50) gigabytes of models, which are FILE (growth-8.pth of the benchmark's inputs) again and
// again under as many names, so that they fit into the page cache, beside memcpy on all cores and reading FILE without looking at
// it, in the same run; and the memory of the process over time, as Linux counts it.

import { execFileSync } from 'node:child_process'
import { existsSync, linkSync, mkdtempSync, readFileSync, rmSync, statSync } from 'node:fs'
import { createRequire } from 'node:module'
import { dirname, join } from 'node:path'
import { Contestant } from './contestant.mjs'
import { folder } from './inputs.mjs'
import { buildTools, paths } from './tools.mjs'

const require = createRequire(import.meta.url)
const { verifyZoo } = require('../dist/zoo/index.js')
const COPIED = 256 * 2 ** 20
const COPIES = 9
const READS = 3
const LONGEST_BAR = 50
const ROWS = 20

const gigabytes = Number(process.argv[2] ?? 50)
const path = process.argv[3] ?? join(folder, 'growth-8.pth')
if (!existsSync(path)) throw new Error(`there is no '${path}': npm run bench writes it`)
const { size } = statSync(path)
const count = Math.ceil((gigabytes * 1e9) / size)

/** Bytes read and written by memcpy on all cores, in GB/s: the median of some runs. */
async function copySpeed(machine) {
  const runs = []
  for (let i = 0; i < COPIES; ++i) runs.push((await machine.run('reused', String(COPIED))).ms)
  return (2 * COPIED) / runs.sort((a, b) => a - b)[COPIES >> 1] / 1e6
}

/** Bytes of the file that the system gives to all cores, in GB/s: the median of some runs. */
async function readSpeed(reader) {
  const runs = []
  for (let i = 0; i < READS; ++i) runs.push((await reader.run('bytes', path)).ms)
  return size / runs.sort((a, b) => a - b)[READS >> 1] / 1e6
}

function memory() {
  const status = readFileSync('/proc/self/status', 'utf8')
  const mebibytes = (key) => Number(new RegExp(`^${key}:\\s*(\\d+)`, 'm').exec(status)[1]) / 1024
  return { own: mebibytes('RssAnon'), file: mebibytes('RssFile') }
}

buildTools()
const zoo = mkdtempSync(join(dirname(path), 'zoo-'))
const machine = new Contestant([paths.memoryBench, 'memcpy-threads'])
const reader = new Contestant([paths.memoryBench, 'reading'])
try {
  for (let i = 0; i < count; ++i) linkSync(path, join(zoo, `model-${i}.pth`))
  // All of it into the page cache.
  execFileSync('cat', [path], { stdio: ['ignore', 'ignore', 'inherit'] })
  await machine.start()
  await reader.start()
  const reading = await readSpeed(reader)
  const before = await copySpeed(machine)
  const samples = [memory()]
  const timer = setInterval(() => samples.push(memory()), 50)
  const start = performance.now()
  const [statuses, bytes] = [{}, []]
  for await (const result of verifyZoo(zoo)) {
    const key = `${result.status}, checksums ${result.integrity}, ${result.safety}`
    statuses[key] = (statuses[key] ?? 0) + 1
    bytes.push(result.bytes)
  }
  const ms = performance.now() - start
  clearInterval(timer)
  samples.push(memory())
  const after = await copySpeed(machine)
  const total = bytes.reduce((sum, each) => sum + each, 0)
  const speed = total / ms / 1e6
  const bandwidth = (before + after) / 2
  console.log(`${bytes.length} models, ${(total / 1e9).toFixed(1)} GB:`, statuses)
  console.log(
    `${(ms / 1000).toFixed(2)} s, ${speed.toFixed(2)} GB/s; memcpy on all cores ${before.toFixed(2)} GB/s before, ` +
      `${after.toFixed(2)} after, read and written together: ${(speed / bandwidth).toFixed(2)} of it`,
  )
  console.log(
    `reading the file on all cores without looking at it: ${reading.toFixed(2)} GB/s, ` +
      `${(reading / bandwidth).toFixed(2)} of memcpy; the models at ${(speed / reading).toFixed(2)} of that`,
  )
  console.log('memory of the process that is its own, MiB; pages of files')
  const step = Math.max(1, Math.ceil(samples.length / ROWS))
  const most = Math.max(...samples.map(({ own }) => own))
  for (let i = 0; i < samples.length; i += step) {
    const { own, file } = samples[i]
    const bar = '#'.repeat(Math.round((own / most) * LONGEST_BAR))
    console.log(`${own.toFixed(0).padStart(6)} ${file.toFixed(0).padStart(6)}  ${bar}`)
  }
} finally {
  await machine.stop()
  await reader.stop()
  rmSync(zoo, { recursive: true })
}
