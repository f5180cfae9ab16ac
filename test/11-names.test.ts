/** `tensors`: a map like any other, whose tensors are made when they are asked for. */
import { join } from 'node:path'
import { inspect } from 'node:util'
import { describe, expect, test } from '@jest/globals'
import { openSync, Tensor } from '../lib/index'
import { bytes, checkpointOf, op, type Part, pickle, tensor, text } from './support/bytes'
import { FIXTURES } from './support/golden'
import { tensorOf } from './support/samples'

const golden = (name: string) => openSync(join(FIXTURES, 'torch-2.13', name))
const open = (...parts: Part[]) => openSync(checkpointOf(pickle(...parts)))

/** A dict of new tensors under these names. */
const dict = (...names: string[]) =>
  bytes(op.EMPTY_DICT, ...names.map((name) => bytes(text(name), tensor(), op.SETITEM)))

const NAMES = ['encoder.weight', 'decoder.weight', 'decoder.row']

describe('a map', () => {
  test('has what a ReadonlyMap has, in file order', () => {
    const { tensors } = golden('tied.pt')
    expect(tensors.size).toBe(3)
    expect([...tensors.keys()]).toEqual(NAMES)
    expect([...tensors.values()].map(({ name }) => name)).toEqual(NAMES)
    expect([...tensors.entries()].map(([name, { name: own }]) => [name, own])).toEqual(
      NAMES.map((name) => [name, name]),
    )
    expect([...tensors].map(([name]) => name)).toEqual(NAMES)
    expect(Object.fromEntries(tensors)['decoder.row']?.shape).toEqual([3])
    expect(new Map(tensors).size).toBe(3)
  })

  test('has() and get() know the names, and nothing objects are born with', () => {
    const { tensors } = golden('tied.pt')
    expect(tensors.has('decoder.row')).toBe(true)
    for (const name of ['decoder', 'row', '', 'constructor', '__proto__', 'size']) {
      expect([tensors.has(name), tensors.get(name)]).toEqual([false, undefined])
    }
    const odd = golden('keys-unicode.pt').tensors
    for (const name of ['größe', '重み', '🔥', 'a/b', '..', 'nul\0', '__proto__', 'constructor']) {
      expect(odd.get(name)?.name).toBe(name)
    }
  })

  test('forEach() passes the map and the receiver', () => {
    const { tensors } = golden('tied.pt')
    const seen: unknown[] = []
    const receiver = {}
    tensors.forEach(function (this: unknown, tensor, name, map) {
      seen.push([name, tensor === tensors.get(name), map === tensors, this === receiver])
    }, receiver)
    expect(seen).toEqual(NAMES.map((name) => [name, true, true, true]))
  })

  test('iterators are independent, and can be left early', () => {
    const { tensors } = golden('tied.pt')
    const [first, second] = [tensors.keys(), tensors.keys()]
    expect([first.next().value, first.next().value, second.next().value]).toEqual([
      'encoder.weight',
      'decoder.weight',
      'encoder.weight',
    ])
    for (const [name] of tensors) {
      expect(name).toBe('encoder.weight')
      break
    }
    expect([...tensors].length).toBe(3)
  })

  test('is the same each time, and cannot be written to', () => {
    const checkpoint = golden('tied.pt')
    const { tensors } = checkpoint
    expect(checkpoint.tensors).toBe(tensors)
    for (const method of ['set', 'delete', 'clear']) expect(method in tensors).toBe(false)
    expect(Object.prototype.toString.call(tensors)).toBe('[object TensorMap]')
  })
})

