/** Indexes of distributed checkpoints that lie, built by hand over files that torch wrote. */
import { cpSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, describe, expect, test } from '@jest/globals'
import { type Checkpoint, openSync } from '../lib/index'
import * as dcp from './support/dcp-index'
import { FIXTURES } from './support/golden'
import * as p from './support/pickle-writer'

const FOLDER = mkdtempSync(join(tmpdir(), 'torchmap-dcp-'))
afterAll(() => rmSync(FOLDER, { recursive: true }))

/** What torch wrote: two chunks of `ten` as float32 [3, 3], each at its place. */
const SOURCE = join(FIXTURES, 'dcp', 'uneven')
const [FIRST, SECOND] = [0, 3].map((row) => dcp.placeOf(SOURCE, 'ten', [row, 0])) as [
  dcp.Place,
  dcp.Place,
]
cpSync(SOURCE, FOLDER, { recursive: true })

const stored = (name: string, offsets: number[], { file, offset, length }: dcp.Place) =>
  [dcp.index(name, dcp.size(...offsets)), dcp.place(p.str(file), p.int(offset), p.int(length))] as [
    Buffer,
    Buffer,
  ]

/** A tensor of two chunks that is as it should be. */
const good = {
  items: [
    [
      'good',
      dcp.tensor(
        dcp.size(6, 3),
        p.list(
          dcp.chunk(dcp.size(0, 0), dcp.size(3, 3)),
          dcp.chunk(dcp.size(3, 0), dcp.size(3, 3)),
        ),
      ),
    ],
  ] as [string, Buffer][],
  stored: [stored('good', [0, 0], FIRST), stored('good', [3, 0], SECOND)],
}

function openWith(bytes: Buffer, options = {}): Checkpoint {
  writeFileSync(join(FOLDER, '.metadata'), bytes)
  return openSync(FOLDER, options)
}

/** Opens the good tensor beside a bad one. */
function beside(bad: Partial<dcp.Entries>): Checkpoint {
  const { items = [], stored = [] } = bad
  const planned = bad.planned === undefined ? {} : { planned: bad.planned }
  const checkpoint = openWith(
    dcp.metadata({
      items: [...items, ...good.items],
      stored: [...stored, ...good.stored],
      ...planned,
    }),
  )
  expect(checkpoint.tensors.get('good')?.data[17]).toBeCloseTo(17 * 0.37 - 5)
  return checkpoint
}

/** Of a tensor `bad` of [6, 3] with other chunks, sizes or places. */
function bad(chunks: Buffer, entries: [Buffer, Buffer][] = [], shape = dcp.size(6, 3)) {
  return { items: [['bad', dcp.tensor(shape, chunks)]] as [string, Buffer][], stored: entries }
}

const box = (offsets: (number | bigint)[], sizes: (number | bigint)[]) =>
  dcp.chunk(dcp.size(...offsets), dcp.size(...sizes))

const at = (
  offsets: number[],
  place: Partial<Record<keyof dcp.Place, Buffer>>,
): [Buffer, Buffer] => [
  dcp.index('bad', dcp.size(...offsets)),
  dcp.place(
    place.file ?? p.str(FIRST.file),
    place.offset ?? p.int(FIRST.offset),
    place.length ?? p.int(FIRST.length),
  ),
]

const rows = (from: number, count: number) => box([from, 0], [count, 3])
const top = stored('bad', [0, 0], FIRST)
const bottom = stored('bad', [3, 0], SECOND)

