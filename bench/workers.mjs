// workers.mjs [FILE] [WORKERS]: WORKERS (8) worker threads open FILE by a handle. First what that takes of memory, as
// Linux counts it, beside workers that require torchmap and open nothing, and beside workers that open the file
// themselves; then, in one worker, how long it takes: openHandle beside openSync and open, for FILE and for 10,000 and
// 100,000 small tensors. Without FILE a sparse checkpoint of 8 GiB in 300 tensors is written to the folder for temporary
// files.

import { execFileSync } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { createRequire } from 'node:module'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { isMainThread, parentPort, Worker, workerData } from 'node:worker_threads'
import { median } from './statistics.mjs'

const require = createRequire(import.meta.url)
const self = fileURLToPath(import.meta.url)
const torchmap = () => require('../dist/index.js')
const MIB = 2 ** 20

function write(path, count, bytes) {
  require('../test/support/register.cjs')
  const { writeCheckpoint } = require('../test/support/checkpoint-writer.ts')
  const numel = bytes / 4
  const keys = Array.from({ length: count }, (_, i) => String(i))
  writeCheckpoint(
    path,
    keys.map((key) => ({
      name: `layers.${key}.weight`,
      type: 'Float',
      key,
      numel,
      shape: [numel],
    })),
    keys.map((key) => ({ key, size: bytes, parts: [] })),
  )
  return path
}

/** What a process has, in MiB: resident at all, of its own, of files; and with shared pages shared out. */
function memory() {
  const status = readFileSync('/proc/self/status', 'utf8')
  const rollup = readFileSync('/proc/self/smaps_rollup', 'utf8')
  const kib = (text, key) => Number(new RegExp(`^${key}:\\s*(\\d+)`, 'm').exec(text)[1])
  const [all, own, file] = ['VmRSS', 'RssAnon', 'RssFile'].map((key) => kib(status, key) / 1024)
  return { all, own, file, shared: kib(rollup, 'Pss') / 1024 }
}

/** Names, dtypes and shapes of everything; `bytes` of the elements are looked at. */
function look({ tensors }, bytes) {
  let [sum, left] = [0, bytes]
  for (const [name, tensor] of tensors) {
    sum += name.length + tensor.dtype.length + tensor.shape.length
    if (left <= 0) continue
    const seen = tensor.bytes(0, Math.min(tensor.byteLength, left))
    for (let at = 0; at < seen.length; at += 4096) sum += seen[at]
    left -= seen.length
  }
  return sum
}

/** In a worker: opens when it is told to, and keeps what it opened. */
function holder(how, path) {
  const { openHandle, openSync } = torchmap()
  let held
  parentPort.on('message', ({ handle, bytes }) => {
    if (how === 'openHandle') held ??= openHandle(handle)
    if (how === 'openSync') held ??= openSync(path)
    if (held !== undefined) look(held, bytes)
    globalThis.gc()
    parentPort.postMessage('done')
  })
  parentPort.postMessage('ready')
}

/** In a process of its own: what `count` workers take that open the file in this way. */
async function holding(how, path, count) {
  const handle = how === 'openHandle' ? torchmap().openSync(path).handle() : undefined
  const workers = Array.from({ length: Number(count) }, () => {
    return new Worker(self, { workerData: { work: 'holder', args: [how, path] } })
  })
  const said = () => Promise.all(workers.map((w) => new Promise((go) => w.once('message', go))))
  const settled = async () => {
    globalThis.gc()
    await sleep(500)
    return memory()
  }
  await said()
  // The first message makes what every later one finds.
  const tell = async (message) => {
    const done = said()
    for (const worker of workers) worker.postMessage(message)
    await done
    return settled()
  }
  await settled()
  const before = memory()
  const opened = await tell({ handle, bytes: 0 })
  const looked = await tell({ handle: undefined, bytes: 64 * MIB })
  const grown = (after) =>
    Object.fromEntries(Object.keys(after).map((key) => [key, (after[key] - before[key]) / count]))
  console.log(JSON.stringify({ opened: grown(opened), looked: grown(looked) }))
  process.exit()
}

