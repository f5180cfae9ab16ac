/** TorchScript archives: parameters and buffers by their code, constants, mobile files, model.json. */
import { copyFileSync, readFileSync, truncateSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, test } from '@jest/globals'
import { type Checkpoint, open, openSync, PyObject, UnsupportedError } from '../lib/index'
import { FIXTURES, readManifest } from './support/golden'
import { refusal, rejection, temporaryFolder, tensorOf } from './support/samples'

const TORCHES = ['torch-1.13', 'torch-2.13'] as const
const folder = temporaryFolder('torchscript')
const golden = (name: string, set = 'torch-2.13') => join(FIXTURES, set, name)
const names = (checkpoint: Checkpoint) => [...checkpoint.stateDict().keys()].sort()
const parameters = (checkpoint: Checkpoint) =>
  [...checkpoint.tensors].filter(([, tensor]) => tensor.isParameter).map(([name]) => name)

/** Offset of the payload of a record, and its size in the file. */
function recordOf(archive: Buffer, suffix: string): { offset: number; stored: number } {
  for (
    let at = archive.indexOf('PK\x01\x02');
    at !== -1;
    at = archive.indexOf('PK\x01\x02', at + 4)
  ) {
    const length = archive.readUInt16LE(at + 28)
    if (!archive.toString('utf8', at + 46, at + 46 + length).endsWith(suffix)) continue
    const header = archive.readUInt32LE(at + 42)
    const skip = archive.readUInt16LE(header + 26) + archive.readUInt16LE(header + 28)
    return { offset: header + 30 + skip, stored: archive.readUInt32LE(at + 20) }
  }
  throw new Error(`there is no record ${suffix}`)
}

describe.each(TORCHES)('the six nets of %s', (set) => {
  const rows = readManifest(set).filter(({ file }) => file.startsWith('net-'))
  const nets = [...new Set(rows.map(({ file }) => file.replace(/-[a-z]+\.pt$/, '')))]

  test('all are there', () => {
    const kinds = ['lstm', 'quantized', 'resnet', 'shared', 'tcn', 'tied', 'transformer']
    // The largest are there once.
    const isKept = (kind: string) => set === 'torch-2.13' || !/resnet|transformer/.test(kind)
    const found = new Set(nets.map((net) => net.replace('-parametrized', '')))
    expect([...found].sort()).toEqual(kinds.filter(isKept).map((kind) => `net-${kind}`))
  })

  // torch's own state_dict() of the script module has the buffers that are not saved otherwise.
  const more: Record<string, string[]> = { 'net-transformer': ['scale'] }
  // What the code of quantised modules makes for their state dict is in that of the module only; the
  // rows of the goldens say what it is (own_state_dict).
  const isMade = (name: string) => /^fc\d\./.test(name)

  test.each(nets)('%s: the same weights from the whole module, scripted and traced', (net) => {
    const files = rows.filter(({ file }) => file.replace(/-[a-z]+\.pt$/, '') === net)
    const found = files.map(({ file, format }) => {
      const checkpoint = openSync(golden(file, set))
      const weights = new Map(
        [...checkpoint.stateDict()].map(([name, t]) => [name, [...t.bytes()]]),
      )
      if (net === 'net-quantized' && format === 'zip') {
        expect([...weights.keys()].filter(isMade)).toHaveLength(8)
        for (const name of weights.keys()) if (isMade(name)) weights.delete(name)
      }
      if (format === 'torchscript') for (const name of more[net] ?? []) weights.delete(name)
      return weights
    })
    expect(found.length).toBeGreaterThan(1)
    expect(found[0]?.size).toBeGreaterThan(0)
    const sorted = found.map((weights) => [...weights].sort(([a], [b]) => (a < b ? -1 : 1)))
    for (const weights of sorted) expect(weights).toEqual(sorted[0])
  })
})

