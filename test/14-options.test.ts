/** The options of `open`: what is refused, and what each does. */
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, test } from '@jest/globals'
import { LIMITS, open, openSync, type Source } from '../lib/index'
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
} from './support/bytes'
import { ramp, refusal, rejection, temporaryFolder, tensorOf, writeSample } from './support/samples'

const folder = temporaryFolder('options')
const path = writeSample(join(folder, 'sample.pth'))

type ArgumentError = Error & { code: string }

/** The error of a call with arguments of wrong types: from openSync, which open must reject with. */
async function argumentError(...args: unknown[]): Promise<ArgumentError> {
  const error = await rejection((open as (...args: unknown[]) => Promise<unknown>)(...args))
  let thrown: unknown
  try {
    ;(openSync as (...args: unknown[]) => unknown)(...args)
  } catch (reason) {
    thrown = reason
  }
  expect(thrown).toEqual(error)
  return error as ArgumentError
}

describe('arguments', () => {
  test.each<[string, unknown]>([
    ['nothing', undefined],
    ['null', null],
    ['a number', 3],
    ['an object', {}],
    ['an ArrayBuffer', new ArrayBuffer(8)],
    ['floats', new Float32Array(2)],
    ['a DataView', new DataView(new ArrayBuffer(8))],
    ['a function', () => path],
  ])('%s is no source', async (_, source) => {
    const error = await argumentError(source)
    expect(error).toMatchObject({ name: 'TypeError', code: 'ERR_INVALID_ARG_TYPE' })
    expect(error.message).toContain(
      'a path, a URL, bytes, a source of bytes or an array of parts for source',
    )
  })

  test.each<[unknown, string]>([
    ['a\0b', 'ERR_INVALID_ARG_VALUE'],
    [new URL('ftp://localhost/x.pth'), 'ERR_INVALID_URL_SCHEME'],
    ['file://elsewhere/x.pth', 'ERR_INVALID_FILE_URL_HOST'],
    [['a\0b'], 'ERR_INVALID_ARG_VALUE'],
    [['a.pth', 3], 'ERR_INVALID_ARG_TYPE'],
    [[], 'ERR_INVALID_ARG_VALUE'],
    [['no such file', 'b.pth'], 'MISSING_SHARD'],
  ])('%p is %s', async (source, code) => {
    expect((await argumentError(source)).code).toBe(code)
  })

  test.each<[unknown, string]>([
    [null, 'options'],
    [3, 'options'],
    ['strict', 'options'],
    [[], 'options'],
    [{ signal: 3 }, 'options.signal'],
    [{ signal: null }, 'options.signal'],
    [{ signal: {} }, 'options.signal'],
    [{ mmap: 1 }, 'options.mmap'],
    [{ mmap: null }, 'options.mmap'],
    [{ verify: 1 }, 'options.verify'],
    [{ limits: 3 }, 'options.limits'],
    [{ limits: null }, 'options.limits'],
    [{ limits: { nodes: '3' } }, 'options.limits.nodes'],
    [{ limits: { nodes: 3n } }, 'options.limits.nodes'],
  ])('%p has a wrong type', async (options, name) => {
    const error = await argumentError(path, options)
    expect(error).toMatchObject({ name: 'TypeError', code: 'ERR_INVALID_ARG_TYPE' })
    expect(error.message).toContain(` for ${name} but received `)
  })

  test.each<[unknown, string]>([
    ...[0, -1, 1.5, Number.NaN, Number.POSITIVE_INFINITY, 2 ** 53].map(
      (value): [unknown, string] => [{ limits: { nodes: value } }, 'options.limits.nodes'],
    ),
    [{ globals: 'none' }, 'options.globals'],
    [{ io: 'read' }, 'options.io'],
    [{ io: null }, 'options.io'],
    [{ io: true }, 'options.io'],
    [{ io: 'auto', mmap: true }, 'options.io'],
    [{ globals: 1 }, 'options.globals'],
    [{ parts: 'all' }, 'options.parts'],
    [{ parts: true }, 'options.parts'],
  ])('%p has a wrong value', async (options, name) => {
    const error = await argumentError(path, options)
    expect(error).toMatchObject({ name: 'RangeError', code: 'ERR_INVALID_ARG_VALUE' })
    expect(error.message).toContain(` for ${name} but received `)
  })

  test.each<[unknown, string]>([
    [{ nmap: true }, 'Expected perhaps mmap in options but received the unknown name nmap'],
    [{ Signal: 1 }, 'Expected perhaps signal in options but received the unknown name Signal'],
    [
      { weightsOnly: true },
      'Expected one of signal, limits, io, mmap, globals, parts, salvage, verify, remote in options',
    ],
    [{ limits: { node: 3 } }, 'Expected perhaps nodes in options.limits'],
    [{ limits: { copy_bytes: 3 } }, 'Expected perhaps copyBytes in options.limits'],
  ])('%p has an unknown name', async (options, message) => {
    const error = await argumentError(path, options)
    expect(error).toMatchObject({ name: 'TypeError', code: 'ERR_INVALID_ARG_VALUE' })
    expect(error.message).toContain(message)
  })

  test('undefined is the default', () => {
    const limits = { nodes: undefined } as unknown as Record<string, number>
    const options = {
      signal: undefined,
      io: undefined,
      mmap: undefined,
      globals: undefined,
      limits,
    }
    const checkpoint = openSync(path, options)
    expect(checkpoint.isMapped).toBe(true)
    checkpoint.close()
  })
})

