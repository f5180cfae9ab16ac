/** What wrote a checkpoint, and which parts of it only training needs. */

import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, test } from '@jest/globals'
import { Origin } from '../lib/flavor/origin'
import { type Flavor, openSync, type TrainingPart } from '../lib/index'
import { checkpointOf, op, pickle, tensor, text } from './support/bytes'
import { writeCheckpoint } from './support/checkpoint-writer'
import { FIXTURES } from './support/golden'
import { heapInUse } from './support/memory'
import { refusal, temporaryFolder } from './support/samples'

const FRAMEWORKS = join(FIXTURES, 'frameworks')
const expected = JSON.parse(readFileSync(join(FRAMEWORKS, 'expected.json'), 'utf8')) as Record<
  string,
  Record<string, [number, number]>
>

/** Flavour and framework; then the kinds of its parts in their order. */
const WRITTEN: Record<string, [Flavor, string | undefined, string]> = {
  'lightning.ckpt': [
    'lightning',
    'pytorch-lightning 2.6.6',
    'loop callback optimizer scheduler arguments',
  ],
  'lightning-weights.ckpt': ['lightning', 'pytorch-lightning 2.6.6', 'loop arguments'],
  'lightning-mixed-precision.ckpt': ['lightning', 'pytorch-lightning 1.9.5', 'scaler'],
  'timm.pth.tar': ['timm', 'timm', 'optimizer arguments loop'],
  'transformers-training_args.bin': ['huggingface', 'transformers', 'arguments'],
  'transformers-rng_state.pth': ['huggingface', 'transformers', 'random_state'],
  'transformers-scheduler.pt': ['scheduler', undefined, 'scheduler'],
  'accelerate-random_states_0.pkl': ['accelerate', 'accelerate', 'random_state'],
  'peft-adapter_model.bin': ['peft', 'peft', ''],
  'ultralytics.pt': ['ultralytics', 'ultralytics 8.3.40', 'optimizer arguments loop loop'],
  'ultralytics-yolov5.pt': ['ultralytics', undefined, 'arguments'],
  'fairseq.pt': ['fairseq', 'fairseq', 'scheduler loop optimizer'],
  'mmengine.pth': ['openmmlab', 'mmengine 0.10.4', 'loop optimizer scheduler'],
  'mmcv.pth': ['openmmlab', 'mmcv 1.7.1', ''],
  'espnet.pth': ['espnet', 'espnet', 'loop optimizer scheduler scaler'],
  'megatron.pt': ['megatron', 'megatron-lm', 'arguments optimizer scheduler random_state'],
  'deepspeed-mp_rank_00_model_states.pt': ['deepspeed', 'deepspeed 0.16.2', 'scheduler arguments'],
  'deepspeed-zero_pp_rank_0_mp_rank_00_optim_states.pt': [
    'deepspeed',
    'deepspeed 0.16.2',
    'optimizer',
  ],
  'gptq.pt': ['gptq', undefined, ''],
  'awq.pt': ['awq', undefined, ''],
  'bitsandbytes.pt': ['bitsandbytes', 'bitsandbytes', ''],
  'scaler.pt': ['scaler', undefined, 'scaler'],
  'two-optimizers.pt': ['training', undefined, 'optimizer optimizer'],
  'two-models.pth': ['state_dict', undefined, ''],
  'scaler-of-inputs.pt': ['state_dict', undefined, ''],
}

function opened<T>(path: string, use: (checkpoint: ReturnType<typeof openSync>) => T): T {
  const checkpoint = openSync(path)
  try {
    return use(checkpoint)
  } finally {
    checkpoint.close()
  }
}

const kinds = (training: readonly TrainingPart[]) => training.map(({ kind }) => kind).join(' ')
const sizes = (training: readonly TrainingPart[]) =>
  Object.fromEntries(training.map(({ path, tensors, bytes }) => [path, [tensors, bytes]]))

describe('checkpoints of frameworks', () => {
  test('each of them is told', () => {
    expect(Object.keys(WRITTEN).sort()).toEqual(Object.keys(expected).sort())
  })

  test.each(Object.entries(WRITTEN))('%s', (name, [flavor, framework, wanted]) => {
    opened(join(FRAMEWORKS, name), (checkpoint) => {
      const { producer, training } = checkpoint
      const { name: made, version } = producer.framework ?? {}
      expect(checkpoint.flavor).toBe(flavor)
      expect(version === undefined ? made : `${made} ${version}`).toBe(framework)
      expect(producer.torch).toBe(checkpoint.era)
      expect(kinds(training)).toBe(wanted)
      expect(sizes(training)).toEqual(expected[name])
      for (const { path, tensors } of training) {
        expect(checkpoint.stateDict({ from: path }).size).toBe(tensors)
      }
    })
  })
})

