/** `root`: Python's values as JavaScript's, with what is shared shared. */
import { join } from 'node:path'
import { inspect } from 'node:util'
import { describe, expect, test } from '@jest/globals'
import { NumpyArray, openSync, PyGlobal, PyObject, Storage, Tensor } from '../lib/index'
import { bytes, checkpointOf, global, op, type Part, pickle, tensor, text } from './support/bytes'
import { FIXTURES } from './support/golden'
import { walkRoot } from './support/walk'

const golden = (name: string) => openSync(join(FIXTURES, 'torch-2.13', name))
const rootOf = (...parts: Part[]) => openSync(checkpointOf(pickle(...parts))).root

describe('plain values', () => {
  test.each<[string, Part[], unknown]>([
    ['None', [op.NONE], null],
    ['True', [0x88], true],
    ['False', [0x89], false],
    ['an int', ['J', Buffer.of(0xff, 0xff, 0xff, 0xff)], -1],
    ['2^53 - 1', ['I9007199254740991\n'], 9007199254740991],
    ['2^53', ['I9007199254740992\n'], 9007199254740992n],
    ['-2^53', ['I-9007199254740992\n'], -9007199254740992n],
    ['2^64', ['L18446744073709551616L\n'], 18446744073709551616n],
    ['-2^200', [`L${-(2n ** 200n)}L\n`], -(2n ** 200n)],
    ['0 in no bytes', [0x8a, 0], 0],
    ['a float', ['G', Buffer.of(0xbf, 0xf8, 0, 0, 0, 0, 0, 0)], -1.5],
    ['-0.0', ['G', Buffer.of(0x80, 0, 0, 0, 0, 0, 0, 0)], -0],
    ['a string', [text('größe\0🔥')], 'größe\0🔥'],
    ['an empty string', [text('')], ''],
    ['bytes', ['C', 3, Buffer.of(0, 255, 1)], Uint8Array.of(0, 255, 1)],
    ['a tuple', [op.NONE, op.EMPTY_TUPLE, op.TUPLE2], [null, []]],
    ['a list', [op.EMPTY_LIST, op.NONE, op.APPEND], [null]],
    ['a set', [op.EMPTY_SET, op.MARK, op.BININT1, 7, op.ADDITEMS], new Set([7])],
    ['a dict', [op.EMPTY_DICT, op.BININT1, 7, text('x'), op.SETITEM], new Map([[7, 'x']])],
    ['a class', [global('collections', 'Foo')], new PyGlobal('collections', 'Foo')],
  ])('%s', (_, parts, wanted) => {
    const found = rootOf(...parts)
    expect(found).toStrictEqual(wanted)
    expect(Object.is(found, -0)).toBe(Object.is(wanted, -0))
  })

  test('keys keep their type', () => {
    const items = [
      bytes(op.BININT1, 1),
      text('1'),
      bytes(0x88),
      bytes(op.NONE),
      bytes(op.EMPTY_TUPLE),
    ]
    const source = items.map((key, i) => bytes(key, op.BININT1, i, op.SETITEM))
    const root = rootOf(op.EMPTY_DICT, ...source) as Map<unknown, unknown>
    expect([...root.keys()]).toEqual([1, '1', true, null, []])
  })
})

describe('sharing', () => {
  test('is kept: one list under two keys is one array', () => {
    const root = golden('values-shared-p2.pt').root as Map<string, unknown>
    expect(root.get('first')).toBe(root.get('second'))
    expect(root.get('first')).toEqual([1, 2])
  })

  test('cycles are cycles', () => {
    const [dict, list] = golden('values-cycle-p2.pt').root as [Map<string, unknown>, unknown[]]
    expect(dict.get('self')).toBe(dict)
    expect(dict.get('list')).toBe(list)
    expect(list[1]).toBe(list)
    const [tuple] = golden('values-tuple-cycle-p2.pt').root as [unknown[]]
    expect(walkRoot(tuple)).toBeGreaterThan(0)
  })

  test('an object whose state is itself', () => {
    const object = bytes(global('m', 'C'), op.EMPTY_TUPLE, op.REDUCE, op.BINPUT, 0)
    const root = rootOf(object, op.BINGET, 0, op.BUILD) as PyObject
    expect(root.state).toBe(root)
    expect(inspect(root, { depth: Infinity })).toBe(
      '<ref *1> PyObject m.C { args: [], state: [Circular *1] }',
    )
  })

  test('the root is the same each time; tensors are those of the map', () => {
    const checkpoint = golden('nesting.pt')
    const root = checkpoint.root as unknown[]
    expect(checkpoint.root).toBe(root)
    expect(root[0]).toBe(checkpoint.tensors.get('0'))
    const key = golden('optimizer.pt')
    expect(walkRoot(key.root)).toBeGreaterThan(5)
  })
})

