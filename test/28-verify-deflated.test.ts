/** Checksums of deflated records, which are made of what they inflate to. */
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { constants, crc32, deflateRawSync } from 'node:zlib'
import { describe, expect, test } from '@jest/globals'
import { FormatError } from '../lib/errors'
import { open, openSync, type VerifyProgress } from '../lib/index'
import { inflate } from '../lib/inflate'
import { zipWithChecksums } from './support/archives'
import { op, pickle } from './support/bytes'
import { refusal, rejection, temporaryFolder } from './support/samples'

const folder = temporaryFolder('verify-deflated')

const data = Buffer.alloc(4000, 'some text that repeats ')

const entry = (name: string, bytes: Buffer, crc: number, stored = deflateRawSync(bytes)) => ({
  name,
  data: stored,
  method: 8,
  size: bytes.length,
  crc,
})

const archive = (...entries: ReturnType<typeof entry>[]) =>
  zipWithChecksums([{ name: 'a/data.pkl', data: pickle(op.NONE) }, ...entries])

/** Numbers below `span`, the same each time. */
function noise(bytes: number, span: number): Buffer {
  let state = 1
  return Buffer.from(
    Uint8Array.from({ length: bytes }, () => {
      state = (Math.imul(state, 1664525) + 1013904223) >>> 0
      return (state >>> 16) % span
    }),
  )
}

describe('deflated records', () => {
  test('are inflated', async () => {
    const deflated = deflateRawSync(data)
    const damaged = Buffer.from(deflated.subarray(0, deflated.length >> 1))
    const path = join(folder, 'deflated.pt')
    writeFileSync(
      path,
      archive(
        entry('a/good', data, crc32(data)),
        entry('a/absent', data, 0),
        entry('a/wrong', data, 77),
        entry('a/damaged', data, crc32(data), damaged),
      ),
    )
    for (const source of [path, readFileSync(path)]) {
      using checkpoint = openSync(source)
      const [, good, absent, wrong, broken] = await checkpoint.verify()
      const bytes = deflated.length
      const sum = crc32(data)
      expect(good).toMatchObject({ verdict: 'ok', bytes, ...{ expected: sum, actual: sum } })
      expect(absent).toMatchObject({ verdict: 'absent', bytes })
      expect(wrong).toMatchObject({ verdict: 'mismatch', bytes, expected: 77, actual: sum })
      expect(broken).toMatchObject({ verdict: 'mismatch', bytes: damaged.length, expected: sum })
      expect(broken!.actual).toBeUndefined()
      expect(broken!.message).toMatch(/damaged|inflates to/)
    }
  })

  test('are left alone where they are larger than allowed', async () => {
    using checkpoint = openSync(archive(entry('a/good', data, crc32(data))), {
      limits: { inflatedBytes: 3999 },
    })
    const [, good] = await checkpoint.verify()
    expect(good).toMatchObject({ verdict: 'none' })
    expect(good!.message).toContain('inflates to 4000 bytes where limits.inflatedBytes allows 3999')
  })
})

