/** Tensors one after another, in little memory. */
import { cpSync, readFileSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, test } from '@jest/globals'
import {
  type Checkpoint,
  open,
  openSync,
  type StreamOptions,
  type StreamProgress,
} from '../lib/index'
import { writeCheckpoint } from './support/checkpoint-writer'
import { inProcess } from './support/child'
import { FIXTURES } from './support/golden'
import { isTold } from './support/memory'
import { both, refusal, rejection, temporaryFolder, writeSample } from './support/samples'

const folder = temporaryFolder('stream')
const path = writeSample(join(folder, 'sample.pth'))

async function namesOf(checkpoint: Checkpoint, options?: StreamOptions): Promise<string[]> {
  const names: string[] = []
  for await (const tensor of checkpoint.stream(options)) names.push(tensor.name)
  return names
}

/** Storages that lie in the file in another order than the names. */
const mixed = join(folder, 'mixed.pth')
writeCheckpoint(
  mixed,
  ['a', 'b', 'c', 'd'].map((name, i) => {
    return { name, type: 'Float', key: String(3 - i), numel: 4, shape: [4] }
  }),
  ['0', '1', '2', '3'].map((key) => {
    const bytes = new Uint8Array(Float32Array.of(0, 0, 0, Number(key)).buffer)
    return { key, size: 16, parts: [{ offset: 0, bytes }] }
  }),
)

describe('order', () => {
  test('of the file, or as given', async () => {
    for (const checkpoint of await both(mixed)) {
      expect(await namesOf(checkpoint)).toEqual(['d', 'c', 'b', 'a'])
      expect(await namesOf(checkpoint, { order: 'given' })).toEqual(['a', 'b', 'c', 'd'])
      const names = ['b', 'd', 'b']
      expect(await namesOf(checkpoint, { names, order: 'given' })).toEqual(names)
      expect(await namesOf(checkpoint, { names })).toEqual(['d', 'b', 'b'])
      expect(await namesOf(checkpoint, { names: [] })).toEqual([])
      checkpoint.close()
    }
  })

  test('file after file where there are several', async () => {
    const source = join(FIXTURES, 'split/hub-safetensors')
    using checkpoint = openSync(source)
    const names = await namesOf(checkpoint)
    expect([...names].sort()).toEqual([...checkpoint.tensors.keys()].sort())
    expect(names.length).toBeGreaterThan(2)
  })
})

describe('every tensor', () => {
  test.each([
    'torch-2.13/state-dict.pt',
    'torch-1.13/state-dict-legacy.pt',
    'split/hub-bin',
    'dcp/uneven',
    'deepspeed/zero3',
  ])('of %s, the same as without a stream', async (name) => {
    const source = join(FIXTURES, name)
    using plain = openSync(source)
    for (const mmap of [true, false]) {
      for (const release of [true, false]) {
        using checkpoint = openSync(source, { mmap })
        let count = 0
        for await (const tensor of checkpoint.stream({ budget: 4096, release })) {
          expect(checkpoint.tensors.get(tensor.name)).toBe(tensor)
          const wanted = plain.tensors.get(tensor.name)!
          if (tensor.layout === 'strided') expect(tensor.data).toEqual(wanted.data)
          ++count
        }
        expect(count).toBe(plain.tensors.size)
        // Afterwards as before.
        for (const [name, tensor] of checkpoint.tensors) {
          if (tensor.layout === 'strided')
            expect(tensor.data).toEqual(plain.tensors.get(name)!.data)
        }
      }
    }
  })

  test('bytes in memory', async () => {
    using checkpoint = openSync(readFileSync(path))
    const sums: number[] = []
    for await (const { data } of checkpoint.stream()) sums.push(Number(data.at(-1)))
    expect(sums.sort((a, b) => a - b)).toEqual([3, 5, 5, 103])
  })
})

describe('what the consumer has', () => {
  const size = 3 << 20
  const large = join(folder, 'large.pth')
  const specs = ['0', '1', '2', '3'].map((key) => {
    const bytes = new Uint8Array(size).fill(Number(key) + 1)
    return { key, size, parts: [{ offset: 0, bytes }] }
  })
  writeCheckpoint(
    large,
    specs.map(({ key }) => ({ name: key, type: 'Byte', key, numel: size, shape: [size] })),
    specs,
  )

  test.each([true, false])(
    'stays as it is, with what was written to it; release: %j',
    async (release) => {
      using checkpoint = openSync(large)
      const held: Uint8Array[] = []
      for await (const { data } of checkpoint.stream({ release, budget: 1 << 20 })) {
        const view = data as Uint8Array
        view[5] = 99
        view[size >> 1] = 98
        held.push(view)
      }
      for (const [i, view] of held.entries()) {
        expect([view[5], view[size >> 1]]).toEqual([99, 98])
        view[5] = view[size >> 1] = i + 1
        expect(view.every((value) => value === i + 1)).toBe(true)
        expect(checkpoint.tensors.get(String(i))!.data).toBe(view)
      }
    },
  )

  test('pages behind it leave the process', async () => {
    if (!isTold) return
    const ending = inProcess(
      async ({ open }, path) => {
        const { readFileSync } = require('node:fs') as typeof import('node:fs')
        const mapped = () =>
          Number(/^RssFile:\s*(\d+)/m.exec(readFileSync('/proc/self/status', 'utf8'))![1]) / 1024
        const checkpoint = await open(path)
        const before = mapped()
        const seen: number[] = []
        let sum = 0
        for await (const { data } of checkpoint.stream({ budget: 2 ** 20 })) {
          for (const value of data as Uint8Array) sum += value
          seen.push(mapped() - before)
        }
        const after = mapped() - before
        for (const { data } of checkpoint.tensors.values()) sum += Number(data[0])
        return { seen, after, sum }
      },
      [large],
    )
    const { seen, after, sum } = ending.result!
    expect(sum).toBe(size * (1 + 2 + 3 + 4) + 10)
    // One tensor of 3 MiB at a time, never the 12 of all.
    expect(Math.max(...seen)).toBeLessThan(8)
    expect(seen[0]).toBeGreaterThan(2)
    expect(after).toBeLessThan(4)
  })

  test('copies are given up', async () => {
    using checkpoint = openSync(large, { mmap: false })
    const kept = checkpoint.tensors.get('1')!.data
    let first: unknown
    for await (const tensor of checkpoint.stream()) first ??= tensor.data
    expect(checkpoint.tensors.get('0')!.data).not.toBe(first)
    expect(checkpoint.tensors.get('0')!.data).toEqual(first)
    expect(checkpoint.tensors.get('1')!.data).toBe(kept)
  })
})

