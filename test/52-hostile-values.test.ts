/** Pickles that say what cannot be: lengths, values and tensors. Each is refused by name, or is inert data. */
import { describe, expect, test } from '@jest/globals'
import { openSync } from '../lib/index'
import {
  bytes,
  checkpointOf,
  int,
  ints,
  op,
  type Part,
  pickle,
  type TensorOptions,
  tensor,
  text,
  u32,
  u64,
} from './support/bytes'
import { ramp, refusal } from './support/samples'
import { walk } from './support/walk'

const open = (...parts: Part[]) => openSync(checkpointOf(pickle(...parts)))

describe('lengths that are not there', () => {
  const huge = [2n ** 63n - 1n, 2n ** 64n - 1n, 2n ** 63n, 2n ** 40n, 2n ** 32n]
  const wide = [op.BINUNICODE8, op.BINBYTES8, op.BYTEARRAY8, op.FRAME].flatMap((code) =>
    huge.map((length): [string, Buffer] => [
      `${code.toString(16)} ${length}`,
      bytes(code, u64(length), 'abc'),
    ]),
  )
  const narrow: [string, Buffer][] = [
    ['BINUNICODE of 4 GiB', bytes(op.BINUNICODE, u32(0xffff_ffff), 'abc')],
    ['BINSTRING of -1', bytes(op.BINSTRING, u32(0xffff_ffff), 'abc')],
    ['LONG4 of 2 GiB', bytes(op.LONG4, u32(0x7fff_ffff), 'abc')],
    ['LONG4 of -1', bytes(op.LONG4, u32(0xffff_ffff), 'abc')],
  ]
  test.each([...wide, ...narrow])('%s', (_, part) => {
    const error = refusal(() => open(part))
    expect(error).toMatchObject({ code: 'BAD_PICKLE', record: 'a/data.pkl' })
    expect(error.offset).toBeGreaterThan(0)
  })

  test('an integer of 4,300 decimal digits is a bigint; of 200,000 it is refused, as Python does', () => {
    const decimal = (digits: number) => `L1${'0'.repeat(digits - 1)}L\n`
    expect(open(decimal(4300)).root).toBe(10n ** 4299n)
    expect(refusal(() => open(decimal(200_000))).code).toBe('BAD_PICKLE')
  })
})

describe('impossible values', () => {
  const cases: [string, Part[]][] = [
    ['TUPLE2 of one value', [op.NONE, op.TUPLE2]],
    ['TUPLE without a mark', [op.NONE, op.TUPLE]],
    ['APPEND below a mark', [op.EMPTY_LIST, op.MARK, op.NONE, op.APPEND]],
    ['SETITEMS of three values', [op.EMPTY_DICT, op.MARK, op.NONE, op.NONE, op.NONE, op.SETITEMS]],
    ['STOP on an empty stack', []],
    ['SETITEM on a list', [op.EMPTY_LIST, op.NONE, op.NONE, op.SETITEM]],
    ['APPEND on a dict', [op.EMPTY_DICT, op.NONE, op.APPEND]],
    ['ADDITEMS on a list', [op.EMPTY_LIST, op.MARK, op.NONE, op.ADDITEMS]],
    ['BUILD on an integer', [op.BININT1, 1, op.EMPTY_DICT, op.BUILD]],
    ['a memo slot nobody set', [op.BINGET, 9]],
    ['a dict that is its own key', [op.EMPTY_DICT, op.DUP, op.NONE, op.SETITEM]],
    ['a list as a key', [op.EMPTY_DICT, op.EMPTY_LIST, op.NONE, op.SETITEM]],
  ]
  test.each(cases)('%s is BAD_PICKLE', (_, parts) => {
    expect(refusal(() => open(...parts)).code).toBe('BAD_PICKLE')
  })

  test.each<[string, Part[]]>([
    ['a set in itself', [op.EMPTY_SET, op.BINPUT, 0, op.MARK, op.BINGET, 0, op.ADDITEMS]],
    ['a list that is its own item', [op.EMPTY_LIST, op.DUP, op.APPEND]],
    [
      'a dict that is its own value',
      [op.EMPTY_DICT, op.BINPUT, 0, op.NONE, op.BINGET, 0, op.SETITEM],
    ],
  ])('%s is inert', (_, parts) => {
    const checkpoint = open(...parts)
    walk(checkpoint)
    expect(checkpoint.tensors.size).toBe(0)
  })
})

describe('tensors', () => {
  const huge = 2n ** 62n
  test.each<[string, TensorOptions, string]>([
    ['a product that wraps to 0', { sizes: [2n ** 32n, 2n ** 32n], strides: [0, 0] }, 'BAD_TENSOR'],
    ['a stride past everything', { sizes: [2], strides: [huge] }, 'BAD_TENSOR'],
    ['an offset past the storage', { offset: 4, sizes: [1] }, 'BAD_TENSOR'],
    ['a storage of 2^62 elements', { numel: huge }, 'BAD_TENSOR'],
    ['a storage of more than the record has', { numel: 5, sizes: [5] }, 'TRUNCATED'],
    ['a negative size', { sizes: [-1] }, 'BAD_TENSOR'],
    ['a negative stride', { sizes: [2], strides: [-1] }, 'BAD_TENSOR'],
    ['a negative offset', { offset: -1 }, 'BAD_TENSOR'],
    ['more strides than sizes', { sizes: [2], strides: [1, 1] }, 'BAD_TENSOR'],
    ['a storage without a record', { key: '7' }, 'BAD_RECORD'],
    ['a key that leads out of the archive', { key: '../version' }, 'BAD_RECORD'],
    ['a key with a null byte', { key: '0\0' }, 'BAD_RECORD'],
  ])('%s', (_, options, code) => {
    expect(refusal(() => open(tensor(options))).code).toBe(code)
  })

  test('no elements: the other size may be anything', () => {
    const checkpoint = open(tensor({ sizes: [0, huge], strides: [huge, 1], offset: huge }))
    const [found] = checkpoint.tensors.values()
    expect([found?.size, found?.data.length, found?.bytes().length]).toEqual([0, 0, 0])
  })

  test('1,000 dimensions', () => {
    const sizes = Array.from({ length: 1000 }, () => 1)
    const [found] = open(tensor({ sizes, strides: sizes })).tensors.values()
    expect([found?.shape.length, found?.data.length]).toEqual([1000, 1])
  })

  test('one record under two dtypes is the same bytes', () => {
    const other = tensor({ type: 'IntStorage' })
    const [floats, integers] = [...open(op.MARK, tensor(), other, op.TUPLE).tensors.values()]
    expect(floats?.data).toEqual(ramp(4))
    expect(integers?.data).toEqual(new Int32Array(ramp(4).buffer))
  })

  test('10,000 tensors over one storage share it', () => {
    const checkpoint = open(op.MARK, ...Array(10_000).fill(tensor()), op.TUPLE)
    const [first, second] = checkpoint.tensors.values()
    expect(checkpoint.tensors.size).toBe(10_000)
    expect(first?.storage).toBe(second?.storage)
    expect(first?.data.buffer).toBe(second?.data.buffer)
  })

  test('sizes that are no numbers', () => {
    const parts = [ints([4]), int(4), text('4'), bytes(op.NONE)]
    for (const part of parts.slice(1)) {
      const whole = tensor()
      const at = whole.indexOf(ints([4]))
      const changed = bytes(whole.subarray(0, at), part, whole.subarray(at + ints([4]).length))
      expect(refusal(() => open(changed)).code).toBe('BAD_TENSOR')
    }
  })
})