describe('one wrong tensor', () => {
  const whole = [top, bottom]
  const two = p.list(rows(0, 3), rows(3, 3))
  const cases: [string, Partial<dcp.Entries>, string, string][] = [
    ['nothing stored', bad(two, [top]), 'BAD_INDEX', 'no file is named'],
    ['a missing chunk', bad(p.list(rows(0, 3)), whole), 'BAD_INDEX', '9 of 18 elements'],
    ['no chunks', bad(p.list(), whole), 'BAD_INDEX', '0 of 18 elements'],
    [
      'a chunk twice',
      bad(p.list(rows(0, 3), rows(3, 3), rows(3, 3)), whole),
      'BAD_INDEX',
      'overlap',
    ],
    [
      'chunks that overlap and leave as much out',
      bad(p.list(rows(0, 3), rows(0, 3)), whole),
      'BAD_INDEX',
      'overlap',
    ],
    ['a chunk outside', bad(p.list(rows(0, 3), rows(4, 3)), whole), 'BAD_INDEX', 'outside'],
    [
      'an offset that wraps',
      bad(p.list(rows(0, 3), box([2n ** 62n, 0], [3, 3])), whole),
      'BAD_INDEX',
      'no list of sizes',
    ],
    ['a negative offset', bad(p.list(box([-1, 0], [3, 3])), whole), 'BAD_INDEX', 'list of sizes'],
    ['a negative size', bad(p.list(box([0, 0], [-3, 3])), whole), 'BAD_INDEX', 'list of sizes'],
    ['too few dimensions', bad(p.list(box([0], [6])), whole), 'BAD_INDEX', 'outside'],
    ['chunks that are no list', bad(p.str('chunks'), whole), 'BAD_INDEX', 'no list of chunks'],
    ['a chunk of another class', bad(p.list(dcp.bytes), whole), 'BAD_INDEX', 'ChunkStorageM'],
    [
      'more bytes than there can be',
      bad(p.list(box([0, 0], [2 ** 20, 2 ** 20])), [top], dcp.size(2 ** 20, 2 ** 20)),
      'BAD_INDEX',
      'needs 4398046511104 bytes',
    ],
    [
      'a path out of the directory',
      bad(two, [at([0, 0], { file: p.str('../uneven/__0_0.distcp') }), bottom]),
      'BAD_INDEX',
      'outside the directory',
    ],
    [
      'an absolute path',
      bad(two, [at([0, 0], { file: p.str('/etc/passwd') }), bottom]),
      'BAD_INDEX',
      'outside the directory',
    ],
    [
      'a path with a null byte',
      bad(two, [at([0, 0], { file: p.str('__0_0.distcp\0') }), bottom]),
      'BAD_INDEX',
      'outside the directory',
    ],
    ['no path', bad(two, [at([0, 0], { file: p.none }), bottom]), 'BAD_INDEX', 'outside'],
    [
      'a negative place',
      bad(two, [at([0, 0], { offset: p.int(-1) }), bottom]),
      'BAD_INDEX',
      'no possible place',
    ],
    [
      'a real for a length',
      bad(two, [at([0, 0], { length: p.float(9.5) }), bottom]),
      'BAD_INDEX',
      'no possible place',
    ],
    [
      'a place behind the end',
      bad(two, [at([0, 0], { offset: p.int(2 ** 50) }), bottom]),
      'TRUNCATED',
      'at byte 1125899906842624',
    ],
    [
      'a length beyond the end',
      bad(two, [at([0, 0], { length: p.int(2 ** 52) }), bottom]),
      'TRUNCATED',
      '4503599627370496 bytes',
    ],
    [
      'a file that is not there',
      bad(two, [at([0, 0], { file: p.str('__9_9.distcp') }), bottom]),
      'MISSING_SHARD',
      "'bad' is in",
    ],
  ]
  for (const [what, entries, code, message] of cases) {
    test(what, () => {
      using checkpoint = beside(entries)
      expect(checkpoint.skipped.map(({ name, code: found }) => [name, found])).toEqual([
        ['bad', code],
      ])
      expect(checkpoint.skipped[0]!.message).toContain(message)
      expect([...checkpoint.tensors.keys()]).toEqual(['bad', 'good'])
      expect(() => checkpoint.tensors.get('bad')!.data).toThrow(message)
      expect(() => checkpoint.tensors.get('bad')!.data).toThrow(expect.objectContaining({ code }))
    })
  }

  const unnamed: [string, Partial<dcp.Entries>, string, string][] = [
    ['a size that is no size', bad(two, whole, p.str('6, 3')), 'BAD_INDEX', 'list of sizes'],
    ['a negative size', bad(two, whole, dcp.size(6, -3)), 'BAD_INDEX', 'list of sizes'],
    ['a size above 2^53', bad(two, whole, dcp.size(2n ** 62n, 3)), 'BAD_INDEX', 'list of sizes'],
    ['a product above 2^53', bad(two, whole, dcp.size(2 ** 40, 2 ** 40)), 'BAD_INDEX', 'elements'],
    [
      'a hundred dimensions',
      bad(two, whole, dcp.size(...Array.from({ length: 100 }, () => 1))),
      'BAD_INDEX',
      'list of sizes',
    ],
    ['an item of no kind', { items: [['bad', p.int(3)]] }, 'BAD_INDEX', 'is no TensorStorage'],
    [
      'a dtype that is none',
      { items: [['bad', dcp.tensor(dcp.size(1), two, dcp.properties(p.str('float33')))]] },
      'BAD_INDEX',
      'no known dtype',
    ],
    [
      'a quantised dtype',
      {
        items: [['bad', dcp.tensor(dcp.size(1), two, dcp.properties(p.global('torch', 'qint8')))]],
      },
      'UNSUPPORTED_DTYPE',
      'qint8',
    ],
    [
      'a sparse tensor',
      {
        items: [
          ['bad', dcp.tensor(dcp.size(1), two, dcp.properties(undefined, p.str('sparse_coo')))],
        ],
      },
      'UNSUPPORTED_LAYOUT',
      'sparse_coo',
    ],
    ['an object without a place', { items: [['bad', dcp.bytes]] }, 'BAD_INDEX', 'no file is named'],
    [
      'an object that is packed',
      {
        items: [['bad', dcp.bytes]],
        stored: [
          [
            dcp.index('bad'),
            dcp.place(
              p.str(FIRST.file),
              p.int(FIRST.offset),
              p.int(FIRST.length),
              p.list(p.str('stream.zstd/1')),
            ),
          ],
        ],
      },
      'UNSUPPORTED_COMPRESSION',
      'stream.zstd/1',
    ],
    [
      'an object at a place where none is',
      {
        items: [['bad', dcp.bytes]],
        stored: [
          [
            dcp.index('bad'),
            dcp.place(p.str(FIRST.file), p.int(FIRST.offset + 1), p.int(FIRST.length - 1)),
          ],
        ],
      },
      'NOT_A_CHECKPOINT',
      '',
    ],
  ]
  for (const [what, entries, code, message] of unnamed) {
    test(`${what}: it has no tensor`, () => {
      using checkpoint = beside(entries)
      expect(checkpoint.skipped.map(({ name, code: found }) => [name, found])).toEqual([
        ['bad', code],
      ])
      expect(checkpoint.skipped[0]!.message).toContain(message)
      expect([...checkpoint.tensors.keys()]).toEqual(['good'])
      expect([...(checkpoint.root as Map<string, unknown>).keys()]).toEqual(['good'])
    })
  }

  test('a packed tensor', () => {
    const info = dcp.place(
      p.str(FIRST.file),
      p.int(FIRST.offset),
      p.int(FIRST.length),
      p.list(p.str('stream.zstd/1')),
    )
    using checkpoint = beside(bad(two, [[dcp.index('bad', dcp.size(0, 0)), info], bottom]))
    expect(checkpoint.skipped[0]).toMatchObject({ name: 'bad', code: 'UNSUPPORTED_COMPRESSION' })
    expect(() => checkpoint.tensors.get('bad')!.data).toThrow('stream.zstd/1')
  })

  test('a chunk that is another tensor than the index says', () => {
    const entries = bad(p.list(box([0, 0], [1, 9])), [top], dcp.size(1, 9))
    using checkpoint = beside(entries)
    expect(checkpoint.skipped).toEqual([])
    const { data } = { data: () => checkpoint.tensors.get('bad')!.data }
    expect(data).toThrow(expect.objectContaining({ code: 'BAD_TENSOR' }))
    expect(data).toThrow('is strided float32[3, 3] where the index has strided float32[1, 9]')
  })

  test('a chunk of another dtype, among several', () => {
    const ints = dcp.properties(p.global('torch', 'int32'))
    using checkpoint = beside({
      items: [['bad', dcp.tensor(dcp.size(6, 3), two, ints)]],
      stored: whole,
    })
    expect(() => checkpoint.tensors.get('bad')!.data).toThrow(
      'is strided float32[3, 3] where the index has strided int32[3, 3]',
    )
  })
})