describe('on the way', () => {
  test('progress', async () => {
    using checkpoint = openSync(mixed)
    const events: StreamProgress[] = []
    await namesOf(checkpoint, { onProgress: (event) => events.push(event) })
    expect(events).toEqual(
      ['d', 'c', 'b', 'a'].map((name, i) => {
        return { phase: 'stream', loaded: 16 * (i + 1), total: 64, name }
      }),
    )
  })

  test('the signal, and what a listener throws, stop it', async () => {
    using checkpoint = openSync(mixed)
    const reason = new Error('enough')
    expect(await rejection(namesOf(checkpoint, { signal: AbortSignal.abort(reason) }))).toBe(reason)
    const controller = new AbortController()
    const names: string[] = []
    const run = async () => {
      for await (const { name } of checkpoint.stream({ signal: controller.signal })) {
        names.push(name)
        if (names.length === 2) controller.abort(reason)
      }
    }
    expect(await rejection(run())).toBe(reason)
    expect(names).toEqual(['d', 'c'])
    const onProgress = () => {
      throw reason
    }
    expect(await rejection(namesOf(checkpoint, { onProgress }))).toBe(reason)
  })

  test('leaving early, and two at a time', async () => {
    using checkpoint = openSync(mixed)
    for await (const { name } of checkpoint.stream()) {
      expect(name).toBe('d')
      break
    }
    const [one, two] = [checkpoint.stream(), checkpoint.stream({ order: 'given' })]
    const pairs: string[] = []
    for (let i = 0; i < 4; ++i) {
      const [a, b] = [await one.next(), await two.next()]
      pairs.push(`${a.value?.name}${b.value?.name}`)
    }
    expect(pairs).toEqual(['da', 'cb', 'bc', 'ad'])
  })

  test('a checkpoint that is closed', async () => {
    const checkpoint = await open(mixed)
    const run = async () => {
      for await (const { data } of checkpoint.stream()) {
        expect(data.length).toBe(4)
        checkpoint.close()
      }
    }
    expect(await rejection(run())).toMatchObject({ code: 'CLOSED' })
    expect(refusal(() => checkpoint.stream())).toMatchObject({ code: 'CLOSED' })
    expect(await rejection(checkpoint.prefetch())).toMatchObject({ code: 'CLOSED' })
  })

  test('a part that is not there', async () => {
    const name = 'split/hub-safetensors'
    const copy = join(folder, 'parts')
    cpSync(join(FIXTURES, name), copy, { recursive: true })
    using whole = openSync(copy)
    const [part] = whole.parts.map(({ path }) => path)
    rmSync(part!)
    using checkpoint = openSync(copy, { parts: 'lazy' })
    expect(await rejection(namesOf(checkpoint))).toMatchObject({ code: 'MISSING_SHARD' })
  })
})

test('options are checked', async () => {
  using checkpoint = openSync(path)
  const wrong: [object, string][] = [
    [{ names: 'weight' }, 'ERR_INVALID_ARG_TYPE'],
    [{ names: 7 }, 'ERR_INVALID_ARG_TYPE'],
    [{ names: ['no'] }, 'NO_SUCH_TENSOR'],
    [{ budget: 0 }, 'ERR_INVALID_ARG_VALUE'],
    [{ budget: '1' }, 'ERR_INVALID_ARG_VALUE'],
    [{ order: 'name' }, 'ERR_INVALID_ARG_VALUE'],
    [{ release: 1 }, 'ERR_INVALID_ARG_TYPE'],
    [{ budgte: 1 }, 'ERR_INVALID_ARG_VALUE'],
    [{ signal: {} }, 'ERR_INVALID_ARG_TYPE'],
  ]
  for (const [options, code] of wrong) {
    const use = async () => checkpoint.stream(options as StreamOptions)
    expect(await rejection(use())).toMatchObject({ code })
  }
})

test('prefetch brings bytes into the page cache', async () => {
  for (const name of ['torch-2.13/state-dict.pt', 'split/hub-bin', 'dcp/uneven']) {
    using checkpoint = openSync(join(FIXTURES, name))
    await checkpoint.prefetch()
    await checkpoint.prefetch([...checkpoint.tensors.keys()].slice(0, 1))
    const error = await rejection(checkpoint.prefetch(['no']))
    expect(error).toMatchObject({ code: 'NO_SUCH_TENSOR' })
  }
})
