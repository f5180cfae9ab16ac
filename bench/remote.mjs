// remote.mjs [FILE] [LATENCY] (with node --expose-gc): loads FILE (large.pth of the benchmark's inputs) from
// a server in a process of its own that answers LATENCY (20) ms late: requests and bytes up to the first
// tensor, then all tensors, beside plain downloads of the whole file by Node's client, into memory and to
// nowhere, and by curl, into a file and to nowhere. Medians of rounds, each of which begins with another
// loader, and of the ratios of single rounds.

import { execFileSync, fork } from 'node:child_process'
import { once } from 'node:events'
import { createReadStream, existsSync, mkdtempSync, rmSync, statSync } from 'node:fs'
import { createServer, get } from 'node:http'
import { createRequire } from 'node:module'
import { dirname, join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { folder } from './inputs.mjs'

const require = createRequire(import.meta.url)
const ROUNDS = 10
/** Milliseconds for memory to be given back. */
const SETTLED = 200
const BLOCK = 2 ** 20

const median = (values) => [...values].sort((a, b) => a - b)[values.length >> 1]

function serve(path, latency) {
  const { size } = statSync(path)
  let [requests, bytes] = [0, 0]
  const server = createServer((request, response) => {
    const [, from, to] = /^bytes=(\d+)-(\d+)$/.exec(request.headers.range ?? '') ?? []
    const start = Number(from ?? 0)
    const end = Math.min(Number(to ?? size), size - 1)
    ++requests
    bytes += end + 1 - start
    setTimeout(() => {
      const range = from === undefined ? {} : { 'content-range': `bytes ${start}-${end}/${size}` }
      const headers = { 'content-length': end + 1 - start, etag: '"1"', ...range }
      response.writeHead(from === undefined ? 200 : 206, headers)
      createReadStream(path, { start, end, highWaterMark: BLOCK }).pipe(response)
    }, latency)
  })
  process.on('message', () => {
    process.send({ requests, bytes })
    requests = bytes = 0
  })
  server.listen(0, '127.0.0.1', () => process.send({ port: server.address().port }))
}

/** Milliseconds; what others have left behind is collected before. */
async function clock(work) {
  global.gc?.()
  await sleep(SETTLED)
  const start = performance.now()
  await work()
  return performance.now() - start
}

/** To nowhere, or into memory. */
async function download(url, target) {
  const [message] = await once(get(url), 'response')
  let at = 0
  message.on('data', (chunk) => {
    target?.set(chunk, at)
    at += chunk.length
  })
  await once(message, 'end')
}

async function measure(path, latency) {
  const { open } = require('../dist/index.js')
  const { size } = statSync(path)
  const server = fork(fileURLToPath(import.meta.url), ['--serve', path, String(latency)])
  const [{ port }] = await once(server, 'message')
  const url = `http://127.0.0.1:${port}/`
  const asked = async () => {
    server.send('')
    return (await once(server, 'message'))[0]
  }
  const copy = join(mkdtempSync(join(dirname(path), 'remote-')), 'copy')
  const firsts = []
  let first
  const loaders = {
    'torchmap, all tensors': async () => {
      await asked()
      const start = performance.now()
      const checkpoint = await open(url)
      const [tensor] = checkpoint.tensors.values()
      await tensor.load()
      firsts.push(performance.now() - start)
      first = { ...(await asked()), name: tensor.name, own: tensor.byteLength }
      await checkpoint.load()
      checkpoint.close()
    },
    'Node, into memory': () => download(url, new Uint8Array(size)),
    'curl, into a file': () => execFileSync('curl', ['-s', '-o', copy, url]),
    'Node, to nowhere': () => download(url),
    'curl, to nowhere': () => execFileSync('curl', ['-s', '-o', '/dev/null', url]),
  }
  const times = Object.fromEntries(Object.keys(loaders).map((name) => [name, []]))
  for (let round = 0; round < ROUNDS; ++round) {
    // Each after each of the others: what one leaves to the system is the next one's.
    const order = Object.keys(loaders)
    order.push(...order.splice(0, round % order.length))
    for (const name of order) {
      times[name].push(await clock(loaders[name]))
      rmSync(copy, { force: true })
    }
  }
  server.kill()
  rmSync(dirname(copy), { recursive: true })
  const { requests, bytes, name, own } = first
  console.log(`${path}: ${size} bytes, ${latency} ms before each answer`)
  console.log(
    `  first tensor ('${name}', ${own} bytes) after ${requests} requests, ${bytes} bytes ` +
      `(${((100 * bytes) / size).toFixed(3)} % of the file), ${median(firsts).toFixed(0)} ms`,
  )
  const [[mine, ours]] = Object.entries(times)
  for (const [what, all] of Object.entries(times)) {
    const ms = median(all)
    const spread = `${Math.min(...all).toFixed(0)}-${Math.max(...all).toFixed(0)}`
    const share = median(all.map((other, round) => other / ours[round])).toFixed(2)
    console.log(
      `  ${what.padEnd(22)} ${ms.toFixed(0).padStart(6)} ms (${spread}), ${(size / ms / 1e6).toFixed(2)} GB/s` +
        (what === mine ? '' : `; torchmap has ${share} of its speed`),
    )
  }
}

const [given, ...rest] = process.argv.slice(2)
if (given === '--serve') serve(rest[0], Number(rest[1]))
else {
  const path = given ?? join(folder, 'large.pth')
  if (!existsSync(path)) throw new Error(`there is no '${path}': npm run bench writes it`)
  await measure(path, Number(rest[0] ?? 20))
}