describe('objects', () => {
  test('are inert: what they were made with, state, items', () => {
    const state = bytes(op.EMPTY_DICT, text('a'), op.BININT1, 1, op.SETITEM)
    const make = bytes(global('m.n', 'C'), op.BININT1, 5, op.TUPLE1, op.REDUCE)
    const root = rootOf(make, state, op.BUILD, op.MARK, op.NONE, op.APPENDS) as PyObject
    expect(root).toBeInstanceOf(PyObject)
    expect(root).toMatchObject({ module: 'm.n', name: 'C', args: [5], items: [null] })
    expect(root.state).toEqual(new Map([['a', 1]]))
    expect(String(root)).toBe('m.n.C')
    expect('kwargs' in root).toBe(false)
  })

  test('with keys, and with several states', () => {
    const make = bytes(global('m', 'C'), op.EMPTY_TUPLE, op.REDUCE)
    const keyed = rootOf(make, op.BININT1, 1, text('x'), op.SETITEM) as PyObject
    expect(keyed.entries).toEqual(new Map([[1, 'x']]))
    const built = rootOf(make, op.NONE, op.BUILD, op.BININT1, 2, op.BUILD) as PyObject
    expect(built.state).toEqual([null, 2])
  })

  test('names JavaScript gives meaning to have none', () => {
    const attributes = ['__proto__', 'constructor', 'toString', 'then', 'toJSON']
    const items = attributes.map((name) => bytes(text(name), op.BININT1, 1, op.SETITEM))
    const make = bytes(global('__proto__', 'constructor'), op.EMPTY_TUPLE, op.REDUCE)
    const root = rootOf(make, op.EMPTY_DICT, ...items, op.BUILD) as PyObject
    expect([...(root.state as Map<string, number>).keys()]).toEqual(attributes)
    expect(Object.getPrototypeOf(root)).toBe(PyObject.prototype)
    expect(({} as Record<string, unknown>).then).toBeUndefined()
  })

  test.each<[string, Part[]]>([
    ['os.system', [global('os', 'system'), text('exit 1'), op.TUPLE1, op.REDUCE]],
    ['builtins.eval', [global('builtins', 'eval'), text('1/0'), op.TUPLE1, op.REDUCE]],
    ['nt.system through INST', [op.MARK, text('exit 1'), 'int\nsystem\n']],
  ])('%s is not called', (_, parts) => {
    const root = rootOf(...parts) as PyObject
    expect(root).toBeInstanceOf(PyObject)
    expect(root.args?.length).toBe(1)
  })
})

describe('inspect', () => {
  const files = ['module.pt', 'values-cycle-p2.pt', 'values-containers-p2.pt', 'numpy-rare-p2.pt']

  test.each([...files, 'values-torch-p2.pt', 'optimizer.pt'])('%s can be printed', (file) => {
    const { root } = golden(file)
    for (const depth of [0, 2, Number.POSITIVE_INFINITY]) {
      expect(inspect(root, { depth, colors: depth === 2 }).length).toBeGreaterThan(0)
    }
  })

  test('one line for what has many parts', () => {
    const root = rootOf(global('m', 'C'), tensor(), op.TUPLE1, op.REDUCE) as PyObject
    expect(inspect(root)).toBe("PyObject m.C { args: [ Tensor('0' float32[4]) ] }")
    expect(inspect([[[root]]])).toContain('[PyObject m.C]')
    expect(inspect(new PyGlobal('m', 'f'))).toBe('PyGlobal(m.f)')
    expect(String(new PyGlobal('', 'f'))).toBe('f')
  })

  test('every class is told from the others', () => {
    const counts = new Map<unknown, number>()
    for (const file of ['numpy-beside-tensors.pt', 'module.pt', 'values-torch-p2.pt']) {
      const pending: unknown[] = [golden(file).root]
      const seen = new Set<unknown>()
      while (pending.length > 0) {
        const value = pending.pop()
        if (seen.has(value)) continue
        seen.add(value)
        for (const Class of [Tensor, NumpyArray, PyObject, PyGlobal, Storage]) {
          if (value instanceof Class) counts.set(Class, (counts.get(Class) ?? 0) + 1)
        }
        if (value instanceof Map) pending.push(...value.values())
        else if (Array.isArray(value)) pending.push(...value)
        else if (value instanceof PyObject) pending.push(value.state, value.args)
      }
    }
    for (const Class of [Tensor, NumpyArray, PyObject]) expect(counts.get(Class)).toBeGreaterThan(0)
  })
})
