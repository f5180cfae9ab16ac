/** Checkpoints behind URLs: what is asked for, and what comes. */
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { Readable } from 'node:stream'
import { buffer } from 'node:stream/consumers'
import { afterAll, beforeAll, beforeEach, describe, expect, test } from '@jest/globals'
import {
  type ByteSource,
  type Checkpoint,
  type LoadProgress,
  open,
  openSync,
  type Tensor,
  type TensorData,
} from '../lib/index'
import { writeCheckpoint } from './support/checkpoint-writer'
import { FIXTURES } from './support/golden'
import { RangeServer } from './support/range-server'
import { COUNT, isRamp, LONG, names, SIZE, writeLarge } from './support/remote-samples'
import { ramp, refusal, rejection, temporaryFolder, tensorOf, writeSample } from './support/samples'

const folder = temporaryFolder('remote')
const sample = writeSample(join(folder, 'sample.pth'))

const large = writeLarge(join(folder, 'large.pth'))

const server = new RangeServer()
let [url, small] = ['', '']
beforeAll(async () => {
  await server.start()
  url = server.add('large.pth', readFileSync(large))
  small = server.add('sample.pth', readFileSync(sample))
})
afterAll(() => server.close())
beforeEach(() => server.reset())

const bytesAskedFor = () =>
  server.requests.reduce(
    (sum, { range }) => sum + (range === undefined ? 0 : range[1] - range[0]),
    0,
  )

describe('opening', () => {
  test('takes the first bytes, the directory, and nothing else', async () => {
    const checkpoint = await open(url)
    expect(server.requests.length).toBe(2)
    expect(bytesAskedFor()).toBeLessThan(300_000)
    expect(checkpoint).toMatchObject({
      format: 'zip',
      path: url,
      isMapped: false,
      size: statOf(large),
    })
    expect([...checkpoint.tensors.keys()]).toEqual([...names, 'tail'])
    expect(checkpoint.identity).toBeUndefined()
    expect(checkpoint.parts).toEqual([{ path: url, isOpen: true }])
    expect([...(checkpoint.root as Map<string, Tensor>).keys()]).toEqual([...names, 'tail'])
    expect(server.requests.length).toBe(2)
  })

  test('what the path shows has no query', async () => {
    const checkpoint = await open(new URL(`${small}?signature=secret#part`))
    expect(checkpoint.path).toBe(small)
    expect(server.requests[0]!.headers.range).toBe('bytes=0-65535')
  })

  test('an empty object, and one that is no checkpoint', async () => {
    const empty = await rejection(open(server.add('empty', new Uint8Array(0))))
    expect(empty).toMatchObject({ code: 'NOT_A_CHECKPOINT', path: server.url('empty') })
    const text = server.add('text', Buffer.from('<html>not found</html>'))
    expect(await rejection(open(text))).toMatchObject({ code: 'NOT_A_CHECKPOINT', path: text })
  })

  test('arguments', async () => {
    expect(() => openSync(url)).toThrow(/something that is here; open\(\) reaches/)
    expect(() => openSync(new Blob(['x']) as never)).toThrow(/something that is here/)
    expect(await rejection(open('http://user:secret@localhost/x'))).toMatchObject({
      code: 'ERR_INVALID_ARG_VALUE',
    })
    expect(String(await rejection(open('http://user:secret@localhost/x')))).not.toMatch('secret')
    expect(await rejection(open('https://'))).toMatchObject({ code: 'ERR_INVALID_ARG_VALUE' })
    for (const options of [{ salvage: true }, { verify: true }]) {
      expect(String(await rejection(open(url, options)))).toMatch(/elsewhere/)
    }
    for (const remote of [
      { connections: 0 },
      { retries: -1 },
      { timeout: Number.NaN },
      { cache: '' },
      { fetch: 1 },
      { conections: 1 },
    ]) {
      expect(await rejection(open(url, { remote: remote as never }))).toMatchObject({
        code: expect.stringMatching(/^ERR_INVALID_ARG/),
      })
    }
    expect(await rejection(open([url, large]))).toMatchObject({ code: 'ERR_INVALID_ARG_VALUE' })
    expect(server.requests.length).toBe(0)
  })
})

