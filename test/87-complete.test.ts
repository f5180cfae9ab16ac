/** What is missing of a model, or is not as somebody expects. */
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, test } from '@jest/globals'
import { openSync } from '../lib/index'
import { compareExpected, type Expected, gapsOf, readExpected } from '../lib/zoo/complete'
import { nearestOf } from '../lib/zoo/names'
import { FIXTURES } from './support/golden'
import { temporaryFolder, writeSample } from './support/samples'

const folder = temporaryFolder('complete')
const sample = writeSample(join(folder, 'sample.pth'))

const brief = (findings: ReturnType<typeof gapsOf>) => {
  return findings.map(({ rule, tensor }) => `${rule} ${tensor}`)
}

/** The names of a ResNet-18's state dict. */
function resnet18(): string[] {
  const norm = (name: string) => {
    return ['weight', 'bias', 'running_mean', 'running_var', 'num_batches_tracked'].map(
      (end) => `${name}.${end}`,
    )
  }
  const names = ['conv1.weight', ...norm('bn1')]
  for (const layer of [1, 2, 3, 4]) {
    for (const block of [0, 1]) {
      const prefix = `layer${layer}.${block}`
      for (const i of [1, 2]) names.push(`${prefix}.conv${i}.weight`, ...norm(`${prefix}.bn${i}`))
      if (layer > 1 && block === 0)
        names.push(`${prefix}.downsample.0.weight`, ...norm(`${prefix}.downsample.1`))
    }
  }
  return [...names, 'fc.weight', 'fc.bias']
}

test('a ResNet-18 from before torch 0.4.1 lacks exactly 20 names', () => {
  const all = resnet18()
  expect(all.length).toBe(122)
  expect(gapsOf(all)).toEqual([])
  const old = all.filter((name) => !name.endsWith('num_batches_tracked'))
  expect(old.length).toBe(102)
  const found = gapsOf(old)
  expect(found.length).toBe(20)
  expect(found.map(({ tensor }) => tensor).sort()).toEqual(
    all.filter((name) => name.endsWith('num_batches_tracked')).sort(),
  )
  expect(found[0]).toMatchObject({
    rule: 'complete/norm',
    severity: 'warning',
    message:
      "Layer 'bn1' has statistics but no 'bn1.num_batches_tracked', which torch before 0.4.1 did not have.",
  })
})

describe('gaps', () => {
  test.each<[string, string[], string[]]>([
    ['nothing', [], []],
    ['weights alone', ['a.weight', 'b.bias'], []],
    ['a layer norm', ['ln.weight', 'ln.bias'], []],
    ['no affine parameters', ['bn.running_mean', 'bn.running_var', 'bn.num_batches_tracked'], []],
    [
      'no variance',
      ['bn.running_mean', 'bn.num_batches_tracked', 'bn.weight', 'bn.bias'],
      ['complete/norm bn.running_var'],
    ],
    ['no mean', ['bn.running_var'], ['complete/norm bn.running_mean']],
    [
      'no bias',
      ['bn.running_mean', 'bn.running_var', 'bn.num_batches_tracked', 'bn.weight'],
      ['complete/norm bn.bias'],
    ],
    ['at the root', ['running_mean', 'running_var', 'num_batches_tracked'], []],
    ['weight norm', ['c.weight_g', 'c.weight_v', 'c.bias'], []],
    ['half of weight norm', ['c.weight_v'], ['complete/pair c.weight_v']],
    ['the other half', ['c.weight_g'], ['complete/pair c.weight_g']],
    ['spectral norm', ['c.weight_orig', 'c.weight_u', 'c.weight_v'], []],
    ['a mask', ['c.weight_orig', 'c.weight_mask'], []],
    ['half of spectral norm', ['c.weight_orig', 'c.weight_u'], ['complete/pair c.weight_orig']],
    [
      'a parametrisation',
      ['c.parametrizations.weight.original0'],
      ['complete/pair c.parametrizations.weight.original0'],
    ],
  ])('%s', (_, names, wanted) => {
    expect(brief(gapsOf(names))).toEqual(wanted)
  })

  test('no golden of whole modules has any', () => {
    for (const file of ['torch-2.13/module-weight-norm.pt', 'torch-1.13/module-weight-norm.pt']) {
      const found = gapsOf(openSync(join(FIXTURES, file)).stateDict().keys())
      expect({ file, found }).toEqual({ file, found: [] })
    }
  })
})

describe('what is expected', () => {
  const compare = (expected: [string, Expected][]) => {
    return compareExpected(openSync(sample).stateDict(), new Map(expected))
  }
  const all: [string, Expected][] = [
    ['weight', { shape: [2, 3], dtype: 'float32' }],
    ['tied', { shape: [6] }],
    ['column', {}],
    ['other', {}],
  ]

  test('is there', () => {
    expect(compare(all)).toEqual([])
  })

  test('is missing, too much, other', () => {
    const found = compare([
      ['weight', { shape: [3, 2], dtype: 'float16' }],
      ['module.tied', {}],
      ['column', { dtype: 'float32' }],
    ])
    expect(found.map(({ rule, message }) => [rule, message])).toEqual([
      [
        'complete/missing',
        "Tensor 'module.tied' is not there; the nearest name that is left is 'tied'.",
      ],
      ['complete/shape', "Tensor 'weight' is float32[2, 3] where float16[3, 2] is expected."],
      [
        'complete/unexpected',
        "Tensor 'tied' is not expected; the nearest name that is left is 'module.tied'.",
      ],
      ['complete/unexpected', "Tensor 'other' is not expected."],
    ])
  })

  test('is read from checkpoints, indexes and JSON', () => {
    const write = (name: string, value: unknown) => {
      const path = join(folder, name)
      writeFileSync(path, JSON.stringify(value))
      return path
    }
    const entries = (path: string) => [...readExpected(path)]
    expect(entries(sample)[0]).toEqual(['weight', { shape: [2, 3], dtype: 'float32' }])
    expect(entries(write('names.json', ['a', 'b']))).toEqual([
      ['a', {}],
      ['b', {}],
    ])
    expect(entries(write('shapes.json', { a: [1, 2], b: [] }))).toEqual([
      ['a', { shape: [1, 2] }],
      ['b', { shape: [] }],
    ])
    expect(entries(write('full.json', { a: { shape: [1], dtype: 'int64' }, b: {} }))).toEqual([
      ['a', { shape: [1], dtype: 'int64' }],
      ['b', {}],
    ])
    expect(entries(write('x.index.json', { weight_map: { a: 'x.bin' } }))).toEqual([['a', {}]])
    for (const wrong of [3, null, [1], { a: 3, b: ['x'] }, { a: { shape: 'x' } }]) {
      expect(() => readExpected(write('wrong.json', wrong))).toThrow(/options\.expect/)
    }
  })
})

test('the nearest name', () => {
  const names = ['layer1.0.conv1.weight', 'layer1.0.bn1.weight', 'fc.weight', 'fc.bias']
  expect(nearestOf('module.layer1.0.conv1.weight', names)).toBe('layer1.0.conv1.weight')
  expect(nearestOf('model.fc.bias', names)).toBe('fc.bias')
  expect(nearestOf('something.else', names)).toBeUndefined()
})
