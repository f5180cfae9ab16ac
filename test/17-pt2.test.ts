/** Archives of torch.export and torch.package: names, values, sharing, what is skipped. Bytes: 20-goldens. */
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { deflateRawSync } from 'node:zlib'
import { describe, expect, test } from '@jest/globals'
import { unzipSync } from 'fflate'
import { type Checkpoint, openSync, PyObject, Tensor } from '../lib/index'
import { zip } from './support/bytes'
import { FIXTURES } from './support/golden'
import { refusal, tensorOf } from './support/samples'

const golden = (set: string, name: string) => join(FIXTURES, `torch-${set}`, name)
const open = (set: string, name: string) => openSync(golden(set, name))

/** The archive with other records; those of undefined are left out. */
function rewritten(
  path: string,
  change: (name: string, data: Uint8Array) => Uint8Array | undefined,
  { isDeflated = false } = {},
): Buffer {
  const entries = Object.entries(unzipSync(readFileSync(path))).flatMap(([name, data]) => {
    const changed = change(name.replace(/^[^/]*\//, ''), data)
    if (changed === undefined) return []
    if (!isDeflated) return [{ name, data: changed }]
    const [stored, size] = [deflateRawSync(changed), changed.length]
    return [{ name, data: stored, method: 8, stored: stored.length, size }]
  })
  return zip(entries)
}

/** Every tensor with its bytes, to compare two checkpoints. */
function contents(checkpoint: Checkpoint): unknown[] {
  return [...checkpoint.tensors].map(([name, tensor]) => [
    name,
    tensor.dtype,
    tensor.shape,
    tensor.stride,
    tensor.isParameter,
    Buffer.from(tensor.bytes()).toString('hex'),
  ])
}

const WEIGHTS = [
  'embed.weight',
  'norm.weight',
  'norm.bias',
  'norm.running_mean',
  'norm.running_var',
  'norm.num_batches_tracked',
  'head.weight',
  'frozen',
  'whole',
  'part',
  'turned',
  'scale',
  'none',
]
const OTHERS = ['constants.lifted_tensor_0', 'constants.scratch', 'sample_inputs.0.0']

describe('torch.export', () => {
  test.each([
    ['2.5', 'export.pt2', '2.1 to 2.7'],
    ['2.8', 'export.pt2', '2.8'],
    ['2.13', 'export.pt2', '2.9 or newer'],
  ])('torch %s, %s', (set, name, era) => {
    const checkpoint = open(set, name)
    expect([checkpoint.format, checkpoint.skipped]).toEqual(['pt2', []])
    expect([...checkpoint.tensors.keys()].sort()).toEqual([...WEIGHTS, ...OTHERS].sort())
    expect([...checkpoint.stateDict().keys()].sort()).toEqual([...WEIGHTS].sort())
    expect(checkpoint.era).toBe(era)
    const parameters = [...checkpoint.tensors.values()].filter((tensor) => tensor.isParameter)
    expect(parameters.map((tensor) => [tensor.name, tensor.requiresGrad]).sort()).toEqual([
      ['embed.weight', true],
      ['frozen', false],
      ['head.weight', true],
      ['norm.bias', true],
      ['norm.weight', true],
    ])
    const storageOf = (tensor: string) => tensorOf(checkpoint, tensor).storage
    expect(storageOf('head.weight')).toBe(storageOf('embed.weight'))
    expect(storageOf('part')).toBe(storageOf('whole'))
    expect(storageOf('part')).not.toBe(storageOf('turned'))
    const part = tensorOf(checkpoint, 'part')
    expect([part.storageOffset, part.isZeroCopy]).toEqual([4, true])
    expect(part.data).toEqual(Float32Array.of(4, 5, 6, 7, 8, 9))
    expect(tensorOf(checkpoint, 'turned').data).toEqual(Float32Array.of(0, 3, 1, 4, 2, 5))
    expect(tensorOf(checkpoint, 'scale').shape).toEqual([])
    expect(tensorOf(checkpoint, 'none').data).toEqual(new Float32Array(0))
    expect(tensorOf(checkpoint, 'sample_inputs.0.0').data).toEqual(BigInt64Array.of(0n, 3n))
  })

  test('torch 2.1 has nothing but the state dict', () => {
    const checkpoint = open('2.1', 'export.pt2')
    expect(checkpoint.format).toBe('pt2')
    expect(Object.keys(Object.fromEntries(checkpoint.root as Map<string, unknown>))).toEqual([
      'state_dict',
    ])
    expect([...checkpoint.stateDict().keys()]).toEqual([...checkpoint.tensors.keys()])
    expect(tensorOf(checkpoint, 'L__self___head.weight').storage).toBe(
      tensorOf(checkpoint, 'L__self___embed.weight').storage,
    )
  })

  test('root has the state dict, the constants and the sample inputs', () => {
    const root = open('2.13', 'export.pt2').root as Map<string, Map<string, Tensor>>
    expect([...root.keys()]).toEqual(['state_dict', 'constants', 'sample_inputs'])
    expect([...root.get('state_dict')!.keys()].sort()).toEqual([...WEIGHTS].sort())
    expect(root.get('constants')!.get('scratch')).toBeInstanceOf(Tensor)
    const inputs = root.get('sample_inputs') as unknown as [[Tensor], Map<string, unknown>]
    expect(inputs[0][0]!.dtype).toBe('int64')
    expect(inputs[1].size).toBe(0)
  })

  test('stateDict({ from }) goes by the root', () => {
    const checkpoint = open('2.13', 'export.pt2')
    expect([...checkpoint.stateDict({ from: 'constants' }).keys()].sort()).toEqual([
      'lifted_tensor_0',
      'scratch',
    ])
  })

  test.each(['2.8', '2.13'])('torch %s: several models have their names in front', (set) => {
    const checkpoint = open(set, 'export-models.pt2')
    const names = ['encoder.weight', 'encoder.bias', 'decoder.weight', 'decoder.bias']
    expect([...checkpoint.stateDict().keys()]).toEqual(names)
    expect([...checkpoint.tensors.keys()]).toEqual([
      ...names,
      'sample_inputs.encoder.0.0',
      'sample_inputs.decoder.0.0',
    ])
    expect([...checkpoint.stateDict({ from: 'state_dict.decoder' }).keys()]).toEqual([
      'weight',
      'bias',
    ])
    const storages = names.map((name) => tensorOf(checkpoint, name).storage)
    expect(new Set(storages).size).toBe(4)
  })

  test('weights of a subclass are an archive inside the archive', () => {
    const checkpoint = open('2.13', 'export-subclass.pt2')
    expect([...checkpoint.stateDict().keys()]).toEqual(['weight', 'bias'])
    const weight = tensorOf(checkpoint, 'weight')
    expect([weight.isParameter, weight.isZeroCopy]).toEqual([true, true])
    expect(weight.data).toEqual(Float32Array.of(0, 0.125, 0.25, 0.375, 0.5, 0.625))
    expect(checkpoint.stateDict().get('weight')!.isParameter).toBe(true)
  })

  test('weights of AOTInductor', () => {
    const checkpoint = open('2.13', 'export-inductor.pt2')
    expect([...checkpoint.tensors.keys()].sort()).toEqual(
      ['whole', 'part', 'other'].map((name) => `aotinductor.${name}`).sort(),
    )
    expect(tensorOf(checkpoint, 'aotinductor.part').storage).toBe(
      tensorOf(checkpoint, 'aotinductor.whole').storage,
    )
    expect(checkpoint.skipped).toEqual([])
  })

  test('the file is mapped: bytes written to a tensor are seen through its views', () => {
    const checkpoint = open('2.13', 'export.pt2')
    const whole = tensorOf(checkpoint, 'whole').data as Float32Array
    whole[4] = 99
    expect(tensorOf(checkpoint, 'part').data[0]).toBe(99)
    expect(open('2.13', 'export.pt2').tensors.get('part')!.data[0]).toBe(4)
  })

  test('a record that no table names is skipped, and so is an unknown dtype', () => {
    const bytes = rewritten(golden('2.13', 'export.pt2'), (name, data) => {
      if (name !== 'data/constants/model_constants_config.json') return data
      const table = JSON.parse(Buffer.from(data).toString())
      delete table.config.scratch
      table.config.lifted_tensor_0.tensor_meta.dtype = 99
      return Buffer.from(JSON.stringify(table))
    })
    const checkpoint = openSync(bytes)
    expect(checkpoint.skipped.map(({ name, code }) => [name, code])).toEqual([
      [expect.stringMatching(/^data\/constants\/tensor_\d$/), 'UNSUPPORTED_FORMAT'],
      ['constants.lifted_tensor_0', 'UNSUPPORTED_DTYPE'],
    ])
    expect([...checkpoint.stateDict().keys()].sort()).toEqual([...WEIGHTS].sort())
  })

  test('a broken table is an error that names the tensor and the record', () => {
    const record = 'data/weights/model_weights_config.json'
    const bytes = rewritten(golden('2.13', 'export.pt2'), (name, data) => {
      const text = Buffer.from(data).toString()
      return name === record ? Buffer.from(text.replace('"as_int": 4}', '"as_int": 5}')) : data
    })
    const error = refusal(() => openSync(bytes))
    expect(error.code).toBe('BAD_TENSOR')
    expect(error.message).toMatch(/tensor '[\w.]+': .* bytes/)
    expect(error.record).toContain(record)
  })

  test('a missing table, and a missing payload', () => {
    const path = golden('2.13', 'export.pt2')
    for (const missing of [
      'data/weights/model_weights_config.json',
      'data/constants/model_constants_config.json',
      'data/weights/weight_0',
    ]) {
      const bytes = rewritten(path, (name, data) => (name === missing ? undefined : data))
      expect(refusal(() => openSync(bytes)).code).toBe('BAD_RECORD')
    }
  })
})

describe('torch.package', () => {
  test.each(['1.13', '2.13'])('torch %s: root has the resources by their paths', (set) => {
    const checkpoint = open(set, 'package.pt')
    expect([checkpoint.format, checkpoint.skipped]).toEqual(['package', []])
    const root = checkpoint.root as Map<string, unknown>
    expect([...root.keys()]).toEqual([
      'model/net.pkl',
      'model/state.pkl',
      'data/values.pkl',
      'data/notes.txt',
      'data/raw.bin',
    ])
    expect(root.get('model/net.pkl')).toBeInstanceOf(PyObject)
    expect(root.get('data/notes.txt')).toBe('Größe: 3\n')
    expect(root.get('data/raw.bin')).toEqual(Uint8Array.of(0, 1, 255))
    const values = root.get('data/values.pkl') as Map<string, unknown>
    expect([values.get('seen'), values.get('z')]).toEqual([new Set([1, 2]), { re: 1, im: 2 }])
    expect(values.get('part')).toBeInstanceOf(Tensor)
  })

  test.each(['1.13', '2.13'])('torch %s: resources share storages', (set) => {
    const checkpoint = open(set, 'package.pt')
    for (const name of checkpoint.stateDict().keys()) {
      const [module, state] = ['model/net.pkl', 'model/state.pkl'].map((resource) =>
        tensorOf(checkpoint, `${resource}.${name}`),
      ) as [Tensor, Tensor]
      expect(state.storage).toBe(module.storage)
      expect(state.data.buffer).toBe(module.data.buffer)
      expect(state.isParameter).toBe(false)
      expect(module.isParameter).toBe(/weight|bias/.test(name))
    }
  })

  test('stateDict() is that of the one module, or of a resource that is asked for', () => {
    const checkpoint = open('2.13', 'package.pt')
    const names = [...checkpoint.stateDict().keys()]
    expect(names).toContain('1.running_mean')
    expect(checkpoint.stateDict().get('0.weight')!.isParameter).toBe(true)
    const state = checkpoint.stateDict({ from: 'model/state.pkl' })
    expect([...state.keys()]).toEqual(names)
    expect(state.get('0.weight')!.isParameter).toBe(false)
    expect(refusal(() => checkpoint.stateDict({ from: 'model/none.pkl' })).code).toBe(
      'NO_SUCH_TENSOR',
    )
  })

  test.each(['1.13', '2.13'])('torch %s: TorchScript modules share storages with others', (set) => {
    const checkpoint = open(set, 'package-script.pt')
    expect([checkpoint.format, checkpoint.skipped]).toEqual(['package', []])
    const [first, again, weight] = [
      'first.pkl.0.weight',
      'both.pkl.again.0.weight',
      'both.pkl.weight',
    ].map((name) => tensorOf(checkpoint, `script/${name}`)) as [Tensor, Tensor, Tensor]
    expect(again.storage).toBe(first.storage)
    expect(weight.storage).toBe(first.storage)
    expect([...checkpoint.stateDict({ from: 'script/both.pkl.other' }).keys()]).toEqual([
      'weight',
      'bias',
    ])
  })

  test.each(['1.13', '2.13'])('torch %s: fx.GraphModule is a module', (set) => {
    const checkpoint = open(set, 'package-graph.pt')
    const module = (checkpoint.root as Map<string, unknown>).get('graph/net.pkl') as PyObject
    expect([module.module, module.name]).toEqual([
      'torch.fx.graph_module',
      'reduce_package_graph_module',
    ])
    expect(checkpoint.stateDict().size).toBe(8)
  })

  test('a damaged pickle is skipped, a missing storage is an error', () => {
    const path = golden('2.13', 'package.pt')
    const damaged = rewritten(path, (name, data) =>
      name === 'model/net.pkl' ? data.subarray(0, data.length - 1) : data,
    )
    const checkpoint = openSync(damaged)
    expect(checkpoint.skipped).toMatchObject([{ name: 'model/net.pkl', code: 'BAD_PICKLE' }])
    expect(tensorOf(checkpoint, 'model/state.pkl.0.weight').data[1]).toBe(0.125)
    const missing = rewritten(path, (name, data) => (name === '.data/0.storage' ? undefined : data))
    expect(refusal(() => openSync(missing)).code).toBe('BAD_RECORD')
  })
})

describe('archives that were packed again, with every record deflated', () => {
  test.each([
    ['2.1', 'export.pt2'],
    ['2.5', 'export.pt2'],
    ['2.13', 'export.pt2'],
    ['2.8', 'export.pt2'],
    ['2.13', 'export-models.pt2'],
    ['2.13', 'export-inductor.pt2'],
    ['2.13', 'export-subclass.pt2'],
    ['2.13', 'package.pt'],
    ['1.13', 'package-script.pt'],
  ])('torch %s, %s', (set, name) => {
    const path = golden(set, name)
    const bytes = rewritten(path, (_, data) => data, { isDeflated: true })
    const [before, after] = [openSync(path), openSync(bytes)]
    expect(contents(after)).toEqual(contents(before))
    expect(after.skipped).toEqual([])
    expect([...after.stateDict().keys()]).toEqual([...before.stateDict().keys()])
  })

  test('no more records are inflated to open one than any writer makes', () => {
    const text = (count: number) => ({
      name: `p/a/${count}`,
      data: deflateRawSync(Buffer.from('text')),
      method: 8,
      size: 4,
    })
    const many = Array.from({ length: 70 }, (_, i) => text(i))
    const checkpoint = openSync(
      zip([...many, { name: 'p/.data/extern_modules', data: Buffer.of() }]),
    )
    expect((checkpoint.root as Map<string, unknown>).size).toBe(64)
    expect(checkpoint.skipped.map(({ code }) => code)).toEqual(
      Array(6).fill('UNSUPPORTED_COMPRESSION'),
    )
  })
})
