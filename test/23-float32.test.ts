/** `toFloat32()` for every dtype, against values worked out here, and the dense form of sparse tensors. */
import { join } from 'node:path'
import { describe, expect, test } from '@jest/globals'
import { openSync, type Tensor, type TensorData } from '../lib/index'
import { checkpointOf, pickle, untyped } from './support/bytes'
import { decode, differences, FORMS, roundInteger } from './support/floats'
import { FIXTURES } from './support/golden'
import { refusal, tensorOf } from './support/samples'

const golden = (name: string) => openSync(join(FIXTURES, 'torch-2.13', name))

const list = (data: TensorData) => [...(data as Iterable<number | bigint>)]

type Elements = { buffer: ArrayBufferLike; byteLength: number; length: number }

function over(elements: Elements, dtype: string, shape = [elements.length]): Tensor {
  const storage = new Uint8Array(elements.buffer)
  const source = checkpointOf(pickle(untyped(dtype, storage.length, shape)), storage)
  return tensorOf(openSync(source), '')
}

describe('toFloat32()', () => {
  test.each(['float16', 'bfloat16'])('all 65,536 patterns of %s', (dtype) => {
    const patterns = Uint16Array.from({ length: 65_536 }, (_, i) => i)
    const wanted = Float32Array.from(patterns, (pattern) => decode(pattern, FORMS[dtype]!))
    expect(differences(over(patterns, dtype).toFloat32(), wanted)).toEqual([])
  })

  test.each(Object.keys(FORMS).filter((name) => name.startsWith('float8')))(
    'all 256 patterns of %s',
    (dtype) => {
      const patterns = Uint8Array.from({ length: 256 }, (_, i) => i)
      const wanted = Float32Array.from(patterns, (pattern) => decode(pattern, FORMS[dtype]!))
      expect(differences(over(patterns, dtype).toFloat32(), wanted)).toEqual([])
    },
  )

  test('all 256 patterns of float8_e8m0fnu, which are powers of two', () => {
    const patterns = Uint8Array.from({ length: 256 }, (_, i) => i)
    const wanted = Float32Array.from(patterns, (i) => (i === 255 ? Number.NaN : 2 ** (i - 127)))
    expect(differences(over(patterns, 'float8_e8m0fnu').toFloat32(), wanted)).toEqual([])
  })

  test.each([
    ['int8', Int8Array],
    ['uint8', Uint8Array],
    ['int16', Int16Array],
    ['uint16', Uint16Array],
  ])('every %s', (dtype, Class) => {
    const values = new Class(65_536).map((_: number, i: number) => i)
    expect(differences(over(values, dtype).toFloat32(), Float32Array.from(values))).toEqual([])
  })

  const edges = [0n, 1n, -1n, 2n ** 31n - 1n, -(2n ** 31n), 2n ** 24n + 1n, 2n ** 24n + 3n]
  const wide = Array.from({ length: 63 }, (_, i) => 2n ** BigInt(i)).flatMap((power) => [
    ...[power, -power, power - 1n, power + 1n, power + power / 2n + 1n],
    // Rounding to a double first would make these ties.
    ...[power + power / 2n ** 24n + 1n, -(power + power / 2n ** 24n + 1n)],
  ])

  test.each([
    [
      'int32',
      (values: bigint[]) => Int32Array.from(values, (value) => Number(BigInt.asIntN(32, value))),
    ],
    [
      'uint32',
      (values: bigint[]) => Uint32Array.from(values, (value) => Number(BigInt.asUintN(32, value))),
    ],
    ['int64', (values: bigint[]) => BigInt64Array.from(values)],
    [
      'uint64',
      (values: bigint[]) => BigUint64Array.from(values, (value) => BigInt.asUintN(64, value)),
    ],
  ])('%s, rounded once', (dtype, make) => {
    const values = make([...edges, ...wide])
    const wanted = Float32Array.from(list(values), (value) => roundInteger(BigInt(value)))
    expect(differences(over(values, dtype).toFloat32(), wanted)).toEqual([])
  })

  test('float64, rounded to nearest', () => {
    const values = Float64Array.of(
      ...[0, -0, 1, -1.5, Math.PI, 1e-45, 1e-46, 7e-46, 3.4028235e38, 3.4028236e38, 1e300, -1e300],
      ...[1 + 2 ** -24, 1 + 3 * 2 ** -24, Number.NaN, Number.POSITIVE_INFINITY, -Infinity],
    )
    const found = over(values, 'float64').toFloat32()
    expect(differences(found, Float32Array.from(values, Math.fround))).toEqual([])
  })

  test('bool: 0 and 1', () => {
    expect(Array.from(over(Uint8Array.of(0, 1, 1, 0), 'bool').toFloat32())).toEqual([0, 1, 1, 0])
  })

  test('float32 is the data itself, others a new copy each time', () => {
    const single = over(Float32Array.of(1, 2), 'float32')
    expect(single.toFloat32()).toBe(single.data)
    const double = over(Float64Array.of(1, 2), 'float64')
    expect(double.toFloat32()).not.toBe(double.toFloat32())
    expect(double.data).toEqual(Float64Array.of(1, 2))
  })

  test('of many lengths: what is done by eights and what is left over', () => {
    for (let length = 0; length < 70; ++length) {
      const patterns = Uint16Array.from({ length }, (_, i) => 0x3c00 + i)
      const wanted = Float32Array.from(patterns, (pattern) => decode(pattern, FORMS.float16!))
      expect(differences(over(patterns, 'float16').toFloat32(), wanted)).toEqual([])
    }
  })

  test.each([
    ['float16', Uint16Array],
    ['float8_e4m3fn', Uint8Array],
  ])('of as many %s as several threads share', (dtype, Class) => {
    const patterns = new Class(1_100_003).map((_: number, i: number) => i * 7)
    const table = Float32Array.from({ length: 256 ** Class.BYTES_PER_ELEMENT }, (_, pattern) =>
      decode(pattern, FORMS[dtype]!),
    )
    const wanted = new Float32Array(patterns.length)
    for (let i = 0; i < wanted.length; ++i) wanted[i] = table[patterns[i]!]!
    expect(differences(over(patterns, dtype).toFloat32(), wanted)).toEqual([])
  })

  test('of views in another order', () => {
    const { tensors } = golden('strides.pt')
    for (const tensor of tensors.values()) {
      expect(Array.from(tensor.toFloat32())).toEqual(Array.from(tensor.data, Number))
    }
  })

  test.each(['complex32', 'complex64', 'complex128', 'bits8', 'float4_e2m1fn_x2'])(
    '%s has no real numbers',
    (dtype) => {
      const error = refusal(() => over(new Uint8Array(16), dtype, [1]).toFloat32())
      expect(error).toMatchObject({ code: 'UNSUPPORTED_DTYPE', feature: dtype })
    },
  )

  test('of quantised tensors is what they stand for', () => {
    for (const file of ['quantised-tensor.pt', 'quantised-channel.pt']) {
      for (const tensor of golden(file).tensors.values()) {
        if (tensor.qscheme === undefined) continue
        expect(tensor.toFloat32()).toEqual(tensor.dequantize())
      }
    }
    const { tensors } = golden('quantised-tensor.pt')
    const [tensor] = [...tensors.values()].filter(({ scale }) => scale !== undefined)
    const { scale, zeroPoint } = tensor as { scale: number; zeroPoint: number }
    const wanted = list(tensor!.data).map((q) =>
      Math.fround((Number(q) - zeroPoint) * Math.fround(scale)),
    )
    expect(Array.from(tensor?.dequantize() ?? [])).toEqual(wanted)
  })
})

