/** What happens to open checkpoints when their files, or the buffers over them, go elsewhere. */
import { randomFillSync } from 'node:crypto'
import {
  readFileSync,
  renameSync,
  statSync,
  truncateSync,
  unlinkSync,
  writeFileSync,
} from 'node:fs'
import { join } from 'node:path'
import { crc32, deflateRawSync } from 'node:zlib'
import { describe, expect, jest, test } from '@jest/globals'
import { openSync } from '../lib/index'
import { zipWithChecksums } from './support/archives'
import { stateDictPickle, writeCheckpoint } from './support/checkpoint-writer'
import { inProcess } from './support/child'
import { isTold, mappings } from './support/memory'
import { ramp, refusal, temporaryFolder, tensorOf, writeSample } from './support/samples'

jest.setTimeout(300_000)

const folder = temporaryFolder('lifetime-files')
let count = 0
const sample = (first = 0) => writeSample(join(folder, `sample-${++count}.pth`), first)

type Transferable = ArrayBuffer & { transfer?: () => ArrayBuffer }

/** Node 20 copies what it cannot transfer, later ones refuse. */
function cloneOf(buffer: ArrayBuffer): ArrayBuffer | undefined {
  try {
    return structuredClone(buffer, { transfer: [buffer] })
  } catch (error) {
    expect((error as Error).name).toBe('DataCloneError')
    return undefined
  }
}

describe('buffers that are moved', () => {
  test('by structuredClone: close() takes what is left', () => {
    const checkpoint = openSync(sample())
    const { data } = tensorOf(checkpoint, 'weight')
    const { byteOffset } = data
    const clone = cloneOf(data.buffer as ArrayBuffer)
    checkpoint.close()
    expect(data.length).toBe(0)
    // A clone is the caller's own.
    const seen = clone === undefined ? ramp(6) : new Float32Array(clone, byteOffset, 6)
    expect(seen).toEqual(ramp(6))
  })

  test('by transfer(): they stay readable after close(), in the pages they lie in', () => {
    const path = sample()
    const checkpoint = openSync(path)
    const { data } = tensorOf(checkpoint, 'weight')
    const { byteOffset } = data
    const moved = (data.buffer as Transferable).transfer?.()
    checkpoint.close()
    expect(data.length).toBe(0)
    // Node 20 has no transfer(): there is nothing that could have stayed.
    expect(mappings(path)).toBe(moved !== undefined && isTold ? 1 : 0)
    const seen = moved === undefined ? ramp(6) : new Float32Array(moved, byteOffset, 6)
    expect(seen).toEqual(ramp(6))
  })

  test('by transfer(): what is asked for later says so or is whole, and never crashes', () => {
    const ending = inProcess(
      ({ openSync, isCheckpointError }, path) => {
        const checkpoint = openSync(path)
        const weight = checkpoint.tensors.get('weight')!
        const buffer = weight.data.buffer as ArrayBuffer & { transfer?: () => ArrayBuffer }
        buffer.transfer?.()
        const lengths: unknown[] = []
        for (const tensor of checkpoint.tensors.values()) {
          try {
            lengths.push(tensor.data.length)
          } catch (error) {
            lengths.push(isCheckpointError(error) ? error.code : String(error))
          }
        }
        checkpoint.close()
        return lengths
      },
      [sample()],
    )
    expect([ending.how, ending.stderr]).toEqual([0, ''])
    for (const length of ending.result ?? ['nothing']) {
      expect(typeof length === 'number' || /^[A-Z_]+$/.test(String(length))).toBe(true)
    }
  })

  test("the caller's bytes, when they are transferred, are FILE_CHANGED", () => {
    const bytes = new Uint8Array(readFileSync(sample()))
    const checkpoint = openSync(bytes)
    structuredClone(bytes.buffer, { transfer: [bytes.buffer] })
    expect(refusal(() => tensorOf(checkpoint, 'weight').data).code).toBe('FILE_CHANGED')
    checkpoint.close()
  })
})