describe('tensors of a map', () => {
  test('are the same object each time, from every side', () => {
    const { tensors } = golden('tied.pt')
    for (const [name, tensor] of tensors) {
      expect(tensor).toBeInstanceOf(Tensor)
      expect(tensors.get(name)).toBe(tensor)
    }
    expect([...tensors.values()]).toEqual([...tensors.entries()].map(([, tensor]) => tensor))
  })

  test('under two names are two, which share the storage', () => {
    const checkpoint = golden('tied.pt')
    const [encoder, decoder] = [tensorOf(checkpoint, NAMES[0]!), tensorOf(checkpoint, NAMES[1]!)]
    expect(encoder).not.toBe(decoder)
    expect([encoder.name, decoder.name]).toEqual(NAMES.slice(0, 2))
    expect(encoder.storage).toBe(decoder.storage)
    expect(encoder.data).toBe(decoder.data)
  })

  test('can be looked at and printed without reading them', () => {
    const checkpoint = golden('tied.pt')
    expect(inspect(checkpoint.tensors)).toBe(
      "TensorMap(3) { 'encoder.weight', 'decoder.weight', 'decoder.row' }",
    )
    expect(inspect(tensorOf(checkpoint, 'decoder.row'))).toBe("Tensor('decoder.row' float32[3])")
    expect(inspect(checkpoint)).toMatch(/^Checkpoint\('.*tied\.pt' zip, torch 2\.7 or newer, /)
    checkpoint.close()
    expect(inspect(checkpoint)).toMatch(/, closed\)$/)
    expect(inspect(tensorOf({ tensors: golden('tied.pt').tensors }, 'decoder.row').storage)).toBe(
      "Storage('0' float32, 24 bytes)",
    )
    expect(inspect(golden('storages-12.pt').tensors)).toMatch(/^TensorMap\(12\) \{ .*, \.\.\. \}$/)
    expect(inspect(golden('values-cycle-p2.pt').tensors)).toMatch(/^TensorMap\(0\)/)
  })
})

describe('names', () => {
  test('that are equal get a number, those that are in the file stay', () => {
    const collide = bytes(op.EMPTY_DICT, text('a'), dict('b'), op.SETITEM)
    const names = (...parts: Part[]) => [...open(...parts).tensors.keys()]
    const and = (name: string) => bytes(text(name), tensor(), op.SETITEM)
    expect(names(collide, and('a.b'))).toEqual(['a.b', 'a.b#2'])
    expect(names(collide, and('a.b'), and('a.b#2'))).toEqual(['a.b', 'a.b#3', 'a.b#2'])
    expect(names(collide, and('a.b#2'), and('a.b'))).toEqual(['a.b', 'a.b#2', 'a.b#3'])
    expect([...golden('keys-colliding.pt').tensors.keys()]).toEqual([
      'a.b',
      'a.b#2',
      'a.c.0',
      '1',
      '1#2',
    ])
  })

  test('of numbered ones lead to the right tensors', () => {
    const checkpoint = golden('keys-colliding.pt')
    const root = checkpoint.root as Map<unknown, unknown>
    expect(root.get('a.b')).toBe(checkpoint.tensors.get('a.b'))
    expect((root.get('a') as Map<string, unknown>).get('b')).toBe(checkpoint.tensors.get('a.b#2'))
  })

  test('many equal ones are numbered in linear work', () => {
    const nested = bytes(op.EMPTY_DICT, text('a'), dict('b'), op.SETITEM)
    const lists = Array.from({ length: 2000 }, () => nested)
    // [{a: {b}}, ...] has no equal names; {'0.a.b': x} beside it under one key of the root does.
    const joined = bytes(op.EMPTY_DICT, text('0.a.b'), tensor(), op.SETITEM)
    const checkpoint = open(op.MARK, op.MARK, ...lists, op.TUPLE, joined, op.TUPLE)
    expect(checkpoint.tensors.size).toBe(2001)
    expect(checkpoint.tensors.has('1.0.a.b')).toBe(true)
    expect(checkpoint.tensors.has('0.1999.a.b')).toBe(true)
  })

  test('of a tensor at the root is empty', () => {
    const checkpoint = golden('scalar.pt')
    expect([...checkpoint.tensors.keys()]).toEqual([''])
    expect(checkpoint.root).toBe(checkpoint.tensors.get(''))
  })
})
