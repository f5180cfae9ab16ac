/** Small pickles that ask for much: decoding costs what their bytes cost, whatever they say. */
import { inspect } from 'node:util'
import { describe, expect, jest, test } from '@jest/globals'
import { openSync } from '../lib/index'
import {
  bytes,
  checkpointOf,
  global,
  op,
  type Part,
  pickle,
  tenfold,
  tensor,
  text,
  u32,
} from './support/bytes'
import { refusal } from './support/samples'
import { walk, walkRoot } from './support/walk'

// The sanitizers make everything slow.
jest.setTimeout(300_000)

const open = (...parts: Part[]) => openSync(checkpointOf(pickle(...parts)))
const repeat = (count: number, ...parts: Part[]) =>
  Buffer.alloc(count * bytes(...parts).length, bytes(...parts))
const ref = (index: number) => bytes(op.BINGET, index)

describe('sharing', () => {
  test('a billion laughs are a graph of as many lists as there are in the file', () => {
    const checkpoint = open(tenfold(op.EMPTY_LIST, 40))
    expect(walkRoot(checkpoint.root)).toBe(41)
    const root = checkpoint.root as unknown[][]
    expect(root.length).toBe(10)
    expect(root[0]).toBe(root[9])
    expect(inspect(root).length).toBeGreaterThan(0)
    walk(checkpoint)
  })

  test('the same through tuples', () => {
    const checkpoint = open(op.NONE, repeat(100_000, op.DUP, op.TUPLE2))
    expect(walkRoot(checkpoint.root)).toBe(100_000)
  })

  test('the same through calls', () => {
    const call = bytes(op.BINPUT, 1, op.POP, global('m', 'f'), ref(1), ref(1), op.TUPLE2, op.REDUCE)
    const checkpoint = open(op.NONE, repeat(200, call))
    expect(walkRoot(checkpoint.root)).toBeGreaterThanOrEqual(200)
    walk(checkpoint)
  })

  test('a tensor under ten to the fortieth names is more work than its file may ask for', () => {
    const source = checkpointOf(pickle(tenfold(tensor(), 40)))
    const error = refusal(() => openSync(source))
    expect(error).toMatchObject({ name: 'LimitError', code: 'LIMIT_WORK', limitName: 'work' })
    const limits = { work: 2 ** 40, names: 1000 }
    expect(refusal(() => openSync(source, { limits })).code).toBe('LIMIT_NAMES')
  })
})

describe('depth', () => {
  test.each([
    ['lists', repeat(200_000, op.EMPTY_LIST), repeat(199_999, op.APPEND)],
    ['tuples', bytes(op.NONE), repeat(200_000, op.TUPLE1)],
    [
      'dicts',
      repeat(200_000, op.EMPTY_DICT, op.BININT1, 1),
      bytes(op.NONE, repeat(200_000, op.SETITEM)),
    ],
  ])('200,000 nested %s', (_, down, up) => {
    const checkpoint = open(down, up)
    expect(walkRoot(checkpoint.root)).toBe(200_000)
    walk(checkpoint)
    checkpoint.close()
  })

  test('a tensor below 200,000 lists has its name', () => {
    const source = [repeat(200_000, op.EMPTY_LIST), tensor(), repeat(200_000, op.APPEND)]
    const checkpoint = open(...source)
    expect([...checkpoint.tensors.keys()]).toEqual([Array(200_000).fill('0').join('.')])
    expect(checkpoint.tensors.get(Array(200_000).fill('0').join('.'))?.data[3]).toBe(3)
  })

  test('100,000 calls, each the argument of the next', () => {
    const up = repeat(100_000, op.TUPLE1, op.REDUCE)
    const checkpoint = open(repeat(100_000, global('m', 'f')), op.NONE, up)
    expect(walkRoot(checkpoint.root)).toBe(200_000)
    walk(checkpoint)
  })
})

test('marks without end', () => {
  const checkpoint = open(repeat(200_000, op.MARK), op.NONE)
  expect(checkpoint.root).toBe(null)
})

test('10 million reads of one memo slot', () => {
  const checkpoint = open(
    op.EMPTY_LIST,
    op.BINPUT,
    0,
    op.MARK,
    repeat(10_000_000, op.BINGET, 0),
    op.APPENDS,
  )
  const root = checkpoint.root as unknown[]
  expect(root.length).toBe(10_000_000)
  expect(root[9_999_999]).toBe(root)
})

test('10 million empty lists stay within limits.nodes', () => {
  const source = checkpointOf(pickle(op.MARK, repeat(10_000_000, op.EMPTY_LIST), op.TUPLE))
  const error = refusal(() => openSync(source, { limits: { nodes: 1_000_000 } }))
  expect(error).toMatchObject({ code: 'LIMIT_NODES', limitName: 'nodes', limit: 1_000_000 })
})

test('100,000 string keys are as quick as any, however they hash', () => {
  const keys = Array.from({ length: 100_000 }, (_, i) => bytes(text(`k${i}`), op.NONE))
  const checkpoint = open(op.EMPTY_DICT, op.MARK, bytes(...keys), op.SETITEMS)
  expect((checkpoint.root as Map<unknown, unknown>).size).toBe(100_000)
})

describe('memo', () => {
  test.each([
    ['the last slot there is', bytes(op.NONE, op.LONG_BINPUT, u32(0xffff_ffff))],
    [
      'slots far apart',
      bytes(
        op.NONE,
        ...Array.from({ length: 64 }, (_, i) => bytes(op.LONG_BINPUT, u32(i * 0x0400_0000))),
      ),
    ],
    ['a slot in text', bytes(op.NONE, 'p4000000000\n')],
  ])('%s takes no memory for those before it', (_, parts) => {
    const before = process.memoryUsage().rss
    expect(open(parts).root).toBe(null)
    expect(process.memoryUsage().rss - before).toBeLessThan(2 ** 28)
  })

  test.each([
    ['of 30 digits', `p${'9'.repeat(30)}\n`],
    ['below zero', 'p-1\n'],
    ['that is no number', 'pq\n'],
  ])('a slot %s is refused', (_, put) => {
    expect(refusal(() => open(op.NONE, put)).code).toBe('BAD_PICKLE')
  })
})