describe('files', () => {
  test('replaced by rename: the old bytes stay, a new opening sees the new ones', () => {
    const path = sample()
    for (const mmap of [true, false]) {
      writeSample(path)
      const before = openSync(path, { mmap })
      expect(tensorOf(before, 'weight').data).toEqual(ramp(6))
      renameSync(sample(50), path)
      expect(tensorOf(before, 'other').data).toEqual(ramp(4, 100))
      const after = openSync(path, { mmap })
      expect(tensorOf(after, 'weight').data).toEqual(ramp(6, 50))
      expect(after.identity).not.toEqual(before.identity)
      before.close()
      after.close()
    }
  })

  test('removed: nothing changes', () => {
    for (const mmap of [true, false]) {
      const path = sample()
      const checkpoint = openSync(path, { mmap })
      unlinkSync(path)
      expect(tensorOf(checkpoint, 'weight').data).toEqual(ramp(6))
      checkpoint.close()
    }
  })

  test('writing to a tensor does not write to them', () => {
    const path = sample()
    const before = readFileSync(path)
    const { mtimeNs } = statSync(path, { bigint: true })
    const checkpoint = openSync(path)
    for (const tensor of checkpoint.tensors.values()) tensor.data.fill(9 as never)
    checkpoint.close()
    expect(readFileSync(path)).toEqual(before)
    expect(statSync(path, { bigint: true }).mtimeNs).toBe(mtimeNs)
  })

  test.each([true, false])('truncated before a tensor is read: FILE_CHANGED (mmap %s)', (mmap) => {
    const ending = inProcess(
      ({ openSync, isCheckpointError }, path, mmap, sizes) => {
        const { truncateSync } = require('node:fs') as typeof import('node:fs')
        return sizes.map((size) => {
          const checkpoint = openSync(path, { mmap })
          truncateSync(path, size)
          const uses = [
            () => checkpoint.tensors.get('other')?.data,
            () => checkpoint.tensors.get('column')?.data,
            () => checkpoint.tensors.get('weight')?.bytes(0, 4),
            () => checkpoint.tensors.get('weight')?.toFloat32(),
          ]
          const codes = uses.map((use) => {
            try {
              return String(use())
            } catch (error) {
              return isCheckpointError(error) ? error.code : String(error)
            }
          })
          checkpoint.close()
          const { copyFileSync } = require('node:fs') as typeof import('node:fs')
          copyFileSync(`${path}.whole`, path)
          return codes
        })
      },
      [wholeAndCopy(), mmap, [0, 1, 64, 200]],
    )
    expect([ending.how, ending.stderr]).toEqual([0, ''])
    for (const codes of ending.result ?? []) {
      expect(codes).toEqual(['FILE_CHANGED', 'FILE_CHANGED', 'FILE_CHANGED', 'FILE_CHANGED'])
    }
    expect(ending.result?.length).toBe(4)
  })

  // Where a tensor lies was found out along with its neighbour.
  test.each([true, false])('truncated after a neighbour was read (mmap %s)', (mmap) => {
    const path = join(folder, `neighbours-${mmap}.pth`)
    const storages = Array.from({ length: 8 }, (_, i) => ({
      key: String(i),
      size: 4096,
      parts: [{ offset: 0, bytes: Buffer.alloc(4096, i + 1) }],
    }))
    const tensors = storages.map(({ key, size }) => {
      return { name: `t${key}`, type: 'Byte', key, numel: size, shape: [size] }
    })
    writeCheckpoint(path, tensors, storages)
    const ending = inProcess(
      ({ openSync, isCheckpointError }, path, mmap) => {
        const { truncateSync } = require('node:fs') as typeof import('node:fs')
        const checkpoint = openSync(path, { mmap })
        const first = checkpoint.tensors.get('t0')!.bytes()[4095]
        truncateSync(path, 2 * 4096)
        const use = (name: string) => {
          try {
            return checkpoint.tensors.get(name)!.bytes()[4095]
          } catch (error) {
            return isCheckpointError(error) ? error.code : String(error)
          }
        }
        return [first, ...['t1', 't5', 't7', 't1'].map(use)]
      },
      [path, mmap],
    )
    expect([ending.how, ending.stderr]).toEqual([0, ''])
    const gone = 'FILE_CHANGED'
    expect(ending.result).toEqual([1, gone, gone, gone, gone])
  })

  // Names of records are views of the mapped directory, which is gone then.
  test('truncated, deflated: FILE_CHANGED', () => {
    const path = join(folder, 'deflated.pth')
    const bytes = randomFillSync(new Uint8Array(2 ** 17))
    const entry = { name: 'a/data/0', data: deflateRawSync(bytes), method: 8, size: bytes.length }
    const header = bytes.length / 4
    const dict = stateDictPickle([
      { name: 'w', type: 'Float', key: '0', numel: header, shape: [header] },
    ])
    const archive = zipWithChecksums([
      { name: 'a/data.pkl', data: dict },
      { ...entry, crc: crc32(bytes) },
    ])
    writeFileSync(path, archive)
    const ending = inProcess(
      ({ openSync, isCheckpointError }, path) => {
        const { truncateSync } = require('node:fs') as typeof import('node:fs')
        const checkpoint = openSync(path)
        const tensor = checkpoint.tensors.get('w')!
        truncateSync(path, 5000)
        const target = new Uint8Array(tensor.byteLength)
        return [() => tensor.data, () => tensor.readIntoSync(target)].map((use) => {
          try {
            return String(use())
          } catch (error) {
            return isCheckpointError(error) ? error.code : String(error)
          }
        })
      },
      [path],
    )
    expect(ending).toMatchObject({ how: 0, stderr: '', result: ['FILE_CHANGED', 'FILE_CHANGED'] })
  })

  // It looks at pages of the file, which are gone under its eyes.
  test('shortened while verify() is at work: FILE_CHANGED, and the process lives', () => {
    const path = join(folder, 'verified.pth')
    const bytes = Buffer.alloc(2 ** 27).fill(randomFillSync(new Uint8Array(2 ** 16)))
    const shape = [bytes.length / 4]
    const dict = stateDictPickle([{ name: 'w', type: 'Float', key: '0', numel: shape[0]!, shape }])
    writeFileSync(
      path,
      zipWithChecksums([
        { name: 'a/data.pkl', data: dict },
        { name: 'a/data/0', data: bytes },
      ]),
    )
    const ending = inProcess(
      async ({ openSync, isCheckpointError }, path, size) => {
        const { copyFileSync, truncateSync } = require('node:fs') as typeof import('node:fs')
        const codes = []
        for (const wait of [0, 0.5, 1, 1.5, 2, 3, 4, 5]) {
          const copy = `${path}.${wait}`
          copyFileSync(path, copy)
          const verdicts = openSync(copy).verify()
          const start = performance.now()
          while (performance.now() - start < wait);
          truncateSync(copy, size)
          codes.push(
            await verdicts.then(
              (rows) => rows.every(({ verdict }) => verdict === 'ok') && 'was faster',
              (error) => (isCheckpointError(error) ? error.code : String(error)),
            ),
          )
        }
        return codes
      },
      [path, 4096],
    )
    expect([ending.how, ending.stderr]).toEqual([0, ''])
    expect(ending.result![0]).toBe('FILE_CHANGED')
    expect(new Set([...ending.result!, 'was faster'])).toEqual(
      new Set(['FILE_CHANGED', 'was faster']),
    )
  })

  test('shortened behind the opened checkpoint: the error says where', () => {
    const path = sample()
    const checkpoint = openSync(path)
    truncateSync(path, 100)
    const error = refusal(() => tensorOf(checkpoint, 'weight').data)
    expect(error).toMatchObject({ name: 'StateError', code: 'FILE_CHANGED', path })
    expect(error.message).toContain(path)
    checkpoint.close()
  })
})

/** A sample and, beside it, a copy to make it whole from. */
function wholeAndCopy(): string {
  const path = sample()
  writeFileSync(`${path}.whole`, readFileSync(path))
  return path
}