describe('loading', () => {
  test('one tensor takes one request of its bytes', async () => {
    const checkpoint = await open(url)
    server.reset()
    const tensor = tensorOf(checkpoint, 'layer.7')
    expect(tensor.isLoaded).toBe(false)
    const data = await tensor.load()
    expect(isRamp(data, 7)).toBe(true)
    expect(tensor.data).toBe(data)
    expect(tensor.isLoaded).toBe(true)
    expect(server.requests.length).toBe(1)
    expect(bytesAskedFor()).toBeLessThan(SIZE + 512)
    expect(tensorOf(checkpoint, 'layer.8').isLoaded).toBe(false)
    await tensor.load()
    await checkpoint.load(['layer.7'])
    expect(server.requests.length).toBe(1)
  })

  test('a view takes its own bytes of a long storage', async () => {
    const checkpoint = await open(url)
    server.reset()
    expect(await tensorOf(checkpoint, 'tail').load()).toEqual(ramp(16, 7))
    expect(bytesAskedFor()).toBeLessThan(1024)
  })

  test('what is not here says so', async () => {
    const checkpoint = await open(url)
    const tensor = tensorOf(checkpoint, 'layer.3')
    for (const use of [
      () => tensor.data,
      () => tensor.bytes(),
      () => tensor.toFloat32(),
      () => tensor.readIntoSync(new Uint8Array(SIZE)),
    ]) {
      const error = refusal(use)
      expect(error).toMatchObject({ code: 'NOT_LOADED', name: 'StateError', path: url })
      expect(error.message).toContain("storage '3'")
    }
    expect(tensor.isZeroCopy).toBe(false)
  })

  test('many at one time are fetched together, and nothing twice', async () => {
    const checkpoint = await open(url, { remote: { connections: 2 } })
    server.reset()
    const chosen = names.slice(0, 8)
    const all = await Promise.all(chosen.map((name) => tensorOf(checkpoint, name).load()))
    expect(server.requests.length).toBe(1)
    for (const [i, data] of all.entries()) expect(isRamp(data, i)).toBe(true)
    server.latency = 20
    const first = checkpoint.load()
    await new Promise(setImmediate)
    const again = checkpoint.load(chosen.concat('layer.20'))
    const [loaded, part] = await Promise.all([first, again])
    server.latency = 0
    expect([...loaded.keys()]).toEqual([...names, 'tail'])
    expect([...part.keys()]).toEqual(chosen.concat('layer.20'))
    expect(bytesAskedFor()).toBeLessThan(statOf(large) - LONG + 100_000)
    for (const [i, name] of names.entries())
      expect(isRamp(tensorOf(checkpoint, name).data, i)).toBe(true)
  })

  test('tensors over one storage have one buffer', async () => {
    const checkpoint = await open(small)
    await checkpoint.load()
    const [weight, tied] = [tensorOf(checkpoint, 'weight'), tensorOf(checkpoint, 'tied')]
    expect(weight.data.buffer).toBe(tied.data.buffer)
    weight.data[0] = 42
    expect(tied.data[0]).toBe(42)
    expect(tensorOf(checkpoint, 'column').data).toEqual(Float32Array.of(42, 3))
  })

  test('long storages share a buffer, and come again when somebody has moved it away', async () => {
    const numel = 2 ** 18 + 3
    const path = join(folder, 'long.pth')
    const letters = ['a', 'b', 'c']
    const three = letters.map((name, i) => ({ name, key: String(i), i }))
    writeCheckpoint(
      path,
      three.map(({ name, key }) => ({ name, type: 'Float', key, numel, shape: [numel] })),
      three.map(({ key, i }) => {
        const bytes = new Uint8Array(ramp(numel, i).buffer)
        return { key, size: 4 * numel, parts: [{ offset: 0, bytes }] }
      }),
    )
    const checkpoint = await open(server.add('long.pth', readFileSync(path)))
    const expectRamp = (name: string) => {
      const wanted = new Uint8Array(ramp(numel, letters.indexOf(name)).buffer)
      expect(Buffer.compare(tensorOf(checkpoint, name).bytes(), wanted)).toBe(0)
    }
    await checkpoint.load()
    for (const name of ['a', 'b']) expectRamp(name)
    const [a, b] = [tensorOf(checkpoint, 'a').data, tensorOf(checkpoint, 'b').data]
    const buffer = a.buffer as ArrayBuffer
    expect(b.buffer).toBe(buffer)
    expect(b.byteOffset).toBeGreaterThanOrEqual(a.byteOffset + a.byteLength)
    structuredClone(buffer, { transfer: [buffer] })
    expect(tensorOf(checkpoint, 'c').isLoaded).toBe(false)
    expect(refusal(() => tensorOf(checkpoint, 'c').bytes())).toMatchObject({ code: 'NOT_LOADED' })
    await checkpoint.load()
    expectRamp('c')
  })

  test('what was written to a part that was here stays, and is no damage', async () => {
    const golden = join(FIXTURES, 'torch-2.13/tied.pt')
    const checkpoint = await open(server.add('tied.pt', readFileSync(golden)))
    const row = (await tensorOf(checkpoint, 'decoder.row').load()) as Float32Array
    expect(row.length).toBeLessThan(tensorOf(checkpoint, 'decoder.weight').size)
    row[0] = 42
    await checkpoint.load()
    const { storageOffset } = tensorOf(checkpoint, 'decoder.row')
    const wanted = tensorOf(openSync(golden), 'decoder.weight').data.slice()
    wanted[storageOffset] = 42
    expect(tensorOf(checkpoint, 'decoder.weight').data).toEqual(wanted)
  })

  test('a stream gives up what others are fetching, and they get it all the same', async () => {
    const checkpoint = await open(url, { remote: { connections: 2 } })
    server.latency = 5
    const streamed = (async () => {
      let count = 0
      for await (const { data } of checkpoint.stream({ names, budget: 4 * SIZE }))
        if (isRamp(data, count)) ++count
      return count
    })()
    for (let i = COUNT - 1; i > 0; i -= 7) {
      const name = `layer.${i}`
      expect(isRamp(await tensorOf(checkpoint, name).load(), i)).toBe(true)
    }
    expect(await streamed).toBe(COUNT)
    server.latency = 0
  })

  test('thousands one by one cost no more than all together', async () => {
    const path = join(folder, 'many.pth')
    const many = Array.from({ length: 5_000 }, (_, i) => `t${i}`)
    writeCheckpoint(
      path,
      many.map((name, i) => ({ name, type: 'Byte', key: String(i), numel: 8, shape: [8] })),
      many.map((_, i) => {
        return { key: String(i), size: 8, parts: [{ offset: 0, bytes: Buffer.alloc(8, i) }] }
      }),
    )
    const checkpoint = await open(server.add('many.pth', readFileSync(path)))
    server.reset()
    const all = await Promise.all(Array.from(checkpoint.tensors.values(), (one) => one.load()))
    expect(all.every((data, i) => data[7] === (i & 255))).toBe(true)
    expect(server.requests.length).toBeLessThan(20)
  })

  test('progress comes to the total, in bytes', async () => {
    const checkpoint = await open(url)
    const seen: LoadProgress[] = []
    server.latency = 30
    await checkpoint.load(names, { onProgress: (progress) => seen.push(progress) })
    server.latency = 0
    const total = COUNT * SIZE
    expect(seen.length).toBeGreaterThan(1)
    for (const { phase, total: whole, name } of seen) {
      expect({ phase, whole }).toEqual({ phase: 'load', whole: total })
      expect(names).toContain(name)
    }
    const loaded = seen.map((progress) => progress.loaded)
    expect(loaded).toEqual([...loaded].sort((a, b) => a - b))
    expect(loaded[0]).toBe(0)
    expect(loaded.at(-1)).toBe(total)
    const stop = new Error('enough')
    const failed = checkpoint.load(['tail'], {
      onProgress: () => {
        throw stop
      },
    })
    expect(await rejection(failed)).toBe(stop)
  })

  test('is stopped by a signal, which others that want the same survive', async () => {
    const checkpoint = await open(url)
    server.latency = 50
    const control = new AbortController()
    const [mine, other] = [
      rejection(checkpoint.load(names, { signal: control.signal })),
      checkpoint.load(['layer.5']),
    ]
    await new Promise((resolve) => setTimeout(resolve, 10))
    control.abort(new Error('mine'))
    expect(await mine).toMatchObject({ message: 'mine' })
    await other
    expect(isRamp(tensorOf(checkpoint, 'layer.5').data, 5)).toBe(true)
    const alone = new AbortController()
    const stopped = rejection(checkpoint.load(['tail'], { signal: alone.signal }))
    alone.abort(new Error('alone'))
    expect(await stopped).toMatchObject({ message: 'alone' })
    expect(tensorOf(checkpoint, 'tail').isLoaded).toBe(false)
    server.latency = 0
    expect(await tensorOf(checkpoint, 'tail').load()).toEqual(ramp(16, 7))
  })

  test('is stopped by closing', async () => {
    const checkpoint = await open(url)
    server.latency = 30
    const loading = rejection(checkpoint.load())
    await new Promise((resolve) => setTimeout(resolve, 10))
    checkpoint.close()
    server.latency = 0
    expect(await loading).toMatchObject({ code: 'CLOSED' })
    expect(await rejection(checkpoint.load())).toMatchObject({ code: 'CLOSED' })
  })
})

