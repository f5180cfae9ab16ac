/** How files are looked at: mapped, read, or as suits what they lie on. */
import { randomFillSync } from 'node:crypto'
import { statfsSync, truncateSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, test } from '@jest/globals'
import { type OpenOptions, openSync } from '../lib/index'
import { writeCheckpoint } from './support/checkpoint-writer'
import { inProcess } from './support/child'
import { FIXTURES } from './support/golden'
import {
  both,
  elementBytes,
  refusal,
  rejection,
  temporaryFolder,
  tensorOf,
  writeSample,
} from './support/samples'

const folder = temporaryFolder('io')
const STRATEGIES = ['auto', 'mmap', 'pread'] as const

/** A storage that several threads read, with a view that is gathered. */
const BYTES = 9 * 2 ** 20
const content = randomFillSync(new Uint8Array(BYTES))
const numel = BYTES / 4
let count = 0
function writeLarge(): string {
  const path = join(folder, `large-${++count}.pth`)
  writeCheckpoint(
    path,
    [
      { name: 'weight', type: 'Float', key: '0', numel, shape: [numel] },
      {
        name: 'turned',
        type: 'Float',
        key: '0',
        numel,
        shape: [512, numel / 512],
        stride: [1, 512],
      },
    ],
    [{ key: '0', size: BYTES, parts: [{ offset: 0, bytes: content }] }],
  )
  return path
}

describe('every strategy gives the same bytes', () => {
  test.each([
    'torch-2.13/state-dict.pt',
    'torch-2.13/views.pt',
    'torch-1.13/state-dict-legacy.pt',
    'crafted/zipfile-deflated.pt',
    'crafted/big-endian.pt',
    'safetensors/saved.safetensors',
    'split/hub-bin',
    'split/hub-safetensors',
    'dcp/uneven',
    'deepspeed/zero3',
  ])('of %s', async (name) => {
    const source = join(FIXTURES, name)
    using plain = openSync(source, { mmap: true })
    const wanted = elementBytes(plain)
    expect(wanted.size).toBeGreaterThan(0)
    for (const io of STRATEGIES) {
      for (const checkpoint of await both(source, { io })) {
        await checkpoint.prefetch()
        expect(elementBytes(checkpoint)).toEqual(wanted)
        if (io !== 'auto') expect(checkpoint.isMapped).toBe(io === 'mmap')
        checkpoint.close()
      }
    }
  })

  test.each(STRATEGIES)('of a large storage, %s', async (io) => {
    for (const checkpoint of await both(writeLarge(), { io })) {
      const weight = tensorOf(checkpoint, 'weight')
      expect(Buffer.compare(weight.bytes(), content)).toBe(0)
      expect(Buffer.compare(weight.bytes(5, BYTES - 3), content.subarray(5, -3))).toBe(0)
      const { data } = tensorOf(checkpoint, 'turned')
      const whole = new Uint32Array(content.buffer)
      const turned = new Uint32Array(data.buffer, data.byteOffset, data.length)
      const row = Uint32Array.from({ length: numel / 512 }, (_, i) => whole[7 + 512 * i]!)
      expect(turned.subarray((7 * numel) / 512, (8 * numel) / 512)).toEqual(row)
      checkpoint.close()
    }
  })
})

describe('what auto comes to', () => {
  // statfs(2): FUSE, NFS, CIFS, SMB 2, 9p.
  const REMOTE = [0x65735546, 0x6969, 0xff534d42, 0xfe534d42, 0x01021997]
  const isLinux = process.platform === 'linux'
  const isLocal =
    !isLinux || !REMOTE.includes(Number(BigInt.asUintN(32, BigInt(statfsSync(folder).type))))

  test('is said by isMapped, and is the default', () => {
    const path = writeSample(join(folder, 'sample.pth'))
    for (const options of [{}, { io: 'auto' }, { io: undefined }] satisfies OpenOptions[]) {
      using checkpoint = openSync(path, options)
      expect(checkpoint.isMapped).toBe(isLocal)
    }
  })

  test('of several files is that of those that are open', () => {
    for (const name of ['split/hub-bin', 'dcp/uneven', 'deepspeed/zero3']) {
      for (const io of STRATEGIES) {
        using checkpoint = openSync(join(FIXTURES, name), { io })
        for (const tensor of checkpoint.tensors.values()) tensor.bytes()
        if (io !== 'auto') expect(checkpoint.isMapped).toBe(io === 'mmap')
      }
    }
  })
})

test('mmap is short for io, and may not say something else', () => {
  const path = writeSample(join(folder, 'short.pth'))
  for (const [mmap, io] of [
    [true, 'mmap'],
    [false, 'pread'],
  ] as const) {
    using short = openSync(path, { mmap })
    using same = openSync(path, { mmap, io })
    expect([short.isMapped, same.isMapped]).toEqual([mmap, mmap])
    for (const other of STRATEGIES) {
      if (other === io) continue
      const use = () => openSync(path, { mmap, io: other })
      expect(use).toThrow(RangeError)
      expect(use).toThrow(`Expected '${io}', as options.mmap says, for options.io but received`)
    }
  }
})

describe('files that were shortened', () => {
  test.each(STRATEGIES)('are FILE_CHANGED before anything is looked at, %s', async (io) => {
    const path = writeLarge()
    using checkpoint = openSync(path, { io })
    truncateSync(path, BYTES / 2)
    for (const use of [
      () => tensorOf(checkpoint, 'weight').data,
      () => tensorOf(checkpoint, 'turned').data,
      () => tensorOf(checkpoint, 'weight').bytes(BYTES - 100),
    ]) {
      expect(refusal(use).code).toBe('FILE_CHANGED')
    }
    // Advice: what is not there is not brought in, and nobody is told.
    await checkpoint.prefetch()
  })

  test.each(STRATEGIES)('end no process while they are brought in, %s', (io) => {
    const ending = inProcess(
      async ({ openSync }, path, io) => {
        const { cpSync, truncateSync } = require('node:fs') as typeof import('node:fs')
        const told: string[] = []
        const tell = (use: () => unknown) => {
          try {
            use()
            told.push('given')
          } catch (error) {
            told.push((error as { code: string }).code)
          }
        }
        for (let i = 0; i < 20; ++i) {
          const copy = `${path}.copy`
          cpSync(path, copy)
          const checkpoint = openSync(copy, { io })
          const ahead = checkpoint.prefetch()
          truncateSync(copy, 4096 * (i + 1))
          tell(() => checkpoint.tensors.get('weight')!.data)
          await ahead
          checkpoint.close()
        }
        return [...new Set(told)]
      },
      [writeLarge(), io],
    )
    expect([ending.how, ending.stderr, ending.result]).toEqual([0, '', ['FILE_CHANGED']])
  })
})

test('closing stops what prefetch began', async () => {
  for (const io of STRATEGIES) {
    const checkpoint = openSync(writeLarge(), { io })
    const ahead = checkpoint.prefetch()
    checkpoint.close()
    await ahead
    expect(await rejection(checkpoint.prefetch())).toMatchObject({ code: 'CLOSED' })
  }
})
