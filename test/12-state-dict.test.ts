/** `stateDict()`: where the weights are, and what they are called. */
import { join } from 'node:path'
import { describe, expect, test } from '@jest/globals'
import { type Checkpoint, openSync, Tensor } from '../lib/index'
import { bytes, checkpointOf, op, type Part, pickle, tensor, text } from './support/bytes'
import { FIXTURES } from './support/golden'
import { refusal } from './support/samples'

const golden = (name: string) => openSync(join(FIXTURES, 'torch-2.13', name))
const open = (...parts: Part[]) => openSync(checkpointOf(pickle(...parts)))
const dict = (...items: [string, Uint8Array][]) =>
  bytes(op.EMPTY_DICT, ...items.map(([key, value]) => bytes(text(key), value, op.SETITEM)))
const names = (checkpoint: Checkpoint, from?: string) => [...checkpoint.stateDict({ from }).keys()]

const weights = dict(['weight', tensor()], ['bias', tensor()])

describe('without a path', () => {
  test('a mapping of tensors at the root', () => {
    expect(names(open(weights))).toEqual(['weight', 'bias'])
    expect(names(golden('tied.pt'))).toEqual(['encoder.weight', 'decoder.weight', 'decoder.row'])
  })

  test.each(['state_dict', 'model_state_dict', 'model', 'module', 'params', 'params_ema'])(
    'the wrapper %s, beside other tensors',
    (wrapper) => {
      const optimizer = dict(['step', tensor()])
      const source = dict(['optimizer', optimizer], [wrapper, weights], ['epoch', bytes(op.NONE)])
      expect(names(open(source))).toEqual(['weight', 'bias'])
    },
  )

  test('a pickled module: parameters and the buffers torch saves', () => {
    const found = names(golden('module.pt'))
    expect(found).toContain('mean')
    expect(found).not.toContain('scratch')
    expect(found).not.toContain('constant')
    expect(found).toContain('again.norm.running_var')
  })

  test('nothing there: an empty map', () => {
    for (const checkpoint of [open(op.NONE), open(op.EMPTY_DICT), golden('values-cycle-p2.pt')]) {
      expect(checkpoint.stateDict().size).toBe(0)
      expect([...checkpoint.stateDict()]).toEqual([])
    }
  })
})

describe('with a path', () => {
  const checkpoint = golden('wrapper-model-state-dict.pt')

  test('names begin below it', () => {
    expect(names(checkpoint, 'model_state_dict')).toEqual(['weight', 'bias'])
    expect(names(checkpoint, 'optimizer_state_dict').slice(0, 2)).toEqual([
      'state.0.step',
      'state.0.exp_avg',
    ])
    expect(names(checkpoint, 'optimizer_state_dict.state.1')).toEqual([
      'step',
      'exp_avg',
      'exp_avg_sq',
    ])
  })

  test('an empty one is the root', () => {
    expect(names(checkpoint, '')).toEqual([...checkpoint.tensors.keys()])
  })

  test('keys that have dots, and list positions', () => {
    const source = dict(['a.b', weights], ['list', bytes(op.MARK, weights, weights, op.TUPLE)])
    expect(names(open(source), 'a.b')).toEqual(['weight', 'bias'])
    expect(names(open(source), 'list.1')).toEqual(['weight', 'bias'])
  })

  test.each(['nothing', 'optimizer', 'model_state_dict.nothing', 'model_state_dict.0', 'Loss'])(
    "'%s', which is not there, is NO_SUCH_TENSOR",
    (from) => {
      const error = refusal(() => checkpoint.stateDict({ from }))
      expect(error).toMatchObject({ name: 'StateError', code: 'NO_SUCH_TENSOR' })
      expect(error.path).toBe(checkpoint.path)
      expect(error.message).toContain(`'${from}'`)
    },
  )

  test.each([null, 3, 'model', [], { from: 3 }, { from: null }])('%p is no options', (options) => {
    if (Array.isArray(options))
      return void expect(checkpoint.stateDict(options as never)).toBe(checkpoint.stateDict())
    const use = () => checkpoint.stateDict(options as never)
    expect(use).toThrow(expect.objectContaining({ code: 'ERR_INVALID_ARG_TYPE' }))
  })
})

test('the same map each time, whose tensors are those of the file', () => {
  const checkpoint = golden('wrapper-model-state-dict.pt')
  const found = checkpoint.stateDict()
  expect(checkpoint.stateDict()).toBe(found)
  expect(checkpoint.stateDict({})).toBe(found)
  const optimizer = checkpoint.stateDict({ from: 'optimizer_state_dict' })
  expect(checkpoint.stateDict({ from: 'optimizer_state_dict' })).toBe(optimizer)
  expect(optimizer).not.toBe(found)

  const [mine, theirs] = [found.get('weight'), checkpoint.tensors.get('model_state_dict.weight')]
  expect(mine).toBeInstanceOf(Tensor)
  expect(mine?.name).toBe('weight')
  expect(mine?.storage).toBe(theirs?.storage)
  expect(mine?.data).toBe(theirs?.data)
})
