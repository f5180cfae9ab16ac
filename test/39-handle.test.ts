/** Handles: the same checkpoint in another thread or process, without decoding it there. */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import {
  appendFileSync,
  copyFileSync,
  readFileSync,
  unlinkSync,
  utimesSync,
  writeFileSync,
} from 'node:fs'
import { join } from 'node:path'
import { deserialize, serialize } from 'node:v8'
import { describe, expect, jest, test } from '@jest/globals'
import { binding } from '../lib/binding'
import { type Checkpoint, type CheckpointHandle, open, openHandle, openSync } from '../lib/index'
import { inThread } from './support/child'
import { compare } from './support/compare'
import { FIXTURES, readManifest, SETS } from './support/golden'
import { mappings } from './support/memory'
import {
  elementBytes,
  ramp,
  refusal,
  temporaryFolder,
  tensorOf,
  writeSample,
} from './support/samples'

jest.setTimeout(300_000)

const folder = temporaryFolder('handle')
let count = 0
const sample = (first = 0) => writeSample(join(folder, `sample-${++count}.pth`), first)
const golden = (file: string) => join(FIXTURES, file)

/** As threads, processes with advanced serialization, and processes with JSON get it. */
const WAYS: readonly [string, (handle: CheckpointHandle) => CheckpointHandle][] = [
  ['cloned', (handle) => structuredClone(handle)],
  ['serialized', (handle) => deserialize(serialize(handle))],
  ['as JSON', (handle) => JSON.parse(JSON.stringify(handle))],
]

/** Opened again by the handle of what is closed then. */
function again(checkpoint: Checkpoint, way = WAYS[0]![1]): Checkpoint {
  const handle = way(checkpoint.handle())
  checkpoint.close()
  return openHandle(handle)
}

/** How often a pickle was decoded while `use` ran. */
function decodings(use: () => void): number {
  const spies = [jest.spyOn(binding, 'decode'), jest.spyOn(binding, 'openSync')]
  try {
    use()
    return spies.reduce((sum, { mock }) => sum + mock.calls.length, 0)
  } finally {
    for (const spy of spies) spy.mockRestore()
  }
}

for (const set of SETS) {
  describe(`${set}, by handle`, () => {
    for (const [i, row] of readManifest(set).entries()) {
      if (row.error !== undefined) continue
      test(row.file, () => {
        const path = golden(join(set, row.file))
        expect(compare(again(openSync(path), WAYS[i % 3]![1]), row)).toEqual([])
        expect(compare(again(openSync(path, { mmap: false })), row)).toEqual([])
      })
    }
  })
}

