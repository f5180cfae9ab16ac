// serve.mjs [SECONDS] [CLIENTS] [FILE]: CLIENTS (100) clients pull random tensors, ranges of them and whole safetensors files
// from examples/serve.mjs for SECONDS (60), each byte compared with the checkpoint; a tenth of them reads slowly or goes away
// half-way. Prints what they got, and the server's memory and open files as Linux counts them, over time.

import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { readdirSync, readFileSync } from 'node:fs'
import { Agent, get } from 'node:http'
import { createRequire } from 'node:module'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { folder } from './inputs.mjs'

const require = createRequire(import.meta.url)
const { open } = require('../dist/index.js')
const LONGEST_BAR = 50

const [seconds = 60, clients = 100] = process.argv.slice(2, 4).map(Number)
const path = process.argv[4] ?? join(folder, 'resnet18.pth')

const checkpoint = await open(path)
const tensors = [...checkpoint.tensors.values()].filter(({ byteLength }) => byteLength > 0)
const count = { requests: 0, bytes: 0, wrong: 0, failed: 0, left: 0 }
const random = (limit) => Math.floor(Math.random() * limit)
const agent = new Agent({ keepAlive: true, maxSockets: clients })

/** Compares a body with bytes as it comes; with `leaves`, the client goes away before the end. */
async function take(url, headers, wanted, { isSlow, leaves }) {
  const [response] = await once(get(url, { headers, agent }), 'response')
  let at = 0
  for await (const chunk of response) {
    if (Buffer.compare(chunk, wanted.subarray(at, at + chunk.length)) !== 0) ++count.wrong
    at += chunk.length
    count.bytes += chunk.length
    if (isSlow) await sleep(5)
    if (leaves && at > wanted.length / 2) {
      ++count.left
      response.destroy()
      return
    }
  }
  ++count.requests
  if (at !== wanted.length) ++count.wrong
}

async function client(url, i, end) {
  const kind = { isSlow: i % 10 === 0, leaves: i % 10 === 1 }
  while (performance.now() < end) {
    const tensor = tensors[random(tensors.length)]
    const bytes = tensor.bytes()
    const place = `${url}tensors/${encodeURIComponent(tensor.name)}`
    const start = random(bytes.length)
    const headers = random(3) === 0 ? { range: `bytes=${start}-` } : {}
    try {
      await take(place, headers, headers.range ? bytes.subarray(start) : bytes, kind)
    } catch {
      ++count.failed
    }
  }
}

/** A whole file again and again, the same bytes each time. */
async function reader(url, wanted, end) {
  while (performance.now() < end) {
    await take(`${url}model.safetensors`, {}, wanted, { isSlow: false, leaves: false })
  }
}

function memory(pid) {
  const status = readFileSync(`/proc/${pid}/status`, 'utf8')
  const mebibytes = (key) => Number(new RegExp(`^${key}:\\s*(\\d+)`, 'm').exec(status)[1]) / 1024
  return {
    own: mebibytes('RssAnon'),
    file: mebibytes('RssFile'),
    files: readdirSync(`/proc/${pid}/fd`).length,
  }
}

const script = fileURLToPath(new URL('../examples/serve.mjs', import.meta.url))
const server = spawn(process.execPath, [script, path, '0'], {
  stdio: ['ignore', 'pipe', 'inherit'],
})
const url = String((await once(server.stdout, 'data'))[0]).trim()
const whole = Buffer.from(await (await fetch(`${url}model.safetensors`)).arrayBuffer())
const before = memory(server.pid)
const end = performance.now() + seconds * 1000
const samples = []
const timer = setInterval(() => samples.push(memory(server.pid)), (seconds * 1000) / 20)
await Promise.all([
  ...Array.from({ length: clients }, (_, i) => client(url, i, end)),
  reader(url, whole, end),
])
clearInterval(timer)
agent.destroy()
await sleep(1000)
const after = memory(server.pid)
server.kill()

const most = Math.max(...samples.map(({ own }) => own))
console.log(`${path}, ${tensors.length} tensors, ${clients} clients, ${seconds} s`)
console.log(
  `${count.requests} answers, ${(count.bytes / 1e9).toFixed(1)} GB; ${count.wrong} wrong, ${count.failed} failed, ` +
    `${count.left} left half-way`,
)
console.log('memory of the server that is its own, MiB; pages of the file; open files')
for (const [i, { own, file, files }] of [before, ...samples, after].entries()) {
  const when =
    i === 0 ? 'before' : i > samples.length ? 'after' : `${((i * seconds) / 20).toFixed(0)} s`
  const bar = '#'.repeat(Math.round((own / most) * LONGEST_BAR))
  console.log(
    `${when.padStart(7)} ${own.toFixed(0).padStart(5)} ${file.toFixed(0).padStart(5)} ${String(files).padStart(4)} ${bar}`,
  )
}
if (count.wrong + count.failed > 0) process.exitCode = 1
