/** Goldens with every byte of their storages changed, and when salvage is asked for. */
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { inspect } from 'node:util'
import { describe, expect, test } from '@jest/globals'
import { open, openSync } from '../lib/index'
import { FIXTURES } from './support/golden'
import { elementBytes, refusal, temporaryFolder, tensorOf } from './support/samples'

const SALVAGE = { salvage: true }
const golden = (name: string): Buffer => readFileSync(join(FIXTURES, name))

const folder = temporaryFolder('salvage-damage')
function write(name: string, data: Uint8Array): string {
  const path = join(folder, name)
  writeFileSync(path, data)
  return path
}

/** Where each storage of a golden lies in it. */
function places(whole: Buffer): { name: string; start: number; length: number }[] {
  const checkpoint = openSync(whole)
  const found = [...checkpoint.tensors].map(([name, tensor]) => {
    const raw = Buffer.from(tensor.bytes())
    return { name, start: whole.indexOf(raw), length: raw.length }
  })
  checkpoint.close()
  return found
}

describe('damage', () => {
  const directoryOf = (whole: Buffer) => whole.indexOf('PK\x01\x02', 0, 'latin1')

  test.each(['torch-1.13', 'torch-2.13'])(
    '%s: every changed byte of a storage is noticed',
    (set) => {
      const whole = golden(`${set}/state-dict.pt`).subarray()
      const cut = whole.subarray(0, directoryOf(whole))
      let changes = 0
      for (const { name, start, length } of places(whole)) {
        for (let at = start; at < start + length; ++at) {
          const changed = Buffer.from(cut)
          changed[at] = changed[at]! ^ 1
          const checkpoint = openSync(changed, SALVAGE)
          const skipped = checkpoint.skipped.filter((row) => row.name === name)
          expect(skipped).toMatchObject([{ code: 'CHECKSUM_MISMATCH' }])
          expect(skipped[0]?.message).toMatch(/have CRC-32 \d+ but the archive says \d+/)
          checkpoint.close()
          ++changes
        }
      }
      expect(changes).toBeGreaterThan(50)
    },
  )

  test('a damaged directory', () => {
    const whole = golden('torch-2.13/state-dict.pt')
    const wanted = openSync(whole)
    for (const at of [0, 1, 42]) {
      const changed = Buffer.from(whole)
      changed[directoryOf(whole) + at] = 0x7f
      expect(refusal(() => openSync(changed)).code).toBe('BAD_ARCHIVE')
      const checkpoint = openSync(changed, SALVAGE)
      expect([checkpoint.isSalvaged, checkpoint.skipped]).toEqual([true, []])
      expect(elementBytes(checkpoint)).toEqual(elementBytes(wanted))
      expect(inspect(checkpoint)).toContain(', salvaged)')
      checkpoint.close()
    }
    wanted.close()
  })

  test('space reserved for a download that never came is not taken for bytes', () => {
    const whole = golden('torch-2.13/state-dict.pt')
    for (const { name, start, length } of places(whole)) {
      const reserved = Buffer.from(whole).fill(0, start + length - 1)
      const checkpoint = openSync(reserved, SALVAGE)
      expect(checkpoint.skipped.find((row) => row.name === name)).toMatchObject({
        code: 'TRUNCATED',
      })
      expect(checkpoint.tensors.has(name)).toBe(false)
      checkpoint.close()
    }
  })

  test('checksums that were switched off are not compared', () => {
    const whole = golden('torch-2.13/crc32-off.pt')
    const [wanted, checkpoint] = [
      openSync(whole),
      openSync(whole.subarray(0, directoryOf(whole)), SALVAGE),
    ]
    expect(checkpoint.skipped).toEqual([])
    expect(elementBytes(checkpoint)).toEqual(elementBytes(wanted))
    wanted.close()
    checkpoint.close()
  })

  test('numbers of what is there and what is needed', () => {
    const whole = golden('torch-2.13/state-dict.pt')
    const [place] = places(whole)
    const { name, start, length } = place!
    const checkpoint = openSync(whole.subarray(0, start + length - 1), SALVAGE)
    expect(checkpoint.skipped.find((row) => row.name === name)?.message).toContain(
      `has ${length - 1} bytes but its storage needs ${length}`,
    )
    checkpoint.close()
    const tail = whole.subarray(0, start - 64)
    const none = openSync(tail, SALVAGE)
    expect(none.skipped.find((row) => row.name === name)?.message).toContain(
      'is not in what is left',
    )
    expect([...none.stateDict().keys()]).toEqual([...none.tensors.keys()])
    expect(none.root).toBeInstanceOf(Map)
    none.close()
  })

  test('sparse, nested and shared tensors are skipped under every name', () => {
    const whole = golden('torch-2.13/tied.pt')
    const start = 30 + whole.readUInt16LE(26) + whole.readUInt16LE(28)
    const size = whole.readUInt32LE(directoryOf(whole) + 24)
    const checkpoint = openSync(whole.subarray(0, start + size + 16), SALVAGE)
    const original = openSync(whole)
    expect(checkpoint.tensors.size).toBe(0)
    expect(checkpoint.skipped.map(({ name }) => name)).toEqual([...original.tensors.keys()])
    checkpoint.close()
    original.close()
  })
})

describe('when', () => {
  const whole = golden('torch-2.13/state-dict.pt')

  test('only where it is asked for, and only of damaged files', async () => {
    expect(refusal(() => openSync(whole.subarray(0, -1))).code).toBe('TRUNCATED')
    const checkpoint = openSync(whole, SALVAGE)
    expect(checkpoint.isSalvaged).toBe(false)
    checkpoint.close()
    const path = write('cut.pt', whole.subarray(0, -1))
    for (const mmap of [true, false]) {
      const salvaged = await open(path, { ...SALVAGE, mmap })
      expect(salvaged.isSalvaged).toBe(true)
      expect(tensorOf(salvaged, [...salvaged.tensors.keys()][0]!).isZeroCopy).toBe(mmap)
      salvaged.close()
    }
  })

  test('a container that is whole is not searched: a short record fails as always', () => {
    const short = readFileSync(join(FIXTURES, 'crafted', 'broken-short-record.pt'))
    expect(refusal(() => openSync(short, SALVAGE)).code).toBe(refusal(() => openSync(short)).code)
  })

  test('an argument that is no boolean', () => {
    expect(() => openSync(whole, { salvage: 1 as never })).toThrow(/a boolean for options\.salvage/)
  })

  test('limits', () => {
    const options = { ...SALVAGE, limits: { records: 2 } }
    expect(refusal(() => openSync(whole.subarray(0, -1), options)).code).toBe('LIMIT_RECORDS')
  })
})
