// zoo.mjs [GB] [FILE]: verifies GB (50) gigabytes of models, which are FILE (growth-8.pth of the benchmark's inputs) again and
// again under as many names, so that they fit into the page cache. Beside it, in the same run and on all cores: a loop that reads
// memory, memcpy, and reading FILE without looking at it; and the memory of the process over time, as Linux counts it.

import { execFileSync } from 'node:child_process'
import { existsSync, linkSync, mkdtempSync, readFileSync, rmSync, statSync } from 'node:fs'
import { createRequire } from 'node:module'
import { dirname, join } from 'node:path'
import { Contestant } from './contestant.mjs'
import { folder } from './inputs.mjs'
import { median } from './statistics.mjs'
import { buildTools, paths } from './tools.mjs'

const require = createRequire(import.meta.url)
const { verifyZoo } = require('../dist/zoo/index.js')
const HELD = 256 * 2 ** 20
const RUNS = 9
const READS = 3
const LONGEST_BAR = 50
const ROWS = 20

const gigabytes = Number(process.argv[2] ?? 50)
const path = process.argv[3] ?? join(folder, 'growth-8.pth')
if (!existsSync(path)) throw new Error(`there is no '${path}': npm run bench writes it`)
const { size } = statSync(path)
const count = Math.ceil((gigabytes * 1e9) / size)

/** What a job does with so many bytes, in GB/s: the median of some runs. */
async function speedOf({ contestant, what, subject, bytes, runs }) {
  const times = []
  for (let i = 0; i < runs; ++i) times.push((await contestant.run(what, String(subject))).ms)
  return bytes / median(times) / 1e6
}

const job = (name, what, subject, bytes, runs) => ({
  contestant: new Contestant([paths.memoryBench, name]),
  what,
  subject,
  bytes,
  runs,
})

function memory() {
  const status = readFileSync('/proc/self/status', 'utf8')
  const mebibytes = (key) => Number(new RegExp(`^${key}:\\s*(\\d+)`, 'm').exec(status)[1]) / 1024
  return { own: mebibytes('RssAnon'), file: mebibytes('RssFile') }
}

buildTools()
const zoo = mkdtempSync(join(dirname(path), 'zoo-'))
const jobs = {
  'a loop that reads memory': job('summing', 'reused', HELD, HELD, RUNS),
  'memcpy, bytes read and written': job('memcpy-threads', 'reused', HELD, 2 * HELD, RUNS),
  'reading the file without looking at it': job('reading', 'bytes', path, size, READS),
}
try {
  for (let i = 0; i < count; ++i) linkSync(path, join(zoo, `model-${i}.pth`))
  // All of it into the page cache.
  execFileSync('cat', [path], { stdio: ['ignore', 'ignore', 'inherit'] })
  for (const { contestant } of Object.values(jobs)) await contestant.start()
  const limits = Object.fromEntries(Object.keys(jobs).map((name) => [name, []]))
  const measure = async () => {
    for (const [name, each] of Object.entries(jobs)) limits[name].push(await speedOf(each))
  }
  await measure()
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
  await measure()
  const total = bytes.reduce((sum, each) => sum + each, 0)
  const speed = total / ms / 1e6
  console.log(`${bytes.length} models, ${(total / 1e9).toFixed(1)} GB:`, statuses)
  console.log(`${(ms / 1000).toFixed(2)} s, ${speed.toFixed(2)} GB/s; on all cores:`)
  for (const [name, [before, after]] of Object.entries(limits)) {
    const share = speed / ((before + after) / 2)
    console.log(
      `${before.toFixed(2).padStart(7)} GB/s before, ${after.toFixed(2)} after: ${name}; the models at ${share.toFixed(2)} of it`,
    )
  }
  console.log('memory of the process that is its own, MiB; pages of files')
  const step = Math.max(1, Math.ceil(samples.length / ROWS))
  const most = Math.max(...samples.map(({ own }) => own))
  for (let i = 0; i < samples.length; i += step) {
    const { own, file } = samples[i]
    const bar = '#'.repeat(Math.round((own / most) * LONGEST_BAR))
    console.log(`${own.toFixed(0).padStart(6)} ${file.toFixed(0).padStart(6)}  ${bar}`)
  }
} finally {
  for (const { contestant } of Object.values(jobs)) await contestant.stop()
  rmSync(zoo, { recursive: true })
}