describe('goldens', () => {
  const of = (flavor: Flavor, ...names: string[]) =>
    names.map((name): [string, Flavor] => [name, flavor])
  test.each([
    ...of('state_dict', 'state-dict.pt', 'extra-state.pt', 'tied.pt', 'quantised-tensor.pt'),
    ...of('state_dict', 'plain-pickle-2.pkl', 'numpy-beside-tensors.pt', 'pytorch_model.bin'),
    ...of('module', 'module.pt', 'module-legacy.pt', 'module-lstm.pt', 'module-lazy.pt'),
    ...of('training', 'module-in-dict.pt', 'wrapper-model.pt', 'wrapper-state-dict.pt'),
    ...of('training', 'wrapper-model-state-dict.pt', 'wrapper-state-dict-legacy.pt'),
    ...of('optimizer', 'optimizer.pt', 'optimizer-state.pt', 'optimizer-state-legacy.pt'),
    ...of('tensor', 'bare.pt', 'scalar.pt'),
    ...of('tensors', 'nesting.pt', 'namedtuple.pt', 'return-types.pt', 'keys-colliding.pt'),
    ...of('torchscript', 'torchscript.pt', 'torchscript-mobile.ptl'),
    ...of('lightning', 'lightning.pt', 'lightning-legacy.pt'),
    ...of('unknown', 'values-objects-p2.pt', 'values-cycle-p2.pt', 'numpy-arrays-p2.pt'),
  ])('%s: %s', (name, flavor) => {
    opened(join(FIXTURES, 'torch-2.13', name), (checkpoint) => {
      expect(checkpoint.flavor).toBe(flavor)
    })
  })

  test('bytes are those of storages, each counted once', () => {
    opened(join(FIXTURES, 'torch-2.13/wrapper-state-dict.pt'), ({ tensors, training }) => {
      const storages = new Set(
        [...tensors].filter(([name]) => name.startsWith('optimizer.')).map(([, t]) => t.storage),
      )
      const bytes = [...storages].reduce((sum, storage) => sum + storage!.byteLength, 0)
      expect(training).toEqual([{ kind: 'optimizer', path: 'optimizer', tensors: 6, bytes }])
      expect(bytes).toBe(32)
    })
  })
})

const SHARED = process.env.TORCHMAP_FIXTURES ?? join(__dirname, '..', '..', 'shared', 'fixtures')
;(existsSync(join(SHARED, 'darts')) ? describe : describe.skip)('Darts', () => {
  test('a model', () => {
    opened(join(SHARED, 'darts/darts-0.46.1.pt'), ({ flavor, producer, training }) => {
      expect([flavor, producer.framework]).toEqual(['darts', { name: 'darts' }])
      expect(kinds(training)).toBe('random_state training_data arguments')
      // Two Mersenne twisters: the generator and its state, 624 numbers of 32 bits each.
      expect(sizes(training)._random_instance).toEqual([0, 2 * 624 * 4])
      expect(training[1]).toMatchObject({ path: 'training_series', tensors: 0, bytes: 722 })
    })
  })

  test('its weights', () => {
    opened(join(SHARED, 'darts/darts-0.46.1.pt.ckpt'), (checkpoint) => {
      expect(checkpoint.flavor).toBe('darts')
      expect(checkpoint.producer.framework).toEqual({ name: 'pytorch-lightning', version: '2.6.6' })
      const { training } = checkpoint
      expect(kinds(training)).toBe('loop optimizer arguments loss metrics metrics')
      const parameters = checkpoint.stateDict().size
      expect(training[1]).toMatchObject({ path: 'optimizer_states.0', tensors: 3 * parameters })
    })
  })
})

