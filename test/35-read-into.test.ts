/** Elements written straight to memory of the caller. */
import {
  appendFileSync,
  copyFileSync,
  existsSync,
  readdirSync,
  readFileSync,
  truncateSync,
} from 'node:fs'
import { join } from 'node:path'
import { describe, expect, test } from '@jest/globals'
import { type Checkpoint, type LoadProgress, open, openSync, type Tensor } from '../lib/index'
import { writeCheckpoint } from './support/checkpoint-writer'
import { FIXTURES } from './support/golden'
import { both, refusal, rejection, temporaryFolder, writeSample } from './support/samples'

const folder = temporaryFolder('read-into')
const path = writeSample(join(folder, 'sample.pth'))

/** Tensors with elements of their own. */
const dense = ({ tensors }: Checkpoint): Tensor[] =>
  [...tensors.values()].filter(({ layout, isMeta, shape }) => {
    return layout === 'strided' && !isMeta && !shape.includes(-1)
  })

/** What lib.dom has a type for. */
interface Modules {
  Memory: new (size: { initial: number }) => { readonly buffer: ArrayBuffer }
}

const bytesOf = (view: ArrayBufferView) =>
  Buffer.from(view.buffer, view.byteOffset, view.byteLength)

/** What `use` gives, or the code of what it throws. */
async function orCode<T>(use: () => T | Promise<T>): Promise<T | string> {
  try {
    return await use()
  } catch (error) {
    return (error as { code: string }).code
  }
}

describe('every golden', () => {
  const files = ['torch-1.13', 'torch-2.13', 'safetensors', 'dcp', 'split', 'deepspeed'].flatMap(
    (set) =>
      readdirSync(join(FIXTURES, set))
        .filter((file) => /\.(pt|pth|bin|safetensors|pt2)$/.test(file) || !file.includes('.'))
        .map((file) => join(set, file)),
  )

  test('gives the bytes of data, and float32 those of toFloat32()', async () => {
    let [tensors, converted, refused] = [0, 0, 0]
    for (const file of files) {
      const source = join(FIXTURES, file)
      for (const mmap of [true, false]) {
        let checkpoint: Checkpoint
        try {
          checkpoint = openSync(source, { mmap })
        } catch {
          continue
        }
        for (const tensor of dense(checkpoint)) {
          const wanted = await orCode(() => bytesOf(tensor.bytes()))
          const target = Buffer.alloc(tensor.byteLength, 0xee)
          const again = Buffer.alloc(tensor.byteLength, 0xee)
          const told = await orCode(() => tensor.readInto(target))
          expect(await orCode(() => tensor.readIntoSync(again))).toBe(told)
          if (typeof wanted === 'string') {
            expect(told).toBe(wanted)
            ++refused
            continue
          }
          expect(told).toBe(tensor.byteLength)
          expect(target.equals(wanted)).toBe(true)
          expect(again.equals(wanted)).toBe(true)
          const floats = await orCode(() => bytesOf(tensor.toFloat32()))
          const as = new Float32Array(tensor.size)
          const wide = await orCode(() => tensor.readInto(as, { dtype: 'float32' }))
          if (typeof floats === 'string') expect(wide).toBe(floats)
          else {
            expect(wide).toBe(as.byteLength)
            expect(bytesOf(as).equals(floats)).toBe(true)
            ++converted
          }
          ++tensors
        }
        checkpoint.close()
      }
    }
    expect(tensors).toBeGreaterThan(1500)
    expect(converted).toBeGreaterThan(1000)
    expect(refused).toBeLessThan(tensors / 10)
  })
})