describe('parameters and buffers', () => {
  const path = golden('torchscript-attributes.pt')
  const wanted = ['weight', 'tied', 'layers.0.weight', 'layers.0.bias', 'layers.1.weight']

  test('are told apart by the code; other attributes are in no state dict', () => {
    const checkpoint = openSync(path)
    expect(names(checkpoint)).toEqual([...wanted, 'mean', 'scratch'].sort())
    expect([...checkpoint.tensors.keys()]).toEqual(expect.arrayContaining(['steps.0', 'table.a']))
    expect(parameters(checkpoint).sort()).toEqual([...wanted].sort())
    expect(tensorOf(checkpoint, 'mean').isParameter).toBe(false)
  })

  test('however it was opened, and whatever is asked for first', async () => {
    const checkpoints = [
      await open(path),
      openSync(path, { mmap: false }),
      openSync(new Uint8Array(readFileSync(path))),
    ]
    for (const checkpoint of checkpoints) {
      expect(tensorOf(checkpoint, 'weight').isParameter).toBe(true)
      expect(names(checkpoint)).toContain('scratch')
    }
  })

  test('bytes that change after they were opened change nothing', () => {
    const bytes = new Uint8Array(readFileSync(path))
    const checkpoint = openSync(bytes)
    bytes.fill(0)
    expect(parameters(checkpoint).sort()).toEqual([...wanted].sort())
  })

  test('a branch', () => {
    const checkpoint = openSync(path)
    expect([...checkpoint.stateDict({ from: 'layers' }).keys()]).toEqual([
      '0.weight',
      '0.bias',
      '1.weight',
    ])
  })

  test('once read, they stay when the checkpoint is closed; unread, they are CLOSED', () => {
    const [read, unread] = [openSync(path), openSync(path)]
    const weight = tensorOf(read, 'weight')
    expect(weight.isParameter).toBe(true)
    const other = tensorOf(unread, 'weight')
    for (const checkpoint of [read, unread]) checkpoint.close()
    expect(weight.isParameter).toBe(true)
    expect(refusal(() => other.isParameter)).toMatchObject({ code: 'CLOSED' })
  })

  test('a file that changed meanwhile is FILE_CHANGED', () => {
    const copy = join(folder, 'changed.pt')
    copyFileSync(path, copy)
    const checkpoint = openSync(copy)
    truncateSync(copy, 100)
    expect(refusal(() => checkpoint.stateDict()).code).toBe('FILE_CHANGED')
    expect(refusal(() => tensorOf(checkpoint, 'weight').isParameter).code).toBe('FILE_CHANGED')
  })

  test('code that does not inflate says nothing: then the state dict has every tensor attribute', () => {
    const archive = readFileSync(golden('torchscript.pt'))
    const intact = names(openSync(archive))
    for (const suffix of ['linear.py', 'batchnorm.py']) {
      const { offset, stored } = recordOf(archive, suffix)
      archive.fill(0xff, offset, offset + stored)
    }
    const damaged = join(folder, 'damaged.pt')
    writeFileSync(damaged, archive)
    const checkpoint = openSync(damaged)
    expect(names(checkpoint)).toEqual(intact)
    expect(parameters(checkpoint)).toEqual([])
  })

  test('code beyond limits.inflatedBytes is not read', () => {
    const checkpoint = openSync(path, { limits: { inflatedBytes: 16 } })
    expect(parameters(checkpoint)).toEqual([])
    expect(names(checkpoint)).toEqual([...wanted, 'mean', 'scratch'].sort())
  })
})

describe('constants', () => {
  test.each(TORCHES)('of a frozen module of %s are tensors, in no state dict', (set) => {
    const checkpoint = openSync(golden('torchscript-frozen.pt', set))
    const frozen = [...checkpoint.tensors.keys()]
    expect(frozen).toEqual(['constants.0', 'constants.1'])
    expect(checkpoint.skipped).toEqual([])
    expect(checkpoint.stateDict().size).toBe(0)
    const shapes = [...checkpoint.tensors.values()].map(({ shape }) => shape)
    expect(shapes).toEqual([[3, 2], [3]])
    for (const tensor of checkpoint.tensors.values()) {
      expect(tensor.isZeroCopy).toBe(true)
      expect(tensor.isParameter).toBe(false)
    }
    const root = checkpoint.root as PyObject
    expect(root).toBeInstanceOf(PyObject)
    expect([...(root.state as Map<string, unknown>).keys()]).toEqual([])
  })

  test('of bytes, and with a mobile writer', () => {
    const bytes = new Uint8Array(readFileSync(golden('torchscript-mobile-frozen.ptl')))
    for (const checkpoint of [openSync(bytes), openSync(golden('torchscript-mobile-frozen.ptl'))]) {
      expect(checkpoint.tensors.size).toBeGreaterThan(0)
      for (const [name, tensor] of checkpoint.tensors) {
        expect(name).toMatch(/^constants\.\d+$/)
        expect(tensor.bytes().length).toBe(tensor.byteLength)
      }
    }
  })

  test('packed weights of a frozen quantised module', () => {
    const { tensors } = openSync(golden('torchscript-quantized-frozen.pt'))
    const weight = tensors.get('constants.0.0')
    expect(weight?.dtype).toBe('qint8')
    expect(weight?.dequantize().length).toBe(12)
  })
})

