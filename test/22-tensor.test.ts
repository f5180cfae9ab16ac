/** Tensors: the array for each dtype, what is shared, what is copied, and what has no elements to give. */
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, test } from '@jest/globals'
import { openSync, type Tensor, type TensorData } from '../lib/index'
import { checkpointOf, pickle, type TensorOptions, untyped } from './support/bytes'
import { writeCheckpoint } from './support/checkpoint-writer'
import { FIXTURES } from './support/golden'
import { ramp, refusal, temporaryFolder, tensorOf, writeSample } from './support/samples'

const folder = temporaryFolder('tensors')
const golden = (name: string) => openSync(join(FIXTURES, 'torch-2.13', name))

/** A tensor of a dtype over these bytes. */
function over(storage: Uint8Array, dtype: string, shape: number[], more?: TensorOptions): Tensor {
  const source = checkpointOf(pickle(untyped(dtype, storage.length, shape, more)), storage)
  return tensorOf(openSync(source), '')
}

const counting = Uint8Array.from({ length: 48 }, (_, i) => i + 1)

const many = Uint8Array.from({ length: 96 }, (_, i) => i + 1)
const list = (data: TensorData) => [...(data as Iterable<number | bigint>)]

describe('data', () => {
  test.each([
    ['float32', Float32Array, 1],
    ['float64', Float64Array, 1],
    ['int8', Int8Array, 1],
    ['int16', Int16Array, 1],
    ['int32', Int32Array, 1],
    ['int64', BigInt64Array, 1],
    ['uint8', Uint8Array, 1],
    ['uint16', Uint16Array, 1],
    ['uint32', Uint32Array, 1],
    ['uint64', BigUint64Array, 1],
    ['bool', Uint8Array, 1],
    ['float16', Uint16Array, 1],
    ['bfloat16', Uint16Array, 1],
    ['complex32', Uint16Array, 2],
    ['complex64', Float32Array, 2],
    ['complex128', Float64Array, 2],
    ['float8_e5m2', Uint8Array, 1],
    ['float8_e4m3fn', Uint8Array, 1],
    ['float8_e5m2fnuz', Uint8Array, 1],
    ['float8_e4m3fnuz', Uint8Array, 1],
    ['float8_e8m0fnu', Uint8Array, 1],
    ['float4_e2m1fn_x2', Uint8Array, 1],
    ['bits8', Uint8Array, 1],
    ['bits16', Uint16Array, 1],
  ] as const)('%s', (dtype, Class, lanes) => {
    const bytes = Class.BYTES_PER_ELEMENT * lanes
    const tensor = over(many, dtype, [96 / bytes])
    const wanted = new Class(many.buffer)
    expect(tensor.dtype).toBe(dtype)
    expect(tensor.data).toBeInstanceOf(Class)
    expect(list(tensor.data)).toEqual(list(wanted))
    expect(tensor.bytes()).toEqual(many)
    expect([tensor.size, tensor.byteLength]).toEqual([96 / bytes, 96])

    // Transposed: the same elements in another order, which only a copy can have.
    const rows = 96 / bytes / 3
    const strides = [1, rows]
    const turned = over(many, dtype, [rows, 3], { strides })
    const order = Array.from({ length: rows * 3 }, (_, i) => (i % 3) * rows + Math.floor(i / 3))
    const elements = order.flatMap((at) => list(wanted.subarray(at * lanes, (at + 1) * lanes)))
    expect(turned.data).toBeInstanceOf(Class)
    expect(list(turned.data)).toEqual(elements)
    expect([turned.isContiguous, turned.isZeroCopy]).toEqual([false, false])
  })

  test('is the same array each time, of views and of copies', () => {
    for (const tensor of golden('strides.pt').tensors.values()) {
      expect(tensor.data).toBe(tensor.data)
      expect(tensor.bytes().buffer).toBe(tensor.data.buffer)
    }
  })

  test('of tensors over one storage lies in one buffer', () => {
    const { tensors } = golden('views.pt')
    const views = [...tensors.values()].filter(({ isContiguous }) => isContiguous)
    expect(views.length).toBeGreaterThan(1)
    for (const { data, storage } of views) {
      expect(data.buffer).toBe(views[0]?.data.buffer)
      expect(storage).toBe(views[0]?.storage)
    }
  })

  test('begins where the storage offset says', () => {
    const tensor = over(counting, 'int16', [2, 2], { offset: 3 })
    expect(tensor).toMatchObject({ storageOffset: 3, shape: [2, 2], stride: [2, 1] })
    expect(tensor.data).toEqual(new Int16Array(counting.buffer, 6, 4))
    expect(Object.isFrozen(tensor.shape)).toBe(true)
    expect(Object.isFrozen(tensor.stride)).toBe(true)
  })

  test('of scalars has one element, of empty tensors none', () => {
    expect(list(over(counting, 'uint8', []).data)).toEqual([1])
    for (const tensor of golden('empty.pt').tensors.values()) {
      expect([tensor.size, tensor.data.length, tensor.bytes().length]).toEqual([0, 0, 0])
      expect(tensor.toFloat32()).toEqual(new Float32Array(0))
      expect([tensor.isContiguous, tensor.isZeroCopy]).toEqual([true, false])
    }
  })

  test('of conjugate and negative views is what they stand for', () => {
    const checkpoint = golden('conjugate.pt')
    const values = (name: string) => list(tensorOf(checkpoint, name).data)
    const plain = values('plain')
    expect(values('conj')).toEqual(plain.map((part, i) => (i % 2 === 0 ? part : -part)))
    expect(tensorOf(checkpoint, 'conj').isZeroCopy).toBe(false)
  })
})