describe('targets', () => {
  const { Memory } = (globalThis as never as Record<'WebAssembly', Modules>).WebAssembly
  const memory = () => new Memory({ initial: 1 }).buffer
  const kinds: Record<string, () => ArrayBuffer | SharedArrayBuffer | ArrayBufferView> = {
    ArrayBuffer: () => new ArrayBuffer(24),
    SharedArrayBuffer: () => new SharedArrayBuffer(24),
    'a view of shared memory': () => new Float32Array(new SharedArrayBuffer(64), 8, 6),
    Float32Array: () => new Float32Array(6),
    Buffer: () => Buffer.alloc(24),
    DataView: () => new DataView(new ArrayBuffer(40), 5, 24),
    'the memory of a module': memory,
  }
  test.each(Object.entries(kinds))('%s', async (_, make) => {
    for (const checkpoint of await both(path)) {
      const tensor = checkpoint.tensors.get('weight')!
      for (const isSync of [true, false]) {
        const target = make()
        const view = ArrayBuffer.isView(target) ? target : new Uint8Array(target)
        const count = isSync ? tensor.readIntoSync(target) : await tensor.readInto(target)
        expect(count).toBe(24)
        expect(bytesOf(view).subarray(0, 24)).toEqual(bytesOf(tensor.data))
        expect(
          bytesOf(view)
            .subarray(24)
            .every((byte) => byte === 0),
        ).toBe(true)
      }
      checkpoint.close()
    }
  })

  test('offset counts from the view, and nothing around is written to', async () => {
    using checkpoint = openSync(path)
    const tensor = checkpoint.tensors.get('weight')!
    const buffer = Buffer.alloc(64, 7)
    await tensor.readInto(buffer.subarray(8, 48), { offset: 4, dtype: 'float32' })
    expect(buffer.subarray(12, 36)).toEqual(bytesOf(tensor.data))
    expect([...buffer.subarray(0, 12), ...buffer.subarray(36)]).toEqual(Array(40).fill(7))
  })

  test('strided tensors and bytes in memory', async () => {
    for (const source of [path, readFileSync(path)]) {
      using checkpoint = openSync(source)
      const target = new Float32Array(2)
      expect(await checkpoint.tensors.get('column')!.readInto(target)).toBe(8)
      expect([...target]).toEqual([0, 3])
      expect(checkpoint.tensors.get('other')!.readIntoSync(new ArrayBuffer(16))).toBe(16)
    }
  })

  test('what does not fit is refused before anything is written', async () => {
    using checkpoint = openSync(path)
    const tensor = checkpoint.tensors.get('weight')!
    const cases: [unknown, object, string, string][] = [
      [new ArrayBuffer(23), {}, 'ERR_INVALID_ARG_VALUE', 'at least 24 bytes from byte 0'],
      [new ArrayBuffer(24), { offset: 4 }, 'ERR_INVALID_ARG_VALUE', 'from byte 4'],
      [new ArrayBuffer(64), { offset: -4 }, 'ERR_INVALID_ARG_VALUE', 'offset'],
      [new ArrayBuffer(64), { offset: 0.5 }, 'ERR_INVALID_ARG_VALUE', 'offset'],
      [new ArrayBuffer(24), { dtype: 'float16' }, 'ERR_INVALID_ARG_VALUE', "'float32'"],
      [new ArrayBuffer(24), { offest: 0 }, 'ERR_INVALID_ARG_VALUE', 'offset'],
      [[1, 2, 3], {}, 'ERR_INVALID_ARG_TYPE', 'a view of one'],
      [undefined, {}, 'ERR_INVALID_ARG_TYPE', 'a view of one'],
    ]
    for (const [target, options, code, text] of cases) {
      const use = () => tensor.readIntoSync(target as ArrayBuffer, options)
      for (const error of [
        await rejection((async () => use())()),
        await rejection(tensor.readInto(target as ArrayBuffer, options)),
      ]) {
        expect(error).toMatchObject({ code })
        expect(error.message).toContain(text)
      }
    }
  })

  test('memory that can shrink is not written to by other threads', async () => {
    const Resizable = ArrayBuffer as unknown as new (n: number, o: object) => ArrayBuffer
    using checkpoint = openSync(path)
    const tensor = checkpoint.tensors.get('weight')!
    const target = new Resizable(24, { maxByteLength: 48 })
    expect(await rejection(tensor.readInto(target))).toMatchObject({
      code: 'ERR_INVALID_ARG_VALUE',
    })
    expect(tensor.readIntoSync(target)).toBe(24)
  })

  test('float32 needs a multiple of 4', async () => {
    const half = join(folder, 'half.pth')
    writeCheckpoint(
      half,
      [{ name: 'h', type: 'Half', key: '0', numel: 3, shape: [3] }],
      [{ key: '0', size: 6, parts: [{ offset: 0, bytes: Uint8Array.of(0, 60, 0, 64, 0, 66) }] }],
    )
    using checkpoint = openSync(half)
    const tensor = checkpoint.tensors.get('h')!
    const target = new Uint8Array(24)
    const options = { dtype: 'float32', offset: 2 } as const
    expect(() => tensor.readIntoSync(target, options)).toThrow('multiple of 4')
    expect(await tensor.readInto(target, { ...options, offset: 8 })).toBe(12)
    expect([...new Float32Array(target.buffer)]).toEqual([0, 0, 1, 2, 3, 0])
  })
})