describe('what is opened by a handle', () => {
  test.each(WAYS)('is the same, %s', (_, way) => {
    const path = golden('torch-2.13/lightning.pt')
    const first = openSync(path)
    const second = openHandle(way(first.handle()))
    const facts = ({
      format,
      era,
      byteOrder,
      identity,
      size,
      isMapped,
      skipped,
      metadata,
    }: Checkpoint) => [format, era, byteOrder, identity, size, isMapped, skipped, metadata]
    expect(facts(second)).toEqual(facts(first))
    expect(second.path).toBe(path)
    expect([...second.stateDict().keys()]).toEqual([...first.stateDict().keys()])
    expect(elementBytes(second)).toEqual(elementBytes(first))
    first.close()
    second.close()
  })

  test('has tensors and a state dict without decoding', () => {
    const files = [
      'torch-2.13/dtypes-float.pt',
      'torch-2.13/lightning.pt',
      'torch-2.13/views-legacy.pt',
      'safetensors/dtypes.safetensors',
      'torch-2.13/torchscript.pt',
      'torch-2.13/quantised-channel.pt',
      'torch-2.13/module-quantized-conv.pt',
    ]
    for (const file of files) {
      const first = openSync(golden(file))
      const handle = first.handle()
      const wanted = elementBytes(first)
      const use = () => {
        const second = openHandle(handle)
        expect(elementBytes(second)).toEqual(wanted)
        expect([...second.stateDict().keys()]).toEqual([...first.stateDict().keys()])
        second.close()
      }
      expect([file, decodings(use)]).toEqual([file, 0])
      first.close()
    }
  })

  test('decodes once, when something needs it', async () => {
    const first = openSync(golden('torch-2.13/lightning.pt'))
    const second = openHandle(first.handle())
    const { data } = [...second.tensors.values()][0]!
    const use = () => {
      expect(second.root).toEqual(first.root)
      expect(second.producer).toEqual(first.producer)
      const options = { from: 'optimizer_states.0' }
      const names = [...first.stateDict(options).keys()]
      expect([...second.stateDict(options).keys()]).toEqual(names)
    }
    expect(decodings(use)).toBe(1)
    expect([...second.tensors.values()][0]!.data).toBe(data)
    expect(await second.verify()).toEqual(await first.verify())
    first.close()
    second.close()
  })

  test('sees what was written to it, before decoding and after', () => {
    const checkpoint = again(openSync(sample()))
    const weight = tensorOf(checkpoint, 'weight')
    weight.data[0] = 50
    const root = checkpoint.root as Map<string, { data: Float32Array }>
    const [data, tied] = [weight.data, root.get('tied')!.data]
    expect(tied[0]).toBe(50)
    expect(tied.buffer).toBe(data.buffer)
    expect(tensorOf(checkpoint, 'other').data.buffer).toBe(data.buffer)
    checkpoint.close()
    expect([data.length, tied.length]).toEqual([0, 0])
  })

  test('is streamed, loaded and read as the first', async () => {
    const first = openSync(golden('torch-2.13/dtypes-float.pt'))
    const second = openHandle(first.handle())
    const streamed: string[] = []
    for await (const tensor of second.stream({ budget: 1 })) streamed.push(tensor.name)
    expect(streamed).toEqual([...first.tensors.keys()])
    const name = 'float32'
    const target = new Uint8Array(tensorOf(second, name).byteLength)
    await tensorOf(second, name).readInto(target)
    expect(target).toEqual(tensorOf(first, name).bytes())
    await second.readAllInto(
      [...second.tensors.keys()].map((key) => [key, new Uint8Array(2 ** 12)]),
    )
    first.close()
    second.close()
  })

  test('keeps the options', () => {
    const limits = { copyBytes: 4 }
    const checkpoint = again(openSync(sample(), { limits, mmap: false }), WAYS[2]![1])
    expect(checkpoint.isMapped).toBe(false)
    expect(refusal(() => tensorOf(checkpoint, 'column').data).code).toBe('LIMIT_STORAGE')
    checkpoint.close()
    const strict = openSync(sample(), { globals: 'strict' }).handle()
    expect(strict.options).toEqual({ globals: 'strict', limits: {} })
  })

  test('has a handle of its own', () => {
    const checkpoint = again(again(openSync(sample(3))), WAYS[2]![1])
    expect(tensorOf(checkpoint, 'weight').data).toEqual(ramp(6, 3))
    checkpoint.close()
  })

  test('is of the time of opening, whatever was asked for since', () => {
    // Numpy arrays and the scales of quantised modules become rows when they are asked for.
    for (const file of readManifest('torch-2.13').filter(({ error }) => error === undefined)) {
      const path = golden(join('torch-2.13', file.file))
      const first = openSync(path)
      void first.root
      first.stateDict()
      expect(compare(again(first), file)).toEqual([])
    }
  })

  test('is closed on its own', () => {
    const path = sample()
    const first = openSync(path)
    const second = openHandle(first.handle())
    const third = openHandle(first.handle())
    const data = [first, second, third].map((checkpoint) => tensorOf(checkpoint, 'weight').data)
    data[1]!.fill(9 as never)
    void second.root
    first.close()
    expect(data.map(({ length }) => length)).toEqual([0, 6, 6])
    second.close()
    expect(data[2]).toEqual(ramp(6))
    third.close()
    expect(mappings(path)).toBe(0)
    expect(refusal(() => third.handle()).code).toBe('CLOSED')
    expect(refusal(() => second.tensors).code).toBe('CLOSED')
  })
})