describe('writing', () => {
  const path = writeSample(join(temporaryFolder('tensor'), 'sample.pth'))

  test('shows in tied tensors and not in the file', () => {
    const before = readFileSync(path)
    const checkpoint = openSync(path)
    const [weight, tied] = [tensorOf(checkpoint, 'weight'), tensorOf(checkpoint, 'tied')]
    weight.data[1] = 42
    expect(tied.data[1]).toBe(42)
    expect(new Float32Array(tied.bytes(4, 8).slice().buffer)[0]).toBe(42)
    expect(readFileSync(path)).toEqual(before)
    expect(tensorOf(openSync(path), 'weight').data).toEqual(ramp(6))
    checkpoint.close()
  })

  test('to a copy stays there', () => {
    const checkpoint = openSync(path)
    const [weight, column] = [tensorOf(checkpoint, 'weight'), tensorOf(checkpoint, 'column')]
    column.data.fill(9 as never)
    expect(weight.data).toEqual(ramp(6))
    expect(column.data).toEqual(Float32Array.of(9, 9))
    checkpoint.close()
  })

  test('is seen by a copy that is made later', () => {
    const checkpoint = openSync(path)
    tensorOf(checkpoint, 'weight').data[3] = 7
    expect(tensorOf(checkpoint, 'column').data).toEqual(Float32Array.of(0, 7))
    checkpoint.close()
  })
})

describe('bytes(start, end)', () => {
  const tensor = over(counting, 'float32', [12])

  test.each<[number[], number, number]>([
    [[], 0, 48],
    [[0], 0, 48],
    [[48], 48, 48],
    [[0, 0], 0, 0],
    [[0, 48], 0, 48],
    [[1, 3], 1, 3],
    [[47, 48], 47, 48],
  ])('%p', (range, start, end) => {
    expect(tensor.bytes(...range)).toEqual(counting.subarray(start, end))
  })

  test.each<[unknown[], string, string]>([
    [[-1], 'ERR_OUT_OF_RANGE', 'start'],
    [[49], 'ERR_OUT_OF_RANGE', 'start'],
    [[0, 49], 'ERR_OUT_OF_RANGE', 'end'],
    [[2, 1], 'ERR_OUT_OF_RANGE', 'end'],
    [[0.5], 'ERR_OUT_OF_RANGE', 'start'],
    [[0, Number.NaN], 'ERR_OUT_OF_RANGE', 'end'],
    [[0, Number.POSITIVE_INFINITY], 'ERR_OUT_OF_RANGE', 'end'],
    [['0'], 'ERR_INVALID_ARG_TYPE', 'start'],
    [[0, 4n], 'ERR_INVALID_ARG_TYPE', 'end'],
    [[null], 'ERR_INVALID_ARG_TYPE', 'start'],
  ])('%p is refused', (range, code, name) => {
    const wanted = { code, message: expect.stringContaining(` for ${name} but received `) }
    expect(() => tensor.bytes(...(range as number[]))).toThrow(expect.objectContaining(wanted))
  })

  test('of a copy are those of its elements', () => {
    const turned = over(counting, 'uint8', [2, 3], { strides: [1, 2] })
    expect(Array.from(turned.bytes(1, 4))).toEqual([3, 5, 2])
  })

  test('lie where the elements do, whichever is asked for first', () => {
    const path = writeSample(join(folder, 'first.pth'))
    for (const mmap of [true, false]) {
      const checkpoint = openSync(path, { mmap })
      const [weight, other] = ['weight', 'other'].map((name) => tensorOf(checkpoint, name))
      const [first, second] = [weight!.bytes(), other!.data]
      first[0] = 77
      second.fill(1 as never)
      expect(new Uint8Array(weight!.data.buffer, weight!.data.byteOffset)[0]).toBe(77)
      expect(first.buffer).toBe(weight!.data.buffer)
      expect(other!.bytes().buffer).toBe(second.buffer)
      checkpoint.close()
    }
  })

  // Where they lie is found out for neighbours in the file together.
  test.each<[string, (keys: number[]) => number[]]>([
    ['forwards', (keys) => keys],
    ['backwards', (keys) => keys.reverse()],
    ['from everywhere', (keys) => keys.map((_, i) => (i * 397) % keys.length)],
  ])('of many small storages, %s', (_, order) => {
    const path = join(folder, 'many.pth')
    const numbers = Array.from({ length: 1000 }, (_, i) => i)
    const sizeOf = (i: number) => (i % 100 === 7 ? 70_000 : 1 + (i % 64))
    const contentOf = (i: number) => Buffer.alloc(sizeOf(i), `${i};`)
    // As torch does: in the order of keys as text.
    const keys = numbers.map(String).sort()
    const storages = keys.map((key) => {
      return { key, size: sizeOf(+key), parts: [{ offset: 0, bytes: contentOf(+key) }] }
    })
    const tensors = numbers.map((i) => {
      const [name, numel] = [`t${i}`, sizeOf(i)]
      return { name, type: 'Byte', key: String(i), numel, shape: [numel] }
    })
    writeCheckpoint(path, tensors, storages)
    for (const mmap of [true, false]) {
      const checkpoint = openSync(path, { mmap })
      for (const i of order([...numbers])) {
        const bytes = tensorOf(checkpoint, `t${i}`).bytes()
        if (!contentOf(i).equals(bytes)) throw new Error(`the bytes of t${i} are others`)
      }
      checkpoint.close()
    }
  })
})

