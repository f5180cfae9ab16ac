/** The lock file: what is written, what is refused, and what is said of models that changed. */
import { readFileSync, writeFileSync } from 'node:fs'
import { join, relative } from 'node:path'
import { Readable } from 'node:stream'
import { describe, expect, test } from '@jest/globals'
import { isCheckpointError, open } from '../lib/index'
import { digestOf, digestOfFile } from '../lib/zoo/digest'
import {
  absentModels,
  checkLock,
  lockOf,
  lockText,
  parseLock,
  readLock,
  writeLock,
} from '../lib/zoo/lock'
import type { Finding, TensorDetail } from '../lib/zoo/result'
import { refusal, rejection, temporaryFolder, writeSample } from './support/samples'

const folder = temporaryFolder('lock')

/** What a result has for the lock. */
async function resultOf(path: string) {
  const checkpoint = await open(path)
  const details: TensorDetail[] = []
  for (const [name, tensor] of checkpoint.tensors) {
    const { dtype, shape, byteLength: bytes } = tensor
    details.push({ name, dtype, shape, bytes, digest: await digestOf(tensor) })
  }
  checkpoint.close()
  return { path, bytes: checkpoint.size, files: { [path]: await digestOfFile(path) }, details }
}

const said = (findings: readonly Finding[]) =>
  findings.map(({ rule, message }) => `${rule}: ${message}`)

/** A digest that begins with this. */
const digest = (start: string) => start.padEnd(64, '0')

const model = (path: string, files: Record<string, string>, tensors?: Record<string, string>) => ({
  path: join(folder, path),
  bytes: 10,
  files: Object.fromEntries(
    Object.entries(files).map(([file, own]) => [join(folder, file), digest(own)]),
  ),
  ...(tensors && {
    details: Object.entries(tensors).map(([name, own]) => {
      return { name, dtype: 'float32' as const, shape: [1], bytes: 4, digest: digest(own) }
    }),
  }),
})

describe('the file', () => {
  test('is sorted, a file and a tensor on a line each', () => {
    const lock = lockOf(
      [
        model('b/two.pth', { 'b/two.pth': 'b2' }, { '10': 'c', '9': 'd', __proto__x: 'e' }),
        model('a.pth', { 'z.bin': 'a1', 'a.pth': 'a2' }),
      ],
      folder,
    )
    const zeros = (start: string) => `"${digest(start)}"`
    expect(lockText(lock)).toMatch(/"digest": "[0-9a-f]{64}"/)
    expect(lockText(lock).replace(/"digest": "\w+"/, '"digest": "-"')).toBe(`{
  "version": 1,
  "models": {
    "a.pth": {
      "bytes": 10,
      "files": {
        "a.pth": ${zeros('a2')},
        "z.bin": ${zeros('a1')}
      }
    },
    "b/two.pth": {
      "bytes": 10,
      "files": {
        "b/two.pth": ${zeros('b2')}
      },
      "digest": "-",
      "tensors": {
        "10": ${zeros('c')},
        "9": ${zeros('d')},
        "__proto__x": ${zeros('e')}
      }
    }
  }
}
`)
  })

  test('is read as it was written, whatever names there are', async () => {
    const names = ['__proto__', 'constructor', 'a"b', 'line\nbreak', '重み', '0', '\ud800']
    const tensors = Object.fromEntries(names.map((name, i) => [name, String(i)]))
    Object.defineProperty(tensors, '__proto__', { value: 'f', enumerable: true })
    const lock = lockOf(
      [model('m.pth', { 'm.pth': 'a' }, tensors), model('empty.pth', {}, {})],
      folder,
    )
    const path = join(folder, 'zoo.lock.json')
    await writeLock(path, lock)
    const read = await readLock(path)
    expect(read).toEqual(lock)
    expect(lockText(read)).toBe(readFileSync(path, 'utf8'))
    expect(read.models.get('m.pth')?.tensors?.size).toBe(7)
  })

  const good = { version: 1, models: { 'a.pth': { bytes: 1, files: {} } } }
  const file = (change: object) =>
    JSON.stringify({ ...good, models: { 'a.pth': { ...good.models['a.pth'], ...change } } })
  test.each([
    ['{', /is no JSON/],
    ['[]', /has no object for its content/],
    ['{"version":2}', /has the version 2, which is not 1/],
    ['{"models":{}}', /has the version undefined/],
    ['{"version":1}', /has no object for models/],
    ['{"version":1,"models":{"a":3}}', /has no object for 'a'/],
    [file({ bytes: -1 }), /has no number of bytes for 'a.pth'/],
    [file({ bytes: '1' }), /has no number of bytes/],
    [file({ files: null }), /has no object for files of 'a.pth'/],
    [file({ files: { x: 'abc' } }), /has no SHA-256 for 'x' in files of 'a.pth'/],
    [file({ tensors: { w: 4 } }), /has no SHA-256 for 'w' in tensors of 'a.pth'/],
    [file({ tensors: { w: digest('1') }, digest: digest('2') }), /that its digest is not of/],
  ])('%s is refused', (text, message) => {
    const error = refusal(() => parseLock(text, 'x/zoo.lock.json'))
    expect(isCheckpointError(error, 'BAD_INDEX')).toBe(true)
    expect(error.message).toMatch(message)
    expect(error.path).toBe('x/zoo.lock.json')
  })

  test('one that is not there is the refusal of the system', async () => {
    expect(await rejection(readLock(join(folder, 'none')))).toMatchObject({ code: 'ENOENT' })
  })
})

