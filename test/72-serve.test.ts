/** The example that serves tensors over HTTP: many clients at a time, each at its own pace. */
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { get, type IncomingMessage } from 'node:http'
import { join } from 'node:path'
import { buffer } from 'node:stream/consumers'
import { setTimeout as pause } from 'node:timers/promises'
import { afterAll, beforeAll, expect, test } from '@jest/globals'
import { openSync } from '../lib/index'
import { writeCheckpoint } from './support/checkpoint-writer'
import { isTold } from './support/memory'
import { temporaryFolder } from './support/samples'

const folder = temporaryFolder('serve')
const path = join(folder, 'served.pth')
const size = 4 << 20
const keys = ['0', '1', '2', '3']
writeCheckpoint(
  path,
  keys.map((key) => ({
    name: `layer ${key}/w`,
    type: 'Byte',
    key,
    numel: size,
    shape: [4, size / 4],
  })),
  keys.map((key) => {
    const bytes = Uint8Array.from(
      { length: size },
      (_, i) => (i * 31 + (i >> 8) + Number(key)) & 255,
    )
    return { key, size, parts: [{ offset: 0, bytes }] }
  }),
)
const wanted = new Map(
  [...openSync(path).tensors].map(([name, tensor]) => [name, Buffer.from(tensor.bytes())]),
)

let server: ChildProcess
let url = ''

beforeAll(async () => {
  const script = join(__dirname, '..', 'examples', 'serve.mjs')
  server = spawn(process.execPath, [script, path, '0'], { stdio: ['ignore', 'pipe', 'inherit'] })
  const [line] = (await once(server.stdout!, 'data')) as [Buffer]
  url = String(line).trim()
})
afterAll(() => {
  server.kill()
})

const place = (name: string) => `${url}tensors/${encodeURIComponent(name)}`

async function bytesOf(target: string, headers: Record<string, string> = {}) {
  const response = await fetch(target, { headers })
  return { response, body: Buffer.from(await response.arrayBuffer()) }
}

test('lists tensors', async () => {
  const rows = (await (await fetch(url)).json()) as object[]
  expect(rows).toEqual(
    keys.map((key) => {
      return { name: `layer ${key}/w`, dtype: 'uint8', shape: [4, size / 4], byteLength: size }
    }),
  )
})

test('a tensor, and ranges of it', async () => {
  const all = wanted.get('layer 2/w')!
  const { response, body } = await bytesOf(place('layer 2/w'))
  expect([response.status, body.equals(all)]).toEqual([200, true])
  expect(response.headers.get('x-shape')).toBe(`4,${size / 4}`)
  const ranges: [string, number, number][] = [
    ['bytes=0-0', 0, 1],
    ['bytes=1000-1999', 1000, 2000],
    [`bytes=${size - 5}-`, size - 5, size],
    ['bytes=-7', size - 7, size],
    [`bytes=10-${size * 2}`, 10, size],
    ['bytes=262100-786500', 262100, 786501],
  ]
  for (const [range, start, end] of ranges) {
    const part = await bytesOf(place('layer 2/w'), { range })
    expect(part.response.status).toBe(206)
    expect(part.response.headers.get('content-range')).toBe(`bytes ${start}-${end - 1}/${size}`)
    expect(part.body.equals(all.subarray(start, end))).toBe(true)
  }
  for (const range of [`bytes=${size}-`, 'bytes=5-4', 'bytes=-', 'lines=1-2']) {
    const { status } = (await bytesOf(place('layer 2/w'), { range })).response
    expect(status).toBe(416)
  }
})

test('a safetensors file', async () => {
  const some = `${url}model.safetensors?name=layer%201/w&name=layer%203/w`
  for (const [target, names] of [
    [`${url}model.safetensors`, [...wanted.keys()]],
    [some, ['layer 1/w', 'layer 3/w']],
  ] as const) {
    const { response, body } = await bytesOf(target)
    expect(Number(response.headers.get('content-length'))).toBe(body.length)
    using checkpoint = openSync(body)
    expect([...checkpoint.tensors.keys()]).toEqual(names)
    for (const [name, tensor] of checkpoint.tensors) {
      expect(Buffer.from(tensor.bytes()).equals(wanted.get(name)!)).toBe(true)
    }
  }
})

test('what is not there', async () => {
  for (const target of [place('no'), `${url}model.safetensors?name=no`, `${url}else`]) {
    const { response, body } = await bytesOf(target)
    expect(response.status).toBe(404)
    expect(JSON.parse(String(body)).error).toMatch(/no/)
  }
})

/** MiB of anonymous memory of the server. */
const anonymous = () =>
  Number(/^RssAnon:\s*(\d+)/m.exec(readFileSync(`/proc/${server.pid}/status`, 'utf8'))![1]) / 1024

test('a hundred clients at a time', async () => {
  const names = [...wanted.keys()]
  // Each with a connection of its own: of those that wait the server closes some after a while.
  const fetched = async (i: number) => {
    const name = names[i % names.length]!
    const [response] = (await once(get(place(name), { agent: false }), 'response')) as [
      IncomingMessage,
    ]
    return (await buffer(response)).equals(wanted.get(name)!)
  }
  const rounds = async (count: number) => {
    for (let round = 0; round < count; ++round) {
      const results = await Promise.all(Array.from({ length: 100 }, (_, i) => fetched(i + round)))
      expect(results.every(Boolean)).toBe(true)
    }
  }
  await rounds(1)
  const before = isTold ? anonymous() : 0
  await rounds(2)
  // 800 MiB went through it meanwhile.
  if (isTold) expect(anonymous() - before).toBeLessThan(100)
})

test('clients that read slowly, or go away, hold up nobody and cost no memory', async () => {
  const slow = await Promise.all(
    Array.from({ length: 20 }, async (_, i) => {
      const [response] = (await once(get(place(`layer ${i % 4}/w`)), 'response')) as [
        IncomingMessage,
      ]
      response.pause()
      return response
    }),
  )
  await pause(50)
  if (isTold) expect(anonymous()).toBeLessThan(300)
  const { body } = await bytesOf(place('layer 0/w'))
  expect(body.equals(wanted.get('layer 0/w')!)).toBe(true)
  for (const response of slow) response.destroy()
  await pause(50)
  expect((await fetch(url)).status).toBe(200)
})