describe('rules', () => {
  const subject = (facts: object) =>
    new Origin({
      format: 'zip',
      era: '',
      tensors: new Map(),
      root: null,
      get outline() {
        return (facts as { root?: unknown }).root ?? null
      },
      ...facts,
    })

  test('formats decide before the root is looked at', () => {
    for (const format of ['torchscript', 'package', 'pt2'] as const) {
      const origin = new Origin({
        format,
        era: '2.13',
        tensors: new Map(),
        get root(): unknown {
          throw new Error('root')
        },
        get outline(): unknown {
          throw new Error('outline')
        },
      })
      expect(origin.flavor).toBe(format)
      expect(origin.training).toEqual([])
      expect(origin.producer).toEqual({ torch: '2.13' })
    }
  })

  test('safetensors with the metadata of transformers and its kin', () => {
    const of = (metadata?: Record<string, string>) =>
      subject({
        format: 'safetensors',
        root: new Map(),
        metadata: metadata && new Map(Object.entries(metadata)),
      }).flavor
    expect(of({ format: 'pt' })).toBe('huggingface')
    expect(of({ format: 'tf' })).toBe('unknown')
    expect(of()).toBe('unknown')
  })

  test('a key alone is not enough', () => {
    const flavorOf = (entries: [string, unknown][]) => subject({ root: new Map(entries) }).flavor
    expect(
      flavorOf([
        ['meta', new Map()],
        ['state_dict', new Map()],
      ]),
    ).toBe('unknown')
    expect(
      flavorOf([
        ['checkpoint_version', 3],
        ['iteration', 1],
      ]),
    ).toBe('unknown')
    expect(
      flavorOf([
        ['arch', 'resnet18'],
        ['epoch', 1],
        ['state_dict', new Map()],
      ]),
    ).toBe('unknown')
    expect(flavorOf([['state', new Map()]])).toBe('unknown')
    expect(flavorOf([['pytorch-lightning_version', '2.0']])).toBe('lightning')
  })

  test('a version that is no text is left out', () => {
    const root = new Map([['pytorch-lightning_version', null]])
    expect(subject({ root }).producer).toEqual({
      torch: '',
      framework: { name: 'pytorch-lightning' },
    })
  })

  test('parts of a root with cycles', () => {
    const callbacks = new Map<string, unknown>([['bytes', new Uint8Array(5)]])
    callbacks.set('self', [callbacks, callbacks])
    const root = new Map<string, unknown>([
      ['epoch', 1],
      ['callbacks', callbacks],
    ])
    expect(subject({ root }).training).toEqual([
      { kind: 'callback', path: 'callbacks', tensors: 0, bytes: 5 },
    ])
  })
})

describe('what it costs', () => {
  const many = join(temporaryFolder('flavor'), 'many.pth')
  const COUNT = 100_000

  test('an outline of 100,000 tensors is all that is read', () => {
    const spec = { type: 'Float', key: '0', numel: COUNT, shape: [1] }
    const names = Array.from({ length: COUNT }, (_, i) => `layers.${i}.weight`)
    const tensors = names.map((name, offset) => ({ ...spec, name, offset }))
    writeCheckpoint(many, tensors, [{ key: '0', size: COUNT * 4, parts: [] }])
    opened(many, (checkpoint) => {
      const before = heapInUse()
      expect(checkpoint.flavor).toBe('state_dict')
      expect(checkpoint.training).toEqual([])
      const outline = heapInUse() - before
      expect((checkpoint.root as Map<string, unknown>).size).toBe(COUNT)
      expect(outline).toBeLessThan((heapInUse() - before) / 20)
    })
  })

  test('keys behind many tensors are seen', () => {
    const tensors = Array.from({ length: 200 }, (_, i) => [text(`t${i}`), tensor()]).flat()
    const callbacks = [text('callbacks'), op.EMPTY_DICT, text('x'), op.NONE, op.SETITEM]
    const content = pickle(op.EMPTY_DICT, op.MARK, ...tensors, ...callbacks, op.SETITEMS)
    const checkpoint = openSync(checkpointOf(content))
    expect(checkpoint.flavor).toBe('training')
    expect(kinds(checkpoint.training)).toBe('callback')
    checkpoint.close()
  })

  test('what was found stays after close(), the rest is gone', () => {
    const path = join(FRAMEWORKS, 'lightning.ckpt')
    const [asked, other] = [openSync(path), openSync(path)]
    expect([asked.flavor, asked.training.length]).toEqual(['lightning', 5])
    for (const checkpoint of [asked, other]) checkpoint.close()
    expect([asked.flavor, asked.training.length]).toEqual(['lightning', 5])
    expect(refusal(() => other.flavor).code).toBe('CLOSED')
    expect(refusal(() => other.training).code).toBe('CLOSED')
    expect(Object.isFrozen(asked.training) && Object.isFrozen(asked.producer)).toBe(true)
  })
})
