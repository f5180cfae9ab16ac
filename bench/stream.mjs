// stream.mjs [GIB] [MIB]: streams a checkpoint of GIB (16) GiB in tensors of 64 MiB with a budget of MIB (256) MiB, every byte
// touched by the C loop, beside `cat` of the same file to nowhere: cold and warm page cache, medians of interleaved
// rounds, and the most memory that the streaming process had, as Linux counts it (VmHWM). The file takes that much of
// the folder for temporary files.

import { execFileSync } from 'node:child_process'
import { randomFillSync } from 'node:crypto'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { createRequire } from 'node:module'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { buildTools, tools } from './tools.mjs'

const require = createRequire(import.meta.url)
const MIB = 2 ** 20
const TENSOR = 64 * MIB
const ROUNDS = 3

const median = (values) => [...values].sort((a, b) => a - b)[values.length >> 1]
const clock = (work) => {
  const start = performance.now()
  const value = work()
  return { ms: performance.now() - start, value }
}

function write(path, gibibytes) {
  require('../test/support/register.cjs')
  const { writeCheckpoint } = require('../test/support/checkpoint-writer.ts')
  const bytes = randomFillSync(new Uint8Array(TENSOR))
  const keys = Array.from({ length: (gibibytes * 1024) / 64 }, (_, i) => String(i))
  const shape = [TENSOR / 4]
  writeCheckpoint(
    path,
    keys.map((key) => ({ name: `layers.${key}`, type: 'Float', key, numel: shape[0], shape })),
    keys.map((key) => ({ key, size: TENSOR, parts: [{ offset: 0, bytes }] })),
  )
}

/** In a process of its own: milliseconds, MiB, and how many tensors there were. */
async function child(path, budget, release) {
  const { open } = require('../dist/index.js')
  const addon = tools()
  const start = performance.now()
  const checkpoint = await open(path)
  let count = 0
  for await (const tensor of checkpoint.stream({
    budget: Number(budget),
    release: release === 'true',
  })) {
    addon.touch(tensor.bytes())
    ++count
  }
  const ms = performance.now() - start
  const status = readFileSync('/proc/self/status', 'utf8')
  const peak = Number(/^VmHWM:\s*(\d+)/m.exec(status)[1]) / 1024
  console.log(JSON.stringify({ ms, peak, count, sum: addon.takeSum() }))
}

function streamed(path, budget, release) {
  const args = [fileURLToPath(import.meta.url), '--child', path, budget, release]
  return JSON.parse(execFileSync(process.execPath, args.map(String), { encoding: 'utf8' }))
}

function measure(gibibytes, budget) {
  buildTools()
  const { evict, resident } = tools()
  const folder = mkdtempSync(join(tmpdir(), 'torchmap-bench-'))
  const path = join(folder, 'large.pth')
  try {
    write(path, gibibytes)
    execFileSync('sync')
    const runs = {
      cat: () => clock(() => execFileSync('sh', ['-c', 'cat "$0" > /dev/null', path])),
      stream: () => streamed(path, budget, false),
      'stream, release': () => streamed(path, budget, true),
    }
    for (const state of ['cold', 'warm']) {
      const all = Object.fromEntries(Object.keys(runs).map((name) => [name, []]))
      let share = 0
      for (let round = 0; round < ROUNDS; ++round) {
        for (const [name, run] of Object.entries(runs)) {
          if (state === 'cold') evict(path)
          else execFileSync('sh', ['-c', 'cat "$0" > /dev/null', path])
          share = resident(path)
          all[name].push(run())
        }
      }
      const cat = median(all.cat.map(({ ms }) => ms))
      console.log(`${state} (${(100 * share).toFixed(0)} % of the file in the page cache)`)
      for (const [name, given] of Object.entries(all)) {
        const ms = median(given.map((run) => run.ms))
        const peak = Math.max(...given.map((run) => run.peak ?? 0))
        const speed = (gibibytes * 1024 ** 3) / ms / 1e6
        const most = peak === 0 ? '' : `, at most ${peak.toFixed(0)} MiB resident`
        console.log(
          `  ${name.padEnd(16)} ${ms.toFixed(0).padStart(7)} ms, ${speed.toFixed(2)} GB/s, ${(cat / ms).toFixed(2)} of cat${most}`,
        )
      }
    }
  } finally {
    rmSync(folder, { recursive: true })
  }
}

const [first, ...rest] = process.argv.slice(2)
if (first === '--child') await child(...rest)
else measure(Number(first ?? 16), Number(rest[0] ?? 256) * MIB)