describe('a large tensor', () => {
  const count = 9_000_001
  const large = join(folder, 'large.pth')
  const halves = Uint16Array.from({ length: count }, (_, i) => (i * 40503) & 0x7bff)
  writeCheckpoint(
    large,
    [
      { name: 'all', type: 'Half', key: '0', numel: count, shape: [count] },
      { name: 'inside', type: 'Half', key: '0', numel: count, offset: 1, shape: [count - 1] },
    ],
    [{ key: '0', size: 2 * count, parts: [{ offset: 0, bytes: bytesOf(halves) }] }],
  )

  test('is read and converted by several threads', async () => {
    using checkpoint = await open(large)
    for (const tensor of checkpoint.tensors.values()) {
      const floats = new Float32Array(tensor.size)
      const events: LoadProgress[] = []
      const onProgress = (event: LoadProgress) => events.push(event)
      await tensor.readInto(floats, { dtype: 'float32', onProgress })
      expect(bytesOf(floats).equals(bytesOf(tensor.toFloat32()))).toBe(true)
      const plain = new SharedArrayBuffer(tensor.byteLength)
      tensor.readIntoSync(plain)
      expect(Buffer.from(plain).equals(bytesOf(tensor.data))).toBe(true)
      const total = tensor.byteLength
      expect(events[0]).toEqual({ phase: 'load', loaded: 0, total, name: tensor.name })
      expect(events.at(-1)).toEqual({ phase: 'load', loaded: total, total, name: tensor.name })
      events.reduce((before, { loaded }) => {
        expect(loaded).toBeGreaterThanOrEqual(before)
        return loaded
      }, 0)
    }
  })

  test('stops when asked to', async () => {
    using checkpoint = await open(large)
    const tensor = checkpoint.tensors.get('all')!
    const target = new Float32Array(count)
    const reason = new Error('enough')
    const aborted = { dtype: 'float32', signal: AbortSignal.abort(reason) } as const
    expect(await rejection(tensor.readInto(target, aborted))).toBe(reason)
    expect(target.every((value) => value === 0)).toBe(true)
    const onProgress = () => {
      throw reason
    }
    expect(await rejection(tensor.readInto(target, { onProgress }))).toBe(reason)
    const controller = new AbortController()
    const reading = tensor.readInto(target, { signal: controller.signal })
    controller.abort(reason)
    expect(await rejection(reading)).toBe(reason)
  })

  test('closing meanwhile is an error, and no crash', async () => {
    const checkpoint = await open(large)
    const target = new Float32Array(count)
    const reading = checkpoint.tensors.get('all')!.readInto(target, { dtype: 'float32' })
    checkpoint.close()
    expect(await rejection(reading)).toMatchObject({ code: 'CLOSED' })
  })

  test.each(['shorter', 'longer'])('a file that became %s is an error', async (how) => {
    for (const mmap of [true, false]) {
      const copy = join(folder, `${how}-${mmap}.pth`)
      copyFileSync(large, copy)
      using checkpoint = openSync(copy, { mmap })
      const tensor = checkpoint.tensors.get('all')!
      if (how === 'shorter') truncateSync(copy, 1000)
      else appendFileSync(copy, 'x')
      const target = new Uint8Array(tensor.byteLength)
      expect(await rejection(tensor.readInto(target))).toMatchObject({ code: 'FILE_CHANGED' })
      expect(refusal(() => tensor.readIntoSync(target))).toMatchObject({ code: 'FILE_CHANGED' })
    }
  })
})

describe('many at once', () => {
  test('a map of targets, all of a file in one go', async () => {
    for (const name of ['torch-2.13/state-dict.pt', 'split/hub-safetensors', 'dcp/uneven']) {
      const source = join(FIXTURES, name)
      if (!existsSync(source)) throw new Error(`${source} is missing`)
      for (const checkpoint of await both(source)) {
        const plan = new Map(
          dense(checkpoint).map(({ name, byteLength }) => [name, new ArrayBuffer(byteLength)]),
        )
        expect(plan.size).toBeGreaterThan(1)
        const events: LoadProgress[] = []
        const total = [...plan.values()].reduce((sum, { byteLength }) => sum + byteLength, 0)
        const read = await checkpoint.readAllInto(plan, {
          onProgress: (event) => events.push(event),
        })
        expect(read).toBe(total)
        for (const [name, target] of plan) {
          expect(Buffer.from(target)).toEqual(bytesOf(checkpoint.tensors.get(name)!.data))
        }
        expect(events.at(-1)).toMatchObject({ phase: 'load', loaded: total, total })
        for (const event of events) expect(plan.has(event.name)).toBe(true)
        checkpoint.close()
      }
    }
  })

  test('places of their own in one buffer', async () => {
    using checkpoint = openSync(path)
    const target = new Float32Array(10)
    const plan = [
      ['other', { target, offset: 24, dtype: 'float32' }],
      ['weight', { target }],
    ] as const
    expect(await checkpoint.readAllInto(plan)).toBe(40)
    expect([...target]).toEqual([0, 1, 2, 3, 4, 5, 100, 101, 102, 103])
    expect(await checkpoint.readAllInto([])).toBe(0)
  })

  test('a name that is not there', async () => {
    using checkpoint = openSync(path)
    const reading = checkpoint.readAllInto([['wieght', new ArrayBuffer(24)]])
    const error = await rejection(reading)
    expect(error).toMatchObject({ code: 'NO_SUCH_TENSOR', path })
    expect(error.message).toContain("'wieght'")
    const wrong = await rejection(checkpoint.readAllInto(7 as unknown as []))
    expect(wrong).toMatchObject({ code: 'ERR_INVALID_ARG_TYPE' })
  })
})