describe('a large deflated record', () => {
  const large = noise(8 << 20, 64)
  const stored = deflateRawSync(large, { level: 1 })
  /** So long that a thread that inflates it is seen at work: the same many times. */
  const REPEATED = 16
  const block = deflateRawSync(large, { level: 1, finishFlush: constants.Z_SYNC_FLUSH })
  const long = {
    ...entry('a/large', large, 0, Buffer.concat([...Array(REPEATED).fill(block), Buffer.of(3, 0)])),
    size: REPEATED * large.length,
    crc: Array<Buffer>(REPEATED)
      .fill(large)
      .reduce((sum, part) => crc32(part, sum), 0),
  }
  const path = join(folder, 'large.pt')
  const write = (...entries: ReturnType<typeof entry>[]) => writeFileSync(path, archive(...entries))

  test('lets timers fire and tells how far it is, the right verdict in the end', async () => {
    write(long, entry('a/small', data, crc32(data)))
    for (const source of [path, archive(long)]) {
      using checkpoint = openSync(source)
      const events: VerifyProgress[] = []
      let [ticks, seen] = [0, 0]
      const timer = setInterval(() => ++ticks, 1)
      const verdicts = await checkpoint.verify({
        onProgress: (event) => {
          events.push(event)
          const isInside = event.loaded > 0 && event.loaded < event.total
          if (isInside) seen = ticks
        },
      })
      clearInterval(timer)
      expect(seen).toBeGreaterThan(5)
      const { length: bytes } = long.data
      expect(verdicts[1]).toMatchObject({ record: 'a/large', verdict: 'ok', bytes })
      expect(verdicts.every(({ verdict }) => verdict === 'ok')).toBe(true)
      const inside = events.filter(({ loaded, total }) => loaded > 1000 && loaded < total - 1000)
      expect(new Set(inside.map(({ loaded }) => loaded)).size).toBeGreaterThan(2)
      for (const [i, { loaded, total }] of events.entries()) {
        expect(total).toBe(checkpoint.size)
        expect(loaded).toBeGreaterThanOrEqual(events[i - 1]?.loaded ?? 0)
      }
      expect(events.at(-1)!.loaded).toBe(checkpoint.size)
    }
  })

  test('stops inside when asked to, or when the checkpoint is closed', async () => {
    write(long)
    const checkpoint = openSync(path)
    const reason = new Error('enough')
    for (const stop of ['signal', 'timer', 'listener', 'close'] as const) {
      const controller = new AbortController()
      let last = 0
      const onProgress = ({ loaded, total }: VerifyProgress) => {
        last = loaded / total
        if (loaded === 0 || last < 0.2) return
        if (stop === 'signal') controller.abort(reason)
        if (stop === 'timer') setTimeout(() => controller.abort(reason), 1)
        if (stop === 'listener') throw reason
        if (stop === 'close') checkpoint.close()
      }
      const error = await rejection(checkpoint.verify({ onProgress, signal: controller.signal }))
      if (stop === 'close') expect(error).toMatchObject({ code: 'CLOSED' })
      else expect(error).toBe(reason)
      expect(last).toBeGreaterThan(0)
      expect(last).toBeLessThan(0.8)
    }
    const controller = new AbortController()
    setTimeout(() => controller.abort(reason), 20)
    const opening = open(path, { verify: true, signal: controller.signal })
    expect(await rejection(opening)).toBe(reason)
  })

  const sum = crc32(large)
  const half = stored.subarray(0, stored.length >> 1)
  const flipped = Buffer.from(stored)
  flipped[flipped.length - 1000]! ^= 0x40
  const damages = {
    'another checksum': [entry('a/large', large, 77, stored), undefined],
    'its end cut off': [entry('a/large', large, sum, half), /damaged|inflates to/],
    'a flipped bit': [entry('a/large', large, sum, flipped), undefined],
    'a size that is too small': [
      entry('a/large', large.subarray(0, 1 << 20), sum, stored),
      /inflates to more than 1048576 bytes where the archive says 1048576/,
    ],
    'a size that is too large': [
      { ...entry('a/large', large, sum, stored), size: large.length + 1 },
      new RegExp(`inflates to ${large.length} bytes where the archive says ${large.length + 1}`),
    ],
    'a size that is impossible': [
      { ...entry('a/large', data, crc32(data)), size: 1 << 30 },
      /deflated bytes cannot inflate to 1073741824 bytes/,
    ],
  } satisfies Record<string, [ReturnType<typeof entry>, RegExp | undefined]>

  test.each(Object.keys(damages))('with %s is a mismatch', async (name) => {
    const [made, message] = damages[name as keyof typeof damages]
    write(made)
    using checkpoint = openSync(path)
    const [, found] = await checkpoint.verify()
    const { length: bytes } = made.data
    expect(found).toMatchObject({ record: 'a/large', verdict: 'mismatch', bytes })
    if (message !== undefined) expect(found!.message).toMatch(message)
    const error = refusal(() => openSync(path, { verify: true }))
    expect(error).toMatchObject({ code: 'CHECKSUM_MISMATCH', path, record: 'a/large' })
    expect(await rejection(open(path, { verify: true }))).toEqual(error)
  })
})

describe('what deflate makes of', () => {
  const samples: Record<string, Buffer> = {
    nothing: Buffer.alloc(0),
    'one byte': Buffer.from('a'),
    text: data,
    zeros: Buffer.alloc(1 << 20),
    noise: noise(1 << 19, 256),
    'some of each': Buffer.concat([noise(200_000, 7), Buffer.alloc(200_000), noise(90_000, 256)]),
  }
  const strategies = [
    { level: 0 },
    { level: 1 },
    { level: 9 },
    { strategy: constants.Z_FIXED },
    { strategy: constants.Z_HUFFMAN_ONLY },
    { strategy: constants.Z_RLE },
  ]

  const verdictOf = (bytes: Buffer, deflated: Buffer<ArrayBuffer>) => {
    using checkpoint = openSync(archive(entry('a/x', bytes, crc32(bytes), deflated)))
    return checkpoint.verifySync()[1]!
  }

  test.each(Object.keys(samples))('%s is right whole, and no part of it', (name) => {
    const bytes = samples[name]!
    for (const options of strategies) {
      const deflated = deflateRawSync(bytes, options)
      expect(verdictOf(bytes, deflated)).toMatchObject({ verdict: 'ok', actual: crc32(bytes) })
      // Whatever stands behind the end does not count.
      const longer = Buffer.concat([deflated, Buffer.alloc(1 << 20, 7)])
      expect(verdictOf(bytes, longer)).toMatchObject({ verdict: 'ok', actual: crc32(bytes) })
      for (const length of [1, 2, deflated.length >> 1, deflated.length - 1]) {
        if (length >= deflated.length) continue
        const cut = deflated.subarray(0, length)
        expect([length, verdictOf(bytes, cut)]).toEqual([
          length,
          expect.objectContaining({ verdict: 'mismatch', message: expect.any(String) }),
        ])
        const place = { exactly: true, limit: 2 ** 40, place: {} }
        expect(() => inflate(cut, bytes.length, place)).toThrow(FormatError)
      }
    }
  })

  test('a bomb stops where more comes out than is said, before much is read', async () => {
    const path = join(folder, 'bomb.pt')
    const stored = deflateRawSync(Buffer.alloc(128 << 20))
    writeFileSync(path, archive(entry('a/bomb', Buffer.alloc(4 << 20), 77, stored)))
    using checkpoint = openSync(path)
    let read = 0
    const onProgress = ({ loaded, total }: VerifyProgress) => {
      if (loaded < total) read = Math.max(read, loaded)
    }
    const [, found] = await checkpoint.verify({ onProgress })
    expect(found).toMatchObject({ verdict: 'mismatch' })
    expect(found!.message).toContain('inflates to more than 4194304 bytes')
    expect(read).toBeLessThan(stored.length)
  })
})
