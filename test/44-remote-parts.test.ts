/** Checkpoints of several files behind URLs; what was fetched, kept on the disk. */
import { readdirSync, readFileSync, rmSync, truncateSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, beforeEach, describe, expect, test } from '@jest/globals'
import { open, openSync } from '../lib/index'
import { FIXTURES } from './support/golden'
import { RangeServer } from './support/range-server'
import { isRamp, names, writeLarge } from './support/remote-samples'
import { elementBytes, rejection, temporaryFolder, tensorOf, writeSample } from './support/samples'

const folder = temporaryFolder('remote-parts')
const sample = writeSample(join(folder, 'sample.pth'))
const large = writeLarge(join(folder, 'large.pth'))

const server = new RangeServer()
let url = ''
beforeAll(async () => {
  await server.start()
  url = server.add('large.pth', readFileSync(large))
})
afterAll(() => server.close())
beforeEach(() => server.reset())

describe('several files', () => {
  const split = join(FIXTURES, 'split/hub-safetensors')
  for (const name of readdirSync(split)) server.add(`hub/${name}`, readFileSync(join(split, name)))
  const index = readdirSync(split).find((name) => name.endsWith('.index.json'))!
  const here = openSync(split)

  test('by their index', async () => {
    const checkpoint = await open(server.url(`hub/${index}?token=1`))
    expect(checkpoint.format).toBe('split')
    await checkpoint.load()
    expect(elementBytes(checkpoint)).toEqual(elementBytes(here))
    expect([...checkpoint.tensors.keys()]).toEqual([...here.tensors.keys()])
    expect(checkpoint.parts.every(({ path }) => !path.includes('token'))).toBe(true)
    expect(new Set(server.requests.map(({ path }) => path)).size).toBe(here.parts.length + 1)
  })

  test('one by one, as URLs or sources', async () => {
    const parts = here.parts.map(({ path }) => path)
    const urls = parts.map((path) => server.url(`hub/${path.split('/').at(-1)}`))
    const blobs = parts.map((path) => new Blob([readFileSync(path)]))
    for (const sources of [urls, blobs, [urls[0]!, ...blobs.slice(1)]]) {
      const checkpoint = await open(sources)
      await checkpoint.load()
      expect(elementBytes(checkpoint)).toEqual(
        new Map(
          [...elementBytes(openSync(parts))].filter(([name]) => checkpoint.tensors.has(name)),
        ),
      )
      expect(checkpoint.tensors.size).toBe(here.tensors.size)
    }
  })

  test('a part that is not there, or outside', async () => {
    const map = { weight_map: { a: 'none.safetensors' } }
    const missing = server.add('hub/missing.json', Buffer.from(JSON.stringify(map)))
    expect(await rejection(open(missing))).toMatchObject({
      code: 'MISSING_SHARD',
      path: server.url('hub/none.safetensors'),
    })
    for (const file of ['../x.bin', '/x.bin', 'http://localhost/x.bin', 'a/../../x']) {
      server.reset()
      const outside = JSON.stringify({ weight_map: { a: file } })
      const error = await rejection(open(server.add('hub/out.json', Buffer.from(outside))))
      const code = (error as { code?: string }).code
      expect({ file, code }).toEqual({
        file,
        code: file.startsWith('http') ? 'MISSING_SHARD' : 'BAD_INDEX',
      })
      expect(server.requests.every(({ path }) => path.startsWith('hub/'))).toBe(true)
    }
  })
})

describe('a cache on the disk', () => {
  test('gives what was fetched before, of the same version', async () => {
    const cache = join(folder, 'cache')
    const options = { remote: { cache } }
    const first = await open(`${url}?X-Amz-Signature=1`, options)
    await first.load(names.slice(10, 20))
    const [count, sent] = [server.requests.length, server.sent]
    expect(count).toBeGreaterThan(2)
    const second = await open(`${url}?X-Amz-Signature=2`, options)
    await second.load(names.slice(12, 18))
    // The first bytes tell which version it is.
    expect(server.requests.length).toBe(count + 1)
    expect(server.sent - sent).toBe(65_536)
    for (let i = 12; i < 18; ++i) expect(isRamp(tensorOf(second, `layer.${i}`).data, i)).toBe(true)
    await second.load()
    for (const [i, name] of names.entries())
      expect(isRamp(tensorOf(second, name).data, i)).toBe(true)
    const other = await open(`${url}?version=2`, options)
    expect(server.requests.length).toBeGreaterThan(count + 2)
    other.close()
    const [object] = readdirSync(cache)
    expect(readdirSync(cache).length).toBe(2)
    expect(readdirSync(join(cache, object!)).every((name) => /^\d+-\d+$/.test(name))).toBe(true)
  })

  test('knows no damaged or foreign files, and no other version', async () => {
    const cache = join(folder, 'cache-2')
    const options = { remote: { cache } }
    await (await open(url, options)).load()
    const [object] = readdirSync(cache)
    for (const [i, name] of readdirSync(join(cache, object!)).entries()) {
      if (i % 2 === 0) truncateSync(join(cache, object!, name), 3)
    }
    writeFileSync(join(cache, object!, '0-99999999999'), 'x')
    writeFileSync(join(cache, object!, 'notes.txt'), 'x')
    const again = await open(url, options)
    await again.load()
    for (const [i, name] of names.entries())
      expect(isRamp(tensorOf(again, name).data, i)).toBe(true)
    server.reset()
    server.files.get('large.pth')!.etag = '"2"'
    const changed = await open(url, options)
    await changed.load(['layer.1'])
    expect(server.requests.length).toBe(3)
    expect(readdirSync(cache).length).toBe(2)
    server.files.get('large.pth')!.etag = '"1"'
    rmSync(cache, { recursive: true })
  })

  test('is not for objects without a version', async () => {
    const cache = join(folder, 'cache-3')
    const nameless = server.add('nameless', readFileSync(sample), null)
    await (await open(nameless, { remote: { cache } })).load()
    expect(() => readdirSync(cache)).toThrow('ENOENT')
  })
})