describe('an index that is none', () => {
  const cases: [string, Buffer][] = [
    ['no object', p.pickle(p.dict())],
    ['no state', p.pickle(p.object('torch.distributed.checkpoint.metadata', 'Metadata'))],
    ['a state that is a list', p.pickle(p.object('m', 'Metadata', p.list()))],
    [
      'no storage_data',
      p.pickle(p.object('m', 'Metadata', p.dict([p.str('state_dict_metadata'), p.dict()]))),
    ],
    [
      'a name that is no str',
      p.pickle(
        p.object(
          'm',
          'Metadata',
          p.dict(
            [p.str('state_dict_metadata'), p.dict([p.int(3), dcp.bytes])],
            [p.str('storage_data'), p.dict()],
          ),
        ),
      ),
    ],
  ]
  for (const [what, bytes] of cases) {
    test(what, () => {
      expect(() => openWith(bytes)).toThrow(expect.objectContaining({ code: 'BAD_INDEX' }))
    })
  }

  test('keeps nothing open when it is refused', () => {
    expect(() => openWith(Buffer.from('no pickle'))).toThrow(
      expect.objectContaining({ code: 'NOT_A_CHECKPOINT' }),
    )
  })

  test('an index that holds itself', () => {
    // [self] as chunks, sizes and paths.
    const cycle = Buffer.concat([p.keep(0, Buffer.from([0x5d])), p.kept(0), Buffer.from([0x61])])
    using checkpoint = beside({
      ...bad(cycle, [[dcp.index('bad', cycle), dcp.place(cycle, cycle, cycle)]], cycle),
      planned: p.dict([p.str('bad'), cycle], [p.str('good'), cycle]),
    })
    expect(checkpoint.skipped.map(({ code }) => code)).toEqual(['BAD_INDEX'])
    expect([...(checkpoint.root as Map<string, unknown>).keys()]).toEqual(['good'])
  })
})