function measureMemory(path, count) {
  console.log(`${path}: MiB that each of ${count} workers adds`)
  for (const how of ['nothing', 'openHandle', 'openSync']) {
    const runs = [1, 2, 3].map(() => {
      const args = ['--expose-gc', self, '--holding', how, path, String(count)]
      return JSON.parse(execFileSync(process.execPath, args, { encoding: 'utf8' }))
    })
    const row = (state) =>
      ['all', 'own', 'file', 'shared'].map((key) =>
        median(runs.map((run) => run[state][key])).toFixed(2),
      )
    const text = ([all, own, file, shared]) =>
      `${all} resident (${own} of its own, ${file} of files; ${shared} with shared pages shared out)`
    console.log(`  opens with ${how}: ${text(row('opened'))}`)
    console.log(`    and looks at 64 MiB: ${text(row('looked'))}`)
  }
}

/** In a worker: milliseconds of many openings in turns, each of a handle that has just arrived. */
async function times({ path, handle, rounds }) {
  const { open, openHandle, openSync } = torchmap()
  const names = ['openSync', 'open', 'openHandle', 'openHandle and arrival', 'arrival']
  const all = Object.fromEntries(names.map((name) => [name, []]))
  for (let round = -5; round < rounds; ++round) {
    const clock = async (name, work) => {
      const start = performance.now()
      const checkpoint = await work()
      if (round >= 0) all[name].push(performance.now() - start)
      checkpoint.close?.()
    }
    const sync = (name, work) => {
      const start = performance.now()
      const checkpoint = work()
      if (round >= 0) all[name].push(performance.now() - start)
      checkpoint.close?.()
    }
    const arrived = structuredClone(handle)
    sync('openSync', () => openSync(path))
    await clock('open', () => open(path))
    sync('openHandle', () => openHandle(arrived))
    sync('openHandle and arrival', () => openHandle(structuredClone(handle)))
    sync('arrival', () => structuredClone(handle))
  }
  parentPort.postMessage(all)
}

async function measureTimes(path, rounds) {
  const checkpoint = torchmap().openSync(path)
  const start = performance.now()
  const handle = checkpoint.handle()
  const made = performance.now() - start
  const worker = new Worker(self, {
    workerData: { work: 'times', args: [{ path, handle, rounds }] },
  })
  const all = await new Promise((resolve, reject) => {
    worker.once('message', resolve)
    worker.once('error', reject)
  })
  await worker.terminate()
  const count = checkpoint.tensors.size
  checkpoint.close()
  console.log(
    `${path}: ${count} tensors, handle of ${handle.tables.length} bytes made in ${made.toFixed(1)} ms`,
  )
  const base = median(all.openHandle)
  for (const [name, given] of Object.entries(all)) {
    const ms = median(given)
    console.log(
      `  ${name.padEnd(22)} ${ms.toFixed(3).padStart(9)} ms, ${(ms / base).toFixed(2)} of openHandle`,
    )
  }
}

async function main(file, workers = '8') {
  const folder = mkdtempSync(join(tmpdir(), 'torchmap-bench-'))
  try {
    const path = file ?? write(join(folder, 'large.pth'), 300, (2 ** 33 / 300) & ~63)
    measureMemory(path, workers)
    await measureTimes(path, 500)
    await measureTimes(write(join(folder, 'tensors-10000.pth'), 10_000, 64), 100)
    await measureTimes(write(join(folder, 'tensors-100000.pth'), 100_000, 64), 20)
  } finally {
    rmSync(folder, { recursive: true })
  }
}

const WORK = { holder, times }
const [first, ...rest] = process.argv.slice(2)
if (!isMainThread) WORK[workerData.work](...workerData.args)
else if (first === '--holding') await holding(...rest)
else await main(first, rest[0])