describe('what else reads elements', () => {
  test('readInto and readAllInto fetch first', async () => {
    const checkpoint = await open(url)
    const target = new Float32Array(SIZE / 4)
    expect(await tensorOf(checkpoint, 'layer.2').readInto(target)).toBe(SIZE)
    expect(isRamp(target, 2)).toBe(true)
    const more = new Map(['layer.3', 'layer.4'].map((name) => [name, new Uint8Array(SIZE)]))
    await checkpoint.readAllInto(more)
    expect(isRamp(new Float32Array(more.get('layer.4')!.buffer), 4)).toBe(true)
  })

  test('a stream gives up what it fetched, behind the consumer', async () => {
    const checkpoint = await open(url)
    const kept = await tensorOf(checkpoint, 'layer.9').load()
    const held: TensorData[] = []
    for await (const tensor of checkpoint.stream({ names, budget: 8 * SIZE })) {
      held.push(tensor.data)
      expect(names.filter((name) => tensorOf(checkpoint, name).isLoaded).length).toBeLessThan(14)
    }
    // What the consumer has stays what it was.
    expect(held.every(isRamp)).toBe(true)
    expect(names.filter((name) => tensorOf(checkpoint, name).isLoaded)).toEqual(['layer.9'])
    expect(tensorOf(checkpoint, 'layer.9').data).toBe(kept)
  })

  test('a stream that is left stops fetching, and keeps nothing of what came ahead', async () => {
    const checkpoint = await open(url)
    await checkpoint.load(['layer.3'])
    server.latency = 20
    for await (const { data } of checkpoint.stream({ names, budget: 32 * SIZE })) {
      expect(isRamp(data, 0)).toBe(true)
      break
    }
    server.latency = 0
    await new Promise((resolve) => setTimeout(resolve, 50))
    const { length } = server.requests
    await new Promise((resolve) => setTimeout(resolve, 50))
    expect(server.requests.length).toBe(length)
    expect(names.filter((name) => tensorOf(checkpoint, name).isLoaded)).toEqual(['layer.3'])
  })

  test('readable gives the same bytes as of the file', async () => {
    const [there, here] = [await open(url), openSync(large)]
    const bytes = async (checkpoint: Checkpoint) =>
      buffer(Readable.fromWeb(checkpoint.readable({ names }) as never))
    expect(Buffer.compare(await bytes(there), await bytes(here))).toBe(0)
  })

  test('there is no handle', async () => {
    const [single, parts] = [await open(url), await open([url, small])]
    const error = refusal(() => parts.handle())
    expect(error).toMatchObject({ code: 'UNSUPPORTED_FORMAT', feature: 'handle' })
    expect(refusal(() => single.handle())).toMatchObject({ code: 'UNSUPPORTED_FORMAT' })
  })

  test('verify says that it is elsewhere', async () => {
    const [verdict, ...others] = await (await open(url)).verify()
    expect(others).toEqual([])
    expect(verdict).toMatchObject({ verdict: 'none', message: expect.stringMatching(/elsewhere/) })
  })
})

