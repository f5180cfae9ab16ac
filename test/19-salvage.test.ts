/** Goldens cut at every byte, and what other writers leave. */
import {
  closeSync,
  existsSync,
  ftruncateSync,
  openSync as openFile,
  readFileSync,
  writeFileSync,
  writeSync,
} from 'node:fs'
import { join } from 'node:path'
import { crc32, deflateRawSync } from 'node:zlib'
import { describe, expect, test } from '@jest/globals'
import { type Checkpoint, isCheckpointError, open, openSync } from '../lib/index'
import { bytes, u32, u64 } from './support/bytes'
import { FIXTURES } from './support/golden'
import { elementBytes, ramp, refusal, temporaryFolder, tensorOf } from './support/samples'

const SALVAGE = { salvage: true }
const golden = (name: string): Buffer => readFileSync(join(FIXTURES, name))
const namesOf = ({ tensors, skipped }: Checkpoint): string[] =>
  [...tensors.keys(), ...skipped.map(({ name }) => name)].sort()
/** The second tensor of a name is called `#2`, a second skipped one has the same name. */
const plain = (names: string[]): string[] => names.map((name) => name.replace(/#\d+$/, '')).sort()

interface Outcome {
  opened: number
  /** Some tensors given, some skipped. */
  partly: number
  refused: Set<string>
  /** What must not be, as sentences; `expect` for each of it would take minutes. */
  wrong: string[]
}

/** Opens the file cut at every byte and compares what comes with the whole. */
function cutEverywhere(whole: Buffer): Outcome {
  const list = (checkpoint: Checkpoint) =>
    plain(namesOf(checkpoint))
      .filter((name) => name !== 'constants')
      .join()
  const original = openSync(whole)
  const [names, wanted] = [list(original), elementBytes(original)]
  const outcome: Outcome = { opened: 0, partly: 0, refused: new Set(), wrong: [] }
  for (let length = 0; length < whole.length; ++length) {
    const check = (what: string, isRight: boolean) => {
      if (!isRight) outcome.wrong.push(`${what} of the first ${length} bytes`)
    }
    let checkpoint: Checkpoint
    try {
      checkpoint = openSync(whole.subarray(0, length), SALVAGE)
    } catch (error) {
      if (!isCheckpointError(error)) throw error
      outcome.refused.add(error.code)
      check('refused, though fewer were opened', outcome.opened === 0)
      continue
    }
    ++outcome.opened
    const { tensors, skipped } = checkpoint
    check('not called salvaged', checkpoint.isSalvaged)
    check('names', list(checkpoint) === names)
    for (const { code } of skipped) check(code, /^(TRUNCATED|UNSUPPORTED_.*)$/.test(code))
    if (tensors.size > 0 && tensors.size < original.tensors.size) ++outcome.partly
    for (const [name, found] of elementBytes(checkpoint)) check(name, found === wanted.get(name))
    checkpoint.close()
  }
  original.close()
  return outcome
}

const folder = temporaryFolder('salvage')
function write(name: string, data: Uint8Array): string {
  const path = join(folder, name)
  writeFileSync(path, data)
  return path
}

describe('cut at every byte', () => {
  test.each([
    'torch-1.13/state-dict.pt',
    'torch-2.13/state-dict.pt',
    'torch-2.13/storages-12.pt',
    'torch-1.13/tied.pt',
    'torch-2.13/alignment-1.pt',
    'torch-2.13/sparse-csr.pt',
    'torch-2.13/module.pt',
    'torch-2.13/keys-colliding.pt',
    'crafted/descriptors.pt',
  ])('%s', (name) => {
    const { opened, partly, refused, wrong } = cutEverywhere(golden(name))
    expect(wrong).toEqual([])
    expect(opened).toBeGreaterThan(100)
    if (!/keys-colliding|descriptors|tied|alignment/.test(name)) expect(partly).toBeGreaterThan(10)
    expect([...refused].sort()).toEqual(['NOT_A_CHECKPOINT', 'TRUNCATED'])
  })

  test('a TorchScript archive, whose pickle comes last', () => {
    const { opened, wrong } = cutEverywhere(golden('torch-2.13/torchscript.pt'))
    expect(wrong).toEqual([])
    expect(opened).toBeGreaterThan(1000)
    const whole = golden('torch-2.13/torchscript.pt')
    const checkpoint = openSync(whole.subarray(0, -1), SALVAGE)
    expect(checkpoint.format).toBe('torchscript')
    checkpoint.close()
  })

  test.each(['torch-1.13/state-dict-legacy.pt', 'torch-2.13/storages-12-legacy.pt'])(
    '%s',
    (name) => {
      const { opened, partly, wrong } = cutEverywhere(golden(name))
      expect(wrong).toEqual([])
      expect(opened).toBeGreaterThan(10)
      expect(partly).toBeGreaterThan(0)
    },
  )

  test.each(['saved', 'dtypes', 'bits'])('safetensors/%s', (name) => {
    const { opened, partly, wrong } = cutEverywhere(golden(`safetensors/${name}.safetensors`))
    expect(wrong).toEqual([])
    expect(opened).toBeGreaterThan(10)
    expect(partly).toBeGreaterThan(0)
  })
})

describe('the archive of another writer', () => {
  /** A record with its sizes in front, as most tools write it. */
  function record(name: string, data: Uint8Array, method = 0, crc = crc32(data)): Buffer {
    const stored = method === 8 ? deflateRawSync(data) : Buffer.from(data)
    const head = Buffer.alloc(30)
    head.write('PK\x03\x04', 'latin1')
    head.writeUInt16LE(20, 4)
    head.writeUInt16LE(method, 8)
    head.writeUInt32LE(crc, 14)
    head.writeUInt32LE(stored.length, 18)
    head.writeUInt32LE(data.length, 22)
    head.writeUInt16LE(name.length, 26)
    return bytes(head, name, stored)
  }
  const source = openSync(golden('torch-2.13/state-dict.pt'))
  const first = [...source.tensors.values()].map((tensor) => tensor.bytes())
  const wholeNames = namesOf(source)
  source.close()
  /** data.pkl of the golden: the first record, whose size the directory says. */
  const pickle = (() => {
    const whole = golden('torch-2.13/state-dict.pt')
    const entry = whole.indexOf('PK\x01\x02', 0, 'latin1')
    const start = 30 + whole.readUInt16LE(26) + whole.readUInt16LE(28)
    return whole.subarray(start, start + whole.readUInt32LE(entry + 24))
  })()
  const storages = first.map((data, key) => record(`x/data/${key}`, data))

  test.each([0, 8])('sizes in the headers, data.pkl by method %s', async (method) => {
    const parts = [record('x/data.pkl', pickle, method), ...storages]
    for (const checkpoint of [
      openSync(bytes(...parts), SALVAGE),
      await open(write(`other-${method}.pt`, bytes(...parts)), SALVAGE),
      openSync(write(`read-${method}.pt`, bytes(...parts)), { ...SALVAGE, mmap: false }),
    ]) {
      expect(namesOf(checkpoint)).toEqual(wholeNames)
      expect([...checkpoint.tensors.values()].map((tensor) => tensor.bytes())).toEqual(first)
      expect(checkpoint.skipped).toEqual([])
      checkpoint.close()
    }
    const wrong = record('x/data.pkl', pickle, method, 5)
    expect(refusal(() => openSync(bytes(wrong, ...storages), SALVAGE)).code).toBe(
      'CHECKSUM_MISMATCH',
    )
  })

  test('a size that reaches over the next record is not believed', () => {
    const liar = record('x/data/0', first[0] as Uint8Array)
    liar.writeUInt32LE(1000, 18)
    liar.writeUInt32LE(1000, 22)
    const checkpoint = openSync(
      bytes(record('x/data.pkl', pickle), liar, ...storages.slice(1), Buffer.alloc(2000)),
      SALVAGE,
    )
    expect(checkpoint.skipped).toMatchObject([
      { name: wholeNames.find((name) => name === checkpoint.skipped[0]?.name), code: 'TRUNCATED' },
    ])
    expect(checkpoint.tensors.size).toBe(wholeNames.length - 1)
    checkpoint.close()
  })

  test('without data.pkl nobody knows what the storages are', () => {
    const error = refusal(() => openSync(bytes(...storages), SALVAGE))
    expect(error).toMatchObject({ code: 'TRUNCATED', record: 'data.pkl' })
    expect(error.message).toContain(`${storages.length} records`)
  })

  test('a record that is there twice is refused', () => {
    const twice = bytes(record('x/data.pkl', pickle), ...storages, ...storages)
    expect(refusal(() => openSync(twice, SALVAGE)).code).toBe('BAD_ARCHIVE')
  })
})

describe('an aborted torch.save', () => {
  test.each([undefined, true])('salvage: %s', (salvage) => {
    // What torch leaves behind when pickling fails: the writer closes the archive on its way out.
    const stored = (name: string, data: string) => {
      const head = Buffer.alloc(30)
      head.write('PK\x03\x04', 'latin1')
      head.writeUInt32LE(data.length, 18)
      head.writeUInt32LE(data.length, 22)
      head.writeUInt16LE(name.length, 26)
      const entry = bytes('PK\x01\x02', Buffer.alloc(16), u32(data.length), u32(data.length))
      return { local: bytes(head, name, data), entry, name }
    }
    const rows = [
      stored('archive/version', '3\n'),
      stored('archive/byteorder', 'little'),
      stored('archive/.data/serialization_id', '0'.repeat(40)),
    ]
    let at = 0
    const listing = rows.map(({ local, entry, name }) => {
      const length = Buffer.alloc(2)
      length.writeUInt16LE(name.length)
      const row = bytes(entry, length, Buffer.alloc(12), u32(at), name)
      at += local.length
      return row
    })
    const directory = bytes(...listing)
    const end = bytes(
      'PK\x05\x06',
      Buffer.alloc(4),
      3,
      0,
      3,
      0,
      u32(directory.length),
      u32(at),
      0,
      0,
    )
    const error = refusal(() =>
      openSync(bytes(...rows.map(({ local }) => local), directory, end), { salvage }),
    )
    expect(error).toMatchObject({ code: 'NOT_A_CHECKPOINT', record: 'data.pkl' })
    expect(error.message).toContain('what an aborted torch.save leaves behind')
  })

  test('a real one, where it is at hand', () => {
    const shared =
      process.env.TORCHMAP_FIXTURES ?? join(__dirname, '..', '..', 'shared', 'fixtures')
    const path = join(shared, 'darts', 'darts-0.46.1-aborted-save.pt')
    const errors = existsSync(path) ? [refusal(() => openSync(path))] : []
    for (const error of errors) expect(error.message).toContain('aborted torch.save')
    expect(errors.length).toBe(existsSync(path) ? 1 : 0)
  })
})

test('a record above 4 GiB, whose descriptor has 64-bit sizes', () => {
  const path = join(folder, 'large.pt')
  const size = 2 ** 32 + 64
  const whole = golden('torch-2.13/state-dict.pt')
  const header = (name: string, offset: number) => {
    const padding = (64 - ((offset + 30 + name.length + 4 + 20) % 64)) % 64
    const head = Buffer.alloc(30)
    head.write('PK\x03\x04', 'latin1')
    head.writeUInt16LE(0x0808, 6)
    head.writeUInt16LE(name.length, 26)
    head.writeUInt16LE(24 + padding, 28)
    // As torch writes it: the size, and 0 for the size stored.
    const wide = bytes(Buffer.from([1, 0, 16, 0]), u64(BigInt(size)), u64(0n))
    const pad = bytes('FB', padding & 255, padding >> 8, Buffer.alloc(padding, 'Z'))
    return bytes(head, name, wide, pad)
  }
  const entry = whole.indexOf('PK\x01\x02', 0, 'latin1')
  const root = whole.toString('latin1', 30, whole.indexOf('/'))
  const front = whole.subarray(0, whole.indexOf(`PK\x03\x04`, 4, 'latin1'))
  const pickled = 30 + whole.readUInt16LE(26) + whole.readUInt16LE(28)
  expect(pickled + whole.readUInt32LE(entry + 24)).toBeLessThan(front.length)
  const [key] = keysOf(whole)
  const file = openFile(path, 'w')
  writeSync(file, front)
  const local = header(`${root}/data/${key}`, front.length)
  writeSync(file, local, 0, local.length, front.length)
  const start = front.length + local.length
  // The payload is a hole of zeros but for its first four bytes; a CRC of 0 is none.
  const values = new Uint8Array(ramp(1, 7).buffer)
  writeSync(file, values, 0, values.length, start)
  const tail = bytes(
    'PK\x07\x08',
    u32(0),
    u64(BigInt(size)),
    u64(BigInt(size)),
    header(`${root}/version`, 0),
  )
  ftruncateSync(file, start + size)
  writeSync(file, tail, 0, tail.length, start + size)
  closeSync(file)
  const checkpoint = openSync(path, SALVAGE)
  const [name] = checkpoint.tensors.keys()
  expect(checkpoint.tensors.size).toBe(1)
  const { data } = tensorOf(checkpoint, name!)
  expect(data[0]).toBe(7)
  checkpoint.close()
})

/** Keys of the storages, in the order of the tensors. */
function keysOf(whole: Buffer): string[] {
  const checkpoint = openSync(whole)
  const keys = [...checkpoint.tensors.values()].map(({ storage }) => storage?.key ?? '')
  checkpoint.close()
  return keys
}