describe('mmap: false', () => {
  test('reads the same, and copies', async () => {
    for (const checkpoint of [openSync(path, { mmap: false }), await open(path, { mmap: false })]) {
      expect(checkpoint.isMapped).toBe(false)
      const [weight, tied] = ['weight', 'tied'].map((name) => tensorOf(checkpoint, name))
      expect(weight?.data).toEqual(ramp(6))
      expect(weight?.isZeroCopy).toBe(false)
      expect(tied?.data.buffer).toBe(weight?.data.buffer)
      checkpoint.close()
    }
  })
})

describe('globals', () => {
  const source = checkpointOf(pickle(global('posix', 'system'), text('id'), op.TUPLE1, op.REDUCE))

  test('strict names the one it does not know', async () => {
    const file = join(folder, 'unsafe.pth')
    writeFileSync(file, source)
    for (const from of [source, file] as Source[]) {
      const error = await rejection(open(from, { globals: 'strict' }))
      expect(error).toMatchObject({ name: 'UnsafeError', code: 'UNSAFE_GLOBAL' })
      expect(error).toMatchObject({ global: 'posix.system', offset: expect.any(Number) })
      expect(error.message).toContain("'posix.system'")
      expect(refusal(() => openSync(from, { globals: 'strict' })).message).toBe(error.message)
    }
  })

  test('opaque makes it data that nobody calls', () => {
    const { root } = openSync(source)
    expect(root).toMatchObject({ module: 'posix', name: 'system' })
  })

  test('strict knows what torch writes', () => {
    const checkpoint = openSync(path, { globals: 'strict' })
    expect(checkpoint.tensors.size).toBe(4)
    checkpoint.close()
  })
})