describe('the file', () => {
  test('when it is another: FILE_CHANGED', () => {
    const changes: ((path: string) => void)[] = [
      (path) => copyFileSync(sample(7), path),
      (path) => appendFileSync(path, 'x'),
      (path) => utimesSync(path, 1, 1),
    ]
    for (const change of changes) {
      const path = sample()
      const checkpoint = openSync(path)
      const handle = checkpoint.handle()
      checkpoint.close()
      change(path)
      expect(refusal(() => openHandle(handle))).toMatchObject({ code: 'FILE_CHANGED', path })
      expect(mappings(path)).toBe(0)
    }
  })

  test('when it is gone: the error of the system', () => {
    const path = sample()
    const checkpoint = openSync(path)
    const handle = checkpoint.handle()
    checkpoint.close()
    unlinkSync(path)
    expect(() => openHandle(handle)).toThrow(/ENOENT/)
  })

  test('changed once it is opened: FILE_CHANGED before it is decoded', () => {
    const path = sample()
    const checkpoint = again(openSync(path))
    appendFileSync(path, 'x')
    expect(refusal(() => checkpoint.root).code).toBe('FILE_CHANGED')
    checkpoint.close()
  })

  test('with a record that cannot be found: the error it has without a handle', () => {
    const path = sample()
    const bytes = readFileSync(path)
    // Of the header in front of the bytes of storage 1.
    bytes[bytes.indexOf('data/1') - 30]! ^= 1
    const damaged = join(folder, 'damaged.pth')
    writeFileSync(damaged, bytes)
    const first = openSync(damaged)
    const error = refusal(() => tensorOf(first, 'other').data)
    const second = again(first)
    expect(tensorOf(second, 'weight').data).toEqual(ramp(6))
    const found = refusal(() => tensorOf(second, 'other').data)
    expect([found.code, found.message]).toEqual(['BAD_RECORD', error.message])
    second.close()
  })

  test('bytes, and several files put together, have no handle', () => {
    const sources = [
      readFileSync(sample()),
      golden('dcp/uneven'),
      golden('deepspeed/zero2'),
      golden('split/darts/model.pt'),
    ]
    for (const source of sources) {
      const checkpoint = openSync(source)
      expect(refusal(() => checkpoint.handle())).toMatchObject({
        name: 'UnsupportedError',
        code: 'UNSUPPORTED_FORMAT',
      })
      checkpoint.close()
    }
  })
})

describe('split checkpoints', () => {
  const PATHS = ['split/hub-safetensors', 'split/hub-bin/pytorch_model.bin.index.json']

  test.each(PATHS.flatMap((path) => WAYS.map(([name, way]) => [path, name, way] as const)))(
    '%s, %s',
    async (path, _, way) => {
      for (const parts of ['check', 'open', 'lazy'] as const) {
        const first = await open(golden(path), { parts })
        const second = openHandle(way(first.handle()))
        expect([second.path, second.format, second.size]).toEqual([first.path, 'split', first.size])
        const use = () => {
          expect(elementBytes(second)).toEqual(elementBytes(first))
          expect([...second.stateDict().keys()]).toEqual([...first.stateDict().keys()])
          expect(second.skipped).toEqual(first.skipped)
        }
        expect(decodings(use)).toBe(0)
        expect([...(second.root as Map<string, unknown>).keys()]).toEqual([
          ...(first.root as Map<string, unknown>).keys(),
        ])
        expect(await second.verify()).toEqual(await first.verify())
        first.close()
        second.close()
        expect(refusal(() => second.tensors).code).toBe('CLOSED')
      }
    },
  )

  test('parts given one by one', () => {
    const paths = [1, 2, 3].map((i) => golden(`split/hub-bin/pytorch_model-0000${i}-of-00003.bin`))
    const first = openSync(paths)
    const second = openHandle(structuredClone(first.handle()))
    expect(second.path).toBe(undefined)
    expect(elementBytes(second)).toEqual(elementBytes(first))
    first.close()
    second.close()
  })

  test('a part that is gone is MISSING_SHARD when a tensor of it is asked for', () => {
    const paths = [sample(), sample(10)]
    const index = join(folder, 'model.index.json')
    const [one, two] = paths.map((path) => path.slice(folder.length + 1))
    const map = { weight: one, tied: two }
    writeFileSync(index, JSON.stringify({ metadata: {}, weight_map: map }))
    const checkpoint = again(openSync(index))
    unlinkSync(paths[1]!)
    expect(tensorOf(checkpoint, 'weight').data).toEqual(ramp(6))
    expect(refusal(() => checkpoint.tensors.get('tied')).code).toBe('MISSING_SHARD')
    checkpoint.close()
    unlinkSync(paths[0]!)
  })

  test('parts are mapped when a tensor of theirs is asked for', () => {
    const second = again(openSync(golden(PATHS[0]!)))
    expect(second.parts.map(({ isOpen }) => isOpen)).toEqual([false, false, false])
    expect(tensorOf(second, 'head.bias').data.length).toBeGreaterThan(0)
    expect(second.parts.map(({ isOpen }) => isOpen)).toEqual([false, false, true])
    second.close()
  })
})