describe('a source of the caller', () => {
  const bytes = readFileSync(large)

  test.each<[string, () => ByteSource | Blob]>([
    [
      'ArrayBuffers',
      () => ({
        byteLength: bytes.length,
        slice: (a: number, b: number) => new Uint8Array(bytes).slice(a, b).buffer,
      }),
    ],
    [
      'views, in time',
      () => ({
        byteLength: bytes.length,
        slice: async (a: number, b: number) => bytes.subarray(a, b),
      }),
    ],
    ['a Blob', () => new Blob([bytes])],
  ])('of %s', async (_, make) => {
    const checkpoint = await open(make())
    expect(checkpoint.path).toBeUndefined()
    await checkpoint.load()
    for (const [i, name] of names.entries())
      expect(isRamp(tensorOf(checkpoint, name).data, i)).toBe(true)
  })

  test('that fails, gives too little, or changes', async () => {
    let length = bytes.length
    let slice: ByteSource['slice'] = (a, b) => bytes.subarray(a, b)
    const source: ByteSource = {
      get byteLength() {
        return length
      },
      slice: (a, b) => slice(a, b),
    }
    const checkpoint = await open(source)
    const good = slice
    const own = new Error('mine')
    slice = () => Promise.reject(own)
    expect(await rejection(checkpoint.load(['layer.1']))).toBe(own)
    slice = (a, b) => bytes.subarray(a, b - 1)
    expect(await rejection(checkpoint.load(['layer.1']))).toMatchObject({ code: 'REMOTE_FAILED' })
    slice = () => 'text' as never
    expect(await rejection(checkpoint.load(['layer.1']))).toMatchObject({ code: 'REMOTE_UNSUITED' })
    slice = good
    length -= 1
    expect(await rejection(checkpoint.load(['layer.1']))).toMatchObject({ code: 'FILE_CHANGED' })
    length += 1
    expect(isRamp(await tensorOf(checkpoint, 'layer.1').load(), 1)).toBe(true)
  })
})

function statOf(path: string): number {
  return readFileSync(path).length
}