describe('what is larger than it looks', () => {
  test('2^40 elements over one: LIMIT_STORAGE, whatever is asked for', () => {
    const huge = tensorOf(openSync(join(FIXTURES, 'crafted/expanded-huge.pt')), 'weight')
    expect([huge.size, huge.shape, huge.stride]).toEqual([2 ** 40, [2 ** 40], [0]])
    const uses = [
      () => huge.data,
      () => huge.bytes(),
      () => huge.bytes(0, 4),
      () => huge.toFloat32(),
    ]
    for (const use of [...uses, () => huge.toDense()]) {
      const error = refusal(use)
      expect(error).toMatchObject({ name: 'LimitError', code: 'LIMIT_STORAGE' })
      expect(error).toMatchObject({ limitName: 'copyBytes', actual: 2 ** 42 })
    }
    expect(huge.isZeroCopy).toBe(false)
  })
})

describe('tensors without elements here', () => {
  test('meta: a shape, and UNSUPPORTED_LAYOUT', () => {
    const meta = tensorOf(golden('meta.pt'), 'meta')
    expect(meta).toMatchObject({ isMeta: true, shape: [3, 1000], byteLength: 12_000 })
    expect(meta.isZeroCopy).toBe(false)
    for (const use of [() => meta.data, () => meta.bytes(), () => meta.toFloat32()]) {
      expect(refusal(use)).toMatchObject({ code: 'UNSUPPORTED_LAYOUT', feature: 'meta' })
    }
    expect(tensorOf(golden('meta.pt'), 'real').data.length).toBe(1)
  })

  test('a distributed tensor: its local part, and itself where that is all of it', () => {
    const checkpoint = golden('dtensor.pt')
    for (const tensor of checkpoint.tensors.values()) {
      const { local } = tensor
      expect(local?.name).toBe(`${tensor.name}.local`)
      expect(tensor.parts.local).toBe(local)
      const isWhole = String(local?.shape) === String(tensor.shape)
      if (isWhole) expect(tensor.data).toBe(local?.data)
      else expect(refusal(() => tensor.data).code).toBe('UNSUPPORTED_LAYOUT')
    }
  })

  test('plain ones have no parts and are not nested or quantised', () => {
    const tensor = over(counting, 'uint8', [48])
    expect(tensor.parts).toEqual({})
    expect(tensor).toMatchObject({ local: undefined, values: undefined, qscheme: undefined })
    expect(tensor).toMatchObject({ scale: undefined, scales: undefined, rowOffsets: undefined })
    expect(refusal(() => tensor.rows()).code).toBe('UNSUPPORTED_LAYOUT')
    expect(refusal(() => tensor.dequantize()).code).toBe('UNSUPPORTED_DTYPE')
    expect(tensor.toDense()).toBe(tensor.data)
  })
})

test('an unknown dtype is skipped, and says so', () => {
  const checkpoint = openSync(checkpointOf(pickle(untyped('float3', 16, [16])), new Uint8Array(16)))
  expect(checkpoint.tensors.size).toBe(0)
  expect(checkpoint.skipped).toMatchObject([{ name: '', code: 'UNSUPPORTED_DTYPE' }])
})