describe('elsewhere', () => {
  const work = ({ openHandle }: typeof import('../lib/index'), text: string) => {
    const checkpoint = openHandle(JSON.parse(text))
    const { data } = checkpoint.tensors.get('weight')!
    data.fill(5 as never)
    const tied = Array.from(checkpoint.tensors.get('tied')!.data, Number)
    const names = [...(checkpoint.root as Map<string, unknown>).keys()]
    checkpoint.close()
    return { tied, names }
  }
  const wanted = { tied: [5, 5, 5, 5, 5, 5], names: ['weight', 'tied', 'column', 'other'] }

  test('in threads, each with pages of its own', async () => {
    const path = sample()
    const checkpoint = openSync(path)
    const handle = checkpoint.handle()
    const threads = Array.from({ length: 4 }, () => inThread(work, [JSON.stringify(handle)]))
    const answers = Promise.all(threads.map((thread) => once(thread, 'message')))
    const posted = inThread(({ openHandle }) => {
      const { parentPort } = require('node:worker_threads') as typeof import('worker_threads')
      return new Promise<unknown>((resolve) => {
        parentPort?.once('message', (handle: CheckpointHandle) => {
          const opened = openHandle(handle)
          resolve(Array.from(opened.tensors.get('weight')!.data, Number))
        })
        parentPort?.postMessage('ready')
      })
    }, [])
    expect(await once(posted, 'message')).toEqual(['ready'])
    posted.postMessage(handle)
    expect(await once(posted, 'message')).toEqual([[0, 1, 2, 3, 4, 5]])
    expect(await answers).toEqual([[wanted], [wanted], [wanted], [wanted]])
    await Promise.all([posted, ...threads].map((thread) => thread.terminate()))
    expect(tensorOf(checkpoint, 'weight').data).toEqual(ramp(6))
    checkpoint.close()
    expect(mappings(path)).toBe(0)
  })

  test.each(['json', 'advanced'] as const)('in a process, with %s', async (serialization) => {
    const checkpoint = openSync(sample())
    const code = `process.once('message', (handle) => {
      const { openHandle } = require(${JSON.stringify(join(__dirname, '../lib/index'))})
      const checkpoint = openHandle(handle)
      process.send(Array.from(checkpoint.tensors.get('other').data))
      process.disconnect()
    })`
    const child = spawn(
      process.execPath,
      ['-r', join(__dirname, 'support/register.cjs'), '-e', code],
      { stdio: ['ignore', 'inherit', 'inherit', 'ipc'], serialization },
    )
    child.send(checkpoint.handle())
    expect(await once(child, 'message')).toEqual([[100, 101, 102, 103], undefined])
    checkpoint.close()
    expect(await once(child, 'close')).toEqual([0, null])
  })
})