describe('limits', () => {
  const many = (...parts: Part[]) => Buffer.concat(Array<Buffer>(10_000).fill(bytes(...parts)))
  const memo = Array.from({ length: 10_000 }, (_, i) => bytes(op.NONE, 'p', `${i}\n`, op.POP))

  test.each<[string, string, Uint8Array, number]>([
    ['opcodes', 'LIMIT_OPCODES', pickle(many(op.NONE, op.POP), op.NONE), 5000],
    ['nodes', 'LIMIT_NODES', pickle(op.MARK, many(op.EMPTY_LIST), op.TUPLE), 5000],
    ['memo', 'LIMIT_MEMO', pickle(...memo, op.NONE), 5000],
    ['string', 'LIMIT_STRING', pickle(text('x'.repeat(1001))), 1000],
    ['names', 'LIMIT_NAMES', pickle(op.MARK, tensor(), tensor(), tensor(), op.TUPLE), 2],
    [
      'nameBytes',
      'LIMIT_NAMES',
      pickle(op.EMPTY_DICT, text('x'.repeat(100)), tensor(), op.SETITEM),
      50,
    ],
    ['records', 'LIMIT_RECORDS', pickle(op.NONE), 2],
    ['work', 'LIMIT_WORK', pickle(tenfold(tensor(), 3)), 1],
  ])('%s', async (name, code, data, limit) => {
    const source = checkpointOf(data)
    openSync(source).close()
    const error = await rejection(open(source, { limits: { [name]: limit } }))
    expect(error).toMatchObject({ name: 'LimitError', code, limitName: name, limit })
    expect((error as unknown as { actual: number }).actual).toBeGreaterThan(limit)
    expect(error.message).toContain(`limits.${name}`)
    expect(error.message).toContain(String(limit))
  })

  test('copyBytes bounds copies, not views', () => {
    const checkpoint = openSync(path, { limits: { copyBytes: 4 } })
    expect(tensorOf(checkpoint, 'weight').data.length).toBe(6)
    const error = refusal(() => tensorOf(checkpoint, 'column').data)
    expect(error).toMatchObject({ code: 'LIMIT_STORAGE', limitName: 'copyBytes', actual: 8 })
    checkpoint.close()
  })

  test('the defaults are frozen, and stand in the documentation of the core', () => {
    expect(Object.isFrozen(LIMITS)).toBe(true)
    const table = readFileSync(join(__dirname, '../native/core/limits.def'), 'utf8')
    for (const name of Object.keys(LIMITS)) expect(table).toContain(`"${name}"`)
  })
})

describe('signal', () => {
  const large = join(folder, 'large.pth')
  writeFileSync(
    large,
    checkpointOf(pickle(op.MARK, Buffer.alloc(40_000_000, op.EMPTY_LIST), op.TUPLE)),
  )

  test.each([[undefined], ['a reason'], [new Error('of the caller')], [0]])(
    'aborted before: nothing is opened, the reason %p is passed on',
    async (reason) => {
      const signal = AbortSignal.abort(reason)
      await expect(rejection(open('/no such file', { signal }))).resolves.toBe(signal.reason)
      let thrown: unknown
      try {
        openSync('/no such file', { signal })
      } catch (error) {
        thrown = error
      }
      expect(thrown).toBe(signal.reason)
    },
  )

  test('aborted while a large pickle is decoded: the reason is passed on', async () => {
    const controller = new AbortController()
    const opening = rejection(open(large, { signal: controller.signal }))
    setImmediate(() => controller.abort(new Error('enough')))
    expect(await opening).toBe(controller.signal.reason)
  })

  test('aborted after: nothing happens', async () => {
    const controller = new AbortController()
    const checkpoint = await open(path, { signal: controller.signal })
    controller.abort()
    expect(tensorOf(checkpoint, 'weight').data).toEqual(ramp(6))
    checkpoint.close()
  })

  test('one signal for many: no listener is left', async () => {
    const controller = new AbortController()
    const { signal } = controller
    const warned: unknown[] = []
    const listen = (warning: Error) => warned.push(warning.name)
    process.on('warning', listen)
    const opened = await Promise.all(Array.from({ length: 8 }, () => open(path, { signal })))
    for (let i = 0; i < 100; ++i) opened.push(await open(path, { signal }))
    await new Promise(setImmediate)
    process.off('warning', listen)
    expect(warned).toEqual([])
    for (const checkpoint of opened) checkpoint.close()
  })
})