describe('many from few bytes', () => {
  const many = (value: Buffer, times: number) =>
    Buffer.concat([
      Buffer.from([0x5d, 0x28]),
      p.keep(1, value),
      ...Array.from({ length: times - 1 }, () => p.kept(1)),
      Buffer.from([0x65]),
    ])

  test('a million chunks', () => {
    using checkpoint = beside(bad(many(rows(0, 3), 1_000_000), [top]))
    expect(checkpoint.skipped).toMatchObject([{ name: 'bad', code: 'BAD_INDEX' }])
    expect(checkpoint.skipped[0]!.message).toContain('overlap')
  })

  test('a million empty chunks', () => {
    using checkpoint = beside(bad(many(rows(6, 0), 1_000_000), [top, bottom]))
    expect(checkpoint.skipped).toMatchObject([{ name: 'bad', code: 'BAD_INDEX' }])
    expect(checkpoint.skipped[0]!.message).toContain('0 of 18')
  })

  test('thousands of tensors that share thousands of chunks', () => {
    const shared = p.keep(0, dcp.tensor(dcp.size(6, 3), many(rows(6, 0), 20_000)))
    const items: [string, Buffer][] = [['first', shared]]
    for (let i = 0; i < 5_000; ++i) items.push([`t${i}`, p.kept(0)])
    expect(() => openWith(dcp.metadata({ items, stored: [] }))).toThrow(
      expect.objectContaining({ code: 'LIMIT_WORK', limitName: 'work' }),
    )
  })

  test('objects that lie in each other', () => {
    const items: [string, Buffer][] = []
    const places: [Buffer, Buffer][] = []
    for (let i = 0; i < 2_000; ++i) {
      items.push([`o${i}`, dcp.bytes])
      places.push([
        dcp.index(`o${i}`),
        dcp.place(p.str(FIRST.file), p.int(FIRST.offset), p.int(FIRST.length)),
      ])
    }
    using checkpoint = openWith(dcp.metadata({ items, stored: places }))
    const codes = new Set(checkpoint.skipped.map(({ code }) => code))
    expect(codes).toEqual(new Set(['LIMIT_WORK']))
    expect(checkpoint.skipped.length).toBeGreaterThan(1000)
    expect(checkpoint.tensors.get('o0')?.shape).toEqual([3, 3])
  })

  test('a list index far behind the others', () => {
    const planned = dcp.paths(['good', ['list', 2 ** 40]])
    using checkpoint = openWith(dcp.metadata({ ...good, planned }))
    expect(() => checkpoint.root).toThrow(expect.objectContaining({ code: 'LIMIT_WORK' }))
    expect(checkpoint.tensors.get('good')?.data.length).toBe(18)
  })

  test('a path of a hundred thousand keys', () => {
    const keys = Array.from({ length: 100_000 }, (_, i) => (i % 2 === 0 ? 'k' : 0))
    using checkpoint = openWith(dcp.metadata({ ...good, planned: dcp.paths(['good', keys]) }))
    expect(checkpoint.root).toBeInstanceOf(Map)
    expect(() => checkpoint.stateDict()).toThrow(expect.objectContaining({ code: 'LIMIT_WORK' }))
  })
})

