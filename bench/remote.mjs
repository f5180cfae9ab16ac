// remote.mjs [FILE] [LATENCY] (with node --expose-gc): loads FILE (large.pth of the benchmark's inputs) from a server in a process of its own that
// answers LATENCY (20) ms late: requests and bytes up to the first tensor, then all tensors, beside plain downloads of
// the whole file by Node's client and by curl, to nowhere. Medians of interleaved rounds.

import { execFileSync, fork } from 'node:child_process'
import { once } from 'node:events'
import { createReadStream, existsSync, statSync } from 'node:fs'
import { createServer, get } from 'node:http'
import { createRequire } from 'node:module'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { folder } from './inputs.mjs'

const require = createRequire(import.meta.url)
const ROUNDS = 5
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
  const times = {
    'curl, to nowhere': [],
    'Node, to nowhere': [],
    'Node, into memory': [],
    'torchmap, all tensors': [],
  }
  const firsts = []
  let first
  for (let round = 0; round < ROUNDS; ++round) {
    times['Node, to nowhere'].push(await clock(() => download(url)))
    times['curl, to nowhere'].push(
      await clock(() => execFileSync('curl', ['-s', '-o', '/dev/null', url])),
    )
    times['Node, into memory'].push(await clock(() => download(url, new Uint8Array(size))))
    await asked()
    let checkpoint
    const start = performance.now()
    checkpoint = await open(url)
    const [tensor] = checkpoint.tensors.values()
    await tensor.load()
    firsts.push(performance.now() - start)
    first = { ...(await asked()), name: tensor.name, own: tensor.byteLength }
    times['torchmap, all tensors'].push((await clock(() => checkpoint.load())) + firsts.at(-1))
    checkpoint.close()
  }
  server.kill()
  const { requests, bytes, name, own } = first
  console.log(`${path}: ${size} bytes, ${latency} ms before each answer`)
  console.log(
    `  first tensor ('${name}', ${own} bytes) after ${requests} requests, ${bytes} bytes ` +
      `(${((100 * bytes) / size).toFixed(3)} % of the file), ${median(firsts).toFixed(0)} ms`,
  )
  for (const [what, all] of Object.entries(times)) {
    const ms = median(all)
    const spread = `${Math.min(...all).toFixed(0)}-${Math.max(...all).toFixed(0)}`
    console.log(
      `  ${what.padEnd(22)} ${ms.toFixed(0).padStart(6)} ms (${spread}), ${(size / ms / 1e6).toFixed(2)} GB/s, ` +
        Object.entries(times)
          .filter(([other]) => other !== what && what.startsWith('torchmap'))
          .map(([other, them]) => `${(median(them) / ms).toFixed(2)} of ${other}`)
          .join('; '),
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