test('traced inputs, whose records are empty, are ignored', () => {
  const path = golden('net-lstm-traced.pt')
  expect(recordOf(readFileSync(path), 'traced_inputs/0').stored).toBe(0)
  const checkpoint = openSync(path)
  expect(checkpoint.skipped).toEqual([])
  expect([...checkpoint.tensors.keys()].filter((name) => name.includes('input'))).toEqual([])
})

describe('mobile', () => {
  test.each(TORCHES)('weights beside bytecode, %s', (set) => {
    const checkpoint = openSync(golden('torchscript-mobile.ptl', set))
    expect(checkpoint.format).toBe('torchscript')
    expect(names(checkpoint)).toEqual(['bias', 'weight'])
    expect(parameters(checkpoint)).toEqual(['weight', 'bias'])
  })

  test('a flatbuffer is named, also one whose first bytes look like a pickle', async () => {
    for (const first of [0x18, 0x80]) {
      const path = join(folder, `flatbuffer-${first}.ptl`)
      const bytes = Buffer.concat([
        Buffer.from([first, 2, 0, 0]),
        Buffer.from('PTMF'),
        Buffer.alloc(64),
      ])
      writeFileSync(path, bytes)
      const error = (await rejection(open(path))) as UnsupportedError
      expect(error).toBeInstanceOf(UnsupportedError)
      expect(error).toMatchObject({ code: 'UNSUPPORTED_FORMAT', feature: 'flatbuffer' })
      expect(error.message).toContain('mobile')
    }
  })
})

describe('model.json of torch 1.0 to 1.3', () => {
  const path = (version: string) => golden(`model-json-${version}.pt`, 'crafted')

  test('parameters, buffers, what they share', () => {
    const checkpoint = openSync(path('1.0'))
    expect(checkpoint).toMatchObject({ format: 'torchscript', era: '1.0 to 1.3' })
    const [weight, column, tied] = ['weight', 'column', 'tied.weight'].map((name) =>
      tensorOf(checkpoint, name),
    )
    expect(column?.storage).toBe(weight?.storage)
    expect(tied?.data).toBe(weight?.data)
    expect(column?.data).toEqual(Float32Array.of(1, 4))
    expect(parameters(checkpoint)).toEqual(['weight', 'norm.scale', 'tied.weight'])
    expect([...checkpoint.stateDict().keys()]).toEqual([
      'weight',
      'column',
      'none',
      'norm.scale',
      'norm.count',
      'norm.sum',
      'tied.weight',
    ])
  })

  test.each(['1.0', '1.1', '1.3'])(
    'version %s: no global is unknown, bytes and reading do',
    (name) => {
      const read = openSync(path(name), { globals: 'strict', mmap: false })
      const given = openSync(new Uint8Array(readFileSync(path(name))))
      expect([...given.tensors.keys()]).toEqual([...read.tensors.keys()])
      for (const [key, tensor] of read.tensors)
        expect(given.tensors.get(key)?.bytes()).toEqual(tensor.bytes())
    },
  )

  test('the root: objects with the attributes of attributes.pkl', () => {
    const checkpoint = openSync(path('1.1'))
    const root = checkpoint.root as PyObject
    expect(root).toMatchObject({ module: '__torch__', name: 'net' })
    const state = root.state as Map<string, unknown>
    expect(state.get('sizes')).toEqual([3, 1000])
    expect((state.get('table') as Map<string, unknown>).get('rate')).toBe(0.5)
    expect((state.get('fc') as PyObject).name).toBe('fc')
  })

  test('a quantised module has the state it gave', () => {
    const checkpoint = openSync(path('1.3'))
    const packed = tensorOf(checkpoint, 'packed.0')
    expect(packed).toMatchObject({ dtype: 'quint8', scale: 0.25, zeroPoint: 3 })
    expect(packed.dequantize()).toEqual(Float32Array.of(0, 0.25, 0.5, 63))
    expect(names(checkpoint)).toEqual(['mean', 'plain', 'weight'])
  })
})