describe('paths', () => {
  const place = (...planned: [string, (string | number)[]][]) =>
    beside({
      ...bad(p.list(rows(0, 3), rows(3, 3)), [top, bottom]),
      planned: dcp.paths(...planned),
    })

  test('through a tensor', () => {
    using checkpoint = place(['bad', ['a', 'b']], ['good', ['a']])
    expect(checkpoint.skipped).toMatchObject([{ name: 'good', code: 'BAD_INDEX' }])
    expect((checkpoint.root as Map<string, Map<string, unknown>>).get('a')!.get('b')).toBe(
      checkpoint.tensors.get('bad'),
    )
  })

  test('a key of a list', () => {
    using checkpoint = place(['bad', ['a', 1]], ['good', ['a', 'b']])
    expect(checkpoint.skipped).toMatchObject([{ name: 'good', code: 'BAD_INDEX' }])
    const { root } = checkpoint
    expect((root as Map<string, unknown[]>).get('a')).toEqual([null, checkpoint.tensors.get('bad')])
  })

  test('names that JavaScript objects have', () => {
    using checkpoint = place(['bad', ['__proto__', 'constructor']], ['good', ['toString']])
    expect([...(checkpoint.root as Map<string, unknown>).keys()]).toEqual(['__proto__', 'toString'])
    expect([...checkpoint.stateDict().keys()]).toEqual(['__proto__.constructor', 'toString'])
  })

  test('two tensors at one place', () => {
    using checkpoint = place(['bad', ['a']], ['good', ['a']])
    expect(checkpoint.skipped).toMatchObject([{ name: 'good', code: 'BAD_INDEX' }])
    expect(checkpoint.tensors.size).toBe(2)
  })
})