describe('toDense()', () => {
  const roles = (tensor: Tensor) => Object.keys(tensor.parts).sort()

  test('COO: values at their places, equal places added up', () => {
    const checkpoint = golden('sparse-coo.pt')
    for (const name of ['coalesced', 'duplicates', 'nothing']) {
      const tensor = tensorOf(checkpoint, name)
      const [rows, columns] = tensor.shape as [number, number]
      const wanted = new Float32Array(rows * columns)
      const [at, values] = [tensor.indices?.data, tensor.values?.data]
      const count = values?.length ?? 0
      for (let k = 0; k < count; ++k) {
        wanted[Number(at?.[k]) * columns + Number(at?.[count + k])]! += Number(values?.[k])
      }
      expect(tensor.toDense()).toEqual(wanted)
      expect(tensor.toDense()).toBe(tensor.toDense())
      expect(roles(tensor)).toEqual(['indices', 'values'])
      expect(tensor.storage).toBeUndefined()
      expect(refusal(() => tensor.data)).toMatchObject({
        code: 'UNSUPPORTED_LAYOUT',
        feature: 'sparse_coo',
      })
    }
  })

  test.each<[string, string, (tensor: Tensor) => BigInt64Array, bigint]>([
    [
      'an index past the end',
      'sparse-coo.pt',
      ({ indices }) => indices?.data as BigInt64Array,
      99n,
    ],
    ['a negative index', 'sparse-coo.pt', ({ indices }) => indices?.data as BigInt64Array, -1n],
    [
      'an index of 2^62',
      'sparse-coo.pt',
      ({ indices }) => indices?.data as BigInt64Array,
      2n ** 62n,
    ],
    [
      'a column past the end',
      'sparse-csr.pt',
      ({ colIndices }) => colIndices?.data as BigInt64Array,
      3n,
    ],
    [
      'a negative column',
      'sparse-csr.pt',
      ({ colIndices }) => colIndices?.data as BigInt64Array,
      -3n,
    ],
    [
      'a row that starts late',
      'sparse-csr.pt',
      ({ crowIndices }) => crowIndices?.data as BigInt64Array,
      1n,
    ],
    [
      'a row that starts before all',
      'sparse-csr.pt',
      ({ crowIndices }) => crowIndices?.data as BigInt64Array,
      -1n,
    ],
  ])('%s is BAD_TENSOR', (_, file, indicesOf, index) => {
    const [tensor] = golden(file).tensors.values()
    indicesOf(tensor!)[0] = index
    const error = refusal(() => tensor?.toDense())
    expect(error).toMatchObject({ name: 'FormatError', code: 'BAD_TENSOR' })
    expect(error.message).toContain(tensor!.name)
  })

  test('is bounded by limits.copyBytes', () => {
    const path = join(FIXTURES, 'torch-2.13/sparse-coo.pt')
    const tensor = tensorOf(openSync(path, { limits: { copyBytes: 20 } }), 'coalesced')
    expect(refusal(() => tensor.toDense())).toMatchObject({ code: 'LIMIT_STORAGE', actual: 24 })
  })
})