describe('what is said', () => {
  const recorded = model('m.pth', { 'm.pth': 'a' }, { w: '1', b: '2' })
  const lock = lockOf([recorded], folder)

  test('nothing of what is the same, wherever one stands', () => {
    expect(checkLock(lock, recorded)).toEqual([])
    expect(checkLock(lock, { ...recorded, path: relative('.', recorded.path) })).toEqual([])
    expect(absentModels(lock, [recorded])).toEqual([])
  })

  test('another file with the same tensors', () => {
    const now = model('m.pth', { 'm.pth': 'b' }, { b: '2', w: '1' })
    expect(said(checkLock(lock, now))).toEqual([
      "recorded/file: 'm.pth' has SHA-256 b00000000000..., recorded is a00000000000...; all 2 tensors are the recorded ones.",
    ])
  })

  test('other tensors, by name', () => {
    const now = model('m.pth', { 'm.pth': 'b' }, { w: '3', c: '2', d: '4' })
    const found = checkLock(lock, now)
    expect(said(found)).toEqual([
      "recorded/file: 'm.pth' has SHA-256 b00000000000..., recorded is a00000000000...; so are tensors.",
      "recorded/tensor: 'b' was recorded and is called 'c' now, and the same.",
      "recorded/tensor: 'w' has the digest 300000000000..., recorded is 100000000000....",
      "recorded/tensor: 'd' was not there when this was recorded.",
    ])
    expect(found.map(({ tensor }) => tensor)).toEqual([undefined, 'b', 'w', 'd'])
    expect(said(checkLock(lock, model('m.pth', { 'm.pth': 'a' }, { w: '1' })))).toEqual([
      "recorded/tensor: 'b' was recorded and is not there any more.",
    ])
  })

  test('many other tensors are not a finding each', () => {
    const all = (start: string) =>
      Object.fromEntries(Array.from({ length: 30 }, (_, i) => [`w${i}`, `${start}${10 + i}`]))
    const many = lockOf([model('m.pth', { 'm.pth': 'a' }, all('1'))], folder)
    const found = said(checkLock(many, model('m.pth', { 'm.pth': 'a' }, all('2'))))
    expect(found.length).toBe(21)
    expect(found[20]).toBe('recorded/tensor: 10 more tensors are not the recorded ones.')
  })

  test('tensors that were not looked at', () => {
    const now = model('m.pth', { 'm.pth': 'b' })
    expect(said(checkLock(lock, now))[0]).toContain('; tensors were not compared.')
  })

  test('parts that are more and less', () => {
    const split = lockOf([model('i.json', { 'i.json': 'a', '1.bin': 'b' }, { w: '1' })], folder)
    const now = model('i.json', { 'i.json': 'a', '2.bin': 'b' }, { w: '1' })
    const found = checkLock(split, now)
    expect(said(found)).toEqual([
      "recorded/file: '1.bin' was recorded as a part of 'i.json', and is none now; all 1 tensor is the recorded ones.",
      "recorded/file: '2.bin' is a part of 'i.json' now, and was none when that was recorded; all 1 tensor is the recorded ones.",
    ])
    expect(found.map(({ path }) => path)).toEqual(['1.bin', '2.bin'])
  })

  test('models that are more and less', () => {
    const now = model('n.safetensors', { 'n.safetensors': 'c' }, { w: '1', b: '2' })
    expect(said(checkLock(lock, now))).toEqual([
      "recorded/new: 'n.safetensors' is not in the lock file; its 2 tensors are those recorded for 'm.pth'.",
    ])
    const renamed = model(
      'n.safetensors',
      { 'n.safetensors': 'c' },
      { 'model.w': '1', 'model.b': '2' },
    )
    expect(said(checkLock(lock, renamed))[0]).toContain(
      "those recorded for 'm.pth', under other names.",
    )
    expect(said(checkLock(lock, model('n.pth', {}, { w: '1' })))).toEqual([
      "recorded/new: 'n.pth' is not in the lock file.",
    ])
    const [absent] = absentModels(lock, [now])
    expect(absent).toMatchObject({ rule: 'recorded/absent', path: 'm.pth' })
  })
})

test('the same weights in another container', async () => {
  const path = join(folder, 'real.pth')
  writeSample(path)
  const lock = parseLock(
    lockText(lockOf([await resultOf(path)], folder)),
    join(folder, 'zoo.lock.json'),
  )
  expect(checkLock(lock, await resultOf(path))).toEqual([])
  const checkpoint = await open(path)
  const converted = join(folder, 'real.safetensors')
  const chunks: Uint8Array[] = []
  for await (const chunk of Readable.fromWeb(checkpoint.readable() as never))
    chunks.push(chunk as Uint8Array)
  checkpoint.close()
  writeFileSync(converted, Buffer.concat(chunks))
  expect(said(checkLock(lock, await resultOf(converted)))).toEqual([
    "recorded/new: 'real.safetensors' is not in the lock file; its 4 tensors are those recorded for 'real.pth'.",
  ])
  writeFileSync(path, Buffer.concat(chunks))
  const [found, ...rest] = checkLock(lock, await resultOf(path))
  expect(found?.message).toMatch(
    /^'real.pth' has SHA-256 .*; all 4 tensors are the recorded ones\.$/,
  )
  expect(rest).toEqual([])
  writeSample(path, 1)
  expect(said(checkLock(lock, await resultOf(path))).slice(1)).toEqual(
    ['column', 'other', 'tied', 'weight'].map((name) => {
      return expect.stringMatching(new RegExp(`^recorded/tensor: '${name}' has the digest `))
    }),
  )
})
