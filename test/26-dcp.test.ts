/** Directories of torch.distributed.checkpoint: what torch's own writers make, against what torch reads of it. */
import {
  cpSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  truncateSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { basename, join } from 'node:path'
import { afterAll, describe, expect, test } from '@jest/globals'
import { type Checkpoint, open, openSync, type Tensor } from '../lib/index'
import { FIXTURES, sha256 } from './support/golden'
import { canonical, simplify } from './support/python'

const FOLDER = join(FIXTURES, 'dcp')

interface Row {
  case: string
  ranks: number
  tensors: Record<
    string,
    { dtype: string; shape: number[]; sha256: string; requires_grad?: boolean; chunks?: number }
  >
  state_dict: Record<string, string>
  root: unknown
  /** Dicts of several files have their keys in no certain order. */
  unordered?: boolean
}

const ROWS = JSON.parse(readFileSync(join(FOLDER, 'manifest.json'), 'utf8')) as Row[]

function compare(checkpoint: Checkpoint, row: Row): void {
  expect(checkpoint.format).toBe('dcp')
  expect([...checkpoint.tensors.keys()].sort()).toEqual(Object.keys(row.tensors).sort())
  for (const [name, wanted] of Object.entries(row.tensors)) {
    const tensor = checkpoint.tensors.get(name) as Tensor
    const found = {
      name: tensor.name,
      dtype: tensor.dtype,
      shape: [...tensor.shape],
      sha256: sha256(tensor.bytes()),
      requiresGrad: tensor.requiresGrad,
    }
    const { dtype, shape } = wanted
    const requiresGrad = wanted.requires_grad ?? false
    expect(found).toEqual({ name, dtype, shape, sha256: wanted.sha256, requiresGrad })
  }
  const weights = checkpoint.stateDict()
  expect([...weights.keys()].sort()).toEqual(Object.keys(row.state_dict).sort())
  for (const [name, full] of Object.entries(row.state_dict)) {
    expect(weights.get(name)).toBe(checkpoint.tensors.get(full))
  }
  const found = canonical(checkpoint.root, (tensor) => {
    // The same object under the same name.
    expect(checkpoint.tensors.get(tensor.name)).toBe(tensor)
    return tensor.name
  })
  const wanted = simplify(row.root, (name) => name)
  if (row.unordered) expect(ordered(found)).toEqual(ordered(wanted))
  else expect(found).toEqual(wanted)
  expect(checkpoint.skipped).toEqual([])
}

/** With the entries of dicts sorted. */
function ordered(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(ordered)
  if (value === null || typeof value !== 'object') return value
  const { dict } = value as { dict?: unknown[] }
  if (dict === undefined) {
    return Object.fromEntries(Object.entries(value).map(([key, item]) => [key, ordered(item)]))
  }
  const pairs = dict.map((pair) => JSON.stringify(ordered(pair)))
  return { dict: pairs.sort() }
}

describe('written by torch', () => {
  test('every directory has a row', () => {
    const folders = readdirSync(FOLDER).filter((name) => name !== 'manifest.json')
    expect(folders.sort()).toEqual(ROWS.map((row) => row.case).sort())
    expect(ROWS.length).toBeGreaterThan(8)
  })
  for (const row of ROWS) {
    const path = join(FOLDER, row.case)
    test(row.case, async () => {
      using checkpoint = await open(path)
      compare(checkpoint, row)
    })
    test(`${row.case}, read instead of mapped, at once`, () => {
      using checkpoint = openSync(path, { mmap: false, parts: 'open' })
      compare(checkpoint, row)
    })
    test(`${row.case}, strict, lazy`, () => {
      const options = { globals: 'strict', parts: 'lazy' } as const
      if (row.case === 'torch-1.13') {
        // Some releases of Python 3.11 pickle the members of an enum as calls of getattr.
        expect(() => openSync(path, options)).toThrow('builtins.getattr')
        return
      }
      using checkpoint = openSync(path, options)
      compare(checkpoint, row)
    })
  }
})

const SCRATCH = mkdtempSync(join(tmpdir(), 'torchmap-dcp-'))
afterAll(() => rmSync(SCRATCH, { recursive: true }))

/** A copy of a directory, to change. */
function copy(name: string, change: (path: string) => void = () => undefined): string {
  const path = mkdtempSync(join(SCRATCH, 'copy-'))
  cpSync(join(FOLDER, name), path, { recursive: true })
  change(path)
  return path
}

const coded = (code: string) => expect.objectContaining({ code })
const openParts = (checkpoint: Checkpoint) =>
  checkpoint.parts.filter(({ isOpen }) => isOpen).map(({ path }) => basename(path))

describe('memory', () => {
  test('a tensor of one chunk lies in the mapped file', () => {
    using checkpoint = openSync(join(FOLDER, 'plain'))
    const row = ROWS.find((found) => found.case === 'plain')!
    const names = Object.entries(row.tensors).filter(([, { shape }]) => !shape.includes(0))
    expect(names.length).toBeGreaterThan(8)
    for (const [name] of names)
      expect([name, checkpoint.tensors.get(name)!.isZeroCopy]).toEqual([name, true])
    const { data } = checkpoint.tensors.get('model.a.weight')!
    expect(checkpoint.tensors.get('model.a.weight')!.data).toBe(data)
    data[0] = 99
    expect(checkpoint.stateDict().get('a.weight')!.data[0]).toBe(99)
    checkpoint.close()
    expect(data.length).toBe(0)
  })

  test('a tensor of several chunks is a copy, made once, which stays', () => {
    using checkpoint = openSync(join(FOLDER, 'uneven'))
    const ten = checkpoint.tensors.get('ten')!
    expect(ten.isZeroCopy).toBe(false)
    const { data } = ten
    expect(ten.data).toBe(data)
    expect(ten.toFloat32()).toBe(data)
    expect([...ten.bytes(4, 8)]).toEqual([...new Uint8Array(data.buffer, 4, 4)])
    expect(ten.storage).toMatchObject({ key: 'ten', byteLength: 120, dtype: 'float32' })
    checkpoint.close()
    expect(data.length).toBe(30)
  })

  test('nothing is mapped with mmap: false', () => {
    using checkpoint = openSync(join(FOLDER, 'plain'), { mmap: false })
    expect(checkpoint.isMapped).toBe(false)
    expect(checkpoint.tensors.get('model.a.weight')!.isZeroCopy).toBe(false)
  })

  test('closed', () => {
    const checkpoint = openSync(join(FOLDER, 'fsdp'))
    const [kept, weights] = [checkpoint.tensors, checkpoint.stateDict()]
    const tensor = kept.get('step') ?? kept.get('app.model.same')!
    const other = weights.get('fc.weight')!
    checkpoint.close()
    checkpoint.close()
    expect(checkpoint.closed).toBe(true)
    expect(() => checkpoint.tensors).toThrow(coded('CLOSED'))
    expect(() => checkpoint.root).toThrow(coded('CLOSED'))
    expect(() => checkpoint.stateDict()).toThrow(coded('CLOSED'))
    expect(() => tensor.data).toThrow(coded('CLOSED'))
    expect(() => other.data).toThrow(coded('CLOSED'))
    expect(other.shape).toEqual([6, 4])
  })

  test('a copy above limits.copyBytes', () => {
    using checkpoint = openSync(join(FOLDER, 'uneven'), { limits: { copyBytes: 100 } })
    expect(() => checkpoint.tensors.get('ten')!.data).toThrow(coded('LIMIT_STORAGE'))
    expect(checkpoint.tensors.get('two')!.data.length).toBe(6)
  })
})

describe('files', () => {
  test('are opened when something of them is asked for', () => {
    using checkpoint = openSync(join(FOLDER, 'files'))
    const names = checkpoint.parts.map(({ path }) => basename(path))
    const shards = ['__0_0', '__0_1', '__1_0', '__1_1', '__1_2'].map((name) => `${name}.distcp`)
    expect(names).toEqual(['.metadata', ...shards])
    const size = names.reduce((sum, name) => sum + statSync(join(FOLDER, 'files', name)).size, 0)
    expect(checkpoint.size).toBe(size)
    expect(openParts(checkpoint)).toEqual(['.metadata'])
    expect(checkpoint.tensors.get('a')!.shape).toEqual([4, 2])
    expect(openParts(checkpoint)).toEqual(['.metadata'])
    expect(checkpoint.tensors.get('a')!.data.length).toBe(8)
    expect(openParts(checkpoint)).toEqual(['.metadata', '__0_0.distcp', '__1_0.distcp'])
    // Any object may hold tensors.
    expect(checkpoint.tensors.size).toBe(2)
    expect(openParts(checkpoint)).toHaveLength(4)
  })

  test("all at once with parts: 'open'", () => {
    using checkpoint = openSync(join(FOLDER, 'files'), { parts: 'open' })
    expect(openParts(checkpoint)).toHaveLength(6)
  })

  for (const parts of ['check', 'lazy', 'open'] as const) {
    test(`one is missing, parts: '${parts}'`, async () => {
      const path = copy('uneven', (folder) => rmSync(join(folder, '__3_0.distcp')))
      using checkpoint = await open(path, { parts })
      const lost = ['ten', 'columns', 'both', 'half', 'scalar']
      const codes = checkpoint.skipped.map(({ name, code }) => [name, code])
      expect(codes.sort()).toEqual(lost.map((name) => [name, 'MISSING_SHARD']).sort())
      const ten = checkpoint.tensors.get('ten')!
      expect(ten.shape).toEqual([10, 3])
      expect(() => ten.data).toThrow(coded('MISSING_SHARD'))
      expect(() => ten.data).toThrow(/'ten' is in '.*__3_0.distcp', which is missing/)
      expect(checkpoint.tensors.get('two')!.data).toHaveLength(6)
      expect((checkpoint.root as Map<string, unknown>).get('ten')).toBe(ten)
    })
  }

  test('one is missing that has objects', () => {
    const path = copy('files', (folder) => rmSync(join(folder, '__0_1.distcp')))
    using checkpoint = openSync(path)
    expect(checkpoint.skipped).toMatchObject([{ name: 'b', code: 'MISSING_SHARD' }])
    const other = copy('files', (folder) => rmSync(join(folder, '__1_2.distcp')))
    using objects = openSync(other)
    expect(objects.skipped).toMatchObject([{ code: 'MISSING_SHARD' }])
  })

  test('one is cut off', () => {
    const name = '__0_0.distcp'
    const path = copy('plain', (folder) => truncateSync(join(folder, name), 20_000))
    using checkpoint = openSync(path)
    const lost = checkpoint.skipped.map(({ code }) => code)
    expect(lost.length).toBeGreaterThan(2)
    expect(new Set(lost)).toEqual(new Set(['TRUNCATED']))
    const bad = new Set(checkpoint.skipped.map((skipped) => skipped.name))
    let whole = 0
    for (const [tensorName, tensor] of checkpoint.tensors) {
      if (bad.has(tensorName)) expect(() => tensor.data).toThrow(coded('TRUNCATED'))
      else whole += tensor.data.length
    }
    expect(whole).toBeGreaterThan(20)
    expect(checkpoint.root).toBeInstanceOf(Map)
  })

  test('one is cut off after it was opened', () => {
    const path = copy('plain')
    using checkpoint = openSync(path, { mmap: false })
    expect(checkpoint.tensors.get('model.a.weight')!.data.length).toBe(12)
    truncateSync(join(path, '__0_0.distcp'), 10)
    expect(() => checkpoint.tensors.get('view')!.data).toThrow(coded('FILE_CHANGED'))
  })

  test('one has other bytes', () => {
    const path = copy('uneven', (folder) => {
      for (const name of readdirSync(folder)) {
        if (name.startsWith('__')) writeFileSync(join(folder, name), Buffer.alloc(10_000, 1))
      }
    })
    using checkpoint = openSync(path)
    expect(checkpoint.tensors.get('ten')!.dtype).toBe('float32')
    expect(() => checkpoint.tensors.get('ten')!.data).toThrow(coded('NOT_A_CHECKPOINT'))
    expect(() => checkpoint.tensors.get('scalar')!.data).toThrow(coded('NOT_A_CHECKPOINT'))
  })

  test('the index is missing', () => {
    const path = copy('fsdp', (folder) =>
      renameSync(join(folder, '.metadata'), join(folder, '.metadata.tmp')),
    )
    expect(() => openSync(path)).toThrow(coded('BAD_INDEX'))
    expect(() => openSync(path)).toThrow('saving was not finished')
  })

  test('one rank saved without the others', () => {
    const path = copy('plain', (folder) =>
      renameSync(join(folder, '.metadata'), join(folder, '__0.metadata')),
    )
    using checkpoint = openSync(path)
    expect(checkpoint.stateDict().get('a.weight')!.shape).toEqual([3, 4])
    cpSync(join(path, '__0.metadata'), join(path, '__1.metadata'))
    expect(() => openSync(path)).toThrow(coded('UNSUPPORTED_FORMAT'))
  })

  test('an aborted signal', async () => {
    const reason = new Error('enough')
    await expect(open(join(FOLDER, 'fsdp'), { signal: AbortSignal.abort(reason) })).rejects.toBe(
      reason,
    )
    const controller = new AbortController()
    const opening = open(join(FOLDER, 'fsdp'), { signal: controller.signal })
    controller.abort(reason)
    await expect(opening).rejects.toBe(reason)
  })
})

describe('branches', () => {
  test('by the names of tensors', () => {
    using checkpoint = openSync(join(FOLDER, 'fsdp'))
    const optimizer = checkpoint.stateDict({ from: 'app.optim.state' })
    expect([...optimizer.keys()].sort()).toEqual(['fc.weight.exp_avg', 'fc.weight.step'])
    expect(optimizer.get('fc.weight.exp_avg')).toBe(
      checkpoint.tensors.get('app.optim.state.fc.weight.exp_avg'),
    )
    expect(checkpoint.stateDict({ from: 'app.optim.state' })).toBe(optimizer)
    expect(checkpoint.stateDict({ from: '' }).size).toBe(checkpoint.tensors.size)
    expect(() => checkpoint.stateDict({ from: 'nobody' })).toThrow(coded('NO_SUCH_TENSOR'))
  })

  test('tensors in objects', () => {
    using checkpoint = openSync(join(FOLDER, 'plain'))
    expect([...checkpoint.stateDict({ from: 'pair' }).keys()]).toEqual(['0', '1.inner'])
    const pair = (checkpoint.root as Map<string, [Tensor, Map<string, Tensor>]>).get('pair')!
    expect(pair[0]).toBe(checkpoint.tensors.get('pair.0'))
    expect(pair[0].name).toBe('pair.0')
    expect(pair[1].get('inner')).toBe(checkpoint.tensors.get('pair.1.inner'))
  })
})

describe('Megatron', () => {
  test('an iteration, or the directory of all', () => {
    using latest = openSync(join(FOLDER, 'megatron'))
    using iteration = openSync(join(FOLDER, 'megatron', 'iter_0000010'))
    expect([...latest.tensors.keys()]).toEqual([...iteration.tensors.keys()])
    expect(latest.path).toBe(join(FOLDER, 'megatron', 'iter_0000010'))
    expect(latest.parts.map(({ path }) => basename(path))).toEqual([
      '.metadata',
      'common.pt',
      '__0_0.distcp',
      '__1_0.distcp',
    ])
    expect((latest.root as Map<string, unknown>).get('iteration')).toBe(10)
  })

  const made = (files: Record<string, string | Buffer>) => {
    const path = mkdtempSync(join(SCRATCH, 'megatron-'))
    for (const [name, content] of Object.entries(files)) {
      mkdirSync(join(path, name, '..'), { recursive: true })
      writeFileSync(join(path, name), content)
    }
    return path
  }
  const model = readFileSync(join(FOLDER, 'megatron', 'iter_0000010', 'common.pt'))

  test('one rank of the older format', () => {
    const path = made({
      'latest_checkpointed_iteration.txt': '7\n',
      'iter_0000007/mp_rank_00/model_optim_rng.pt': model,
    })
    using checkpoint = openSync(path)
    expect(checkpoint.format).toBe('zip')
    expect(checkpoint.tensors.get('seed')!.data[0]).toBe(5n)
    expect(openSync(join(path, 'iter_0000007')).tensors.size).toBe(1)
  })

  test('several ranks of the older format', () => {
    const path = made({
      'latest_checkpointed_iteration.txt': 'release',
      'release/mp_rank_00/model_optim_rng.pt': model,
      'release/mp_rank_01/model_optim_rng.pt': model,
    })
    expect(() => openSync(path)).toThrow(coded('UNSUPPORTED_FORMAT'))
    expect(() => openSync(path)).toThrow(
      "open one by one 'mp_rank_00/model_optim_rng.pt', 'mp_rank_01",
    )
  })

  test('other backends, and iterations that are not there', () => {
    const zarr = made({ 'metadata.json': '{"sharded_backend":"zarr","sharded_backend_version":1}' })
    expect(() => openSync(zarr)).toThrow(coded('UNSUPPORTED_FORMAT'))
    expect(() => openSync(zarr)).toThrow("the backend 'zarr'")
    for (const text of ['8', '../../x', '', '99999999999999999999']) {
      const path = made({ 'latest_checkpointed_iteration.txt': text })
      expect(() => openSync(path)).toThrow(coded('BAD_INDEX'))
    }
  })
})

describe('safetensors', () => {
  test('a shard is missing in the middle', () => {
    const path = copy('safetensors', (folder) =>
      rmSync(join(folder, 'shard-00001-model-00001-of-00002.safetensors')),
    )
    using checkpoint = openSync(path)
    expect(checkpoint.skipped.map(({ name, code }) => [name, code])).toEqual([
      ['a.weight', 'BAD_INDEX'],
    ])
    expect(() => checkpoint.tensors.get('a.weight')!.data).toThrow('6 of 15 elements')
  })

  test('files that say nothing, or nonsense', () => {
    const edit = (from: string, to: string) =>
      copy('safetensors', (folder) => {
        for (const name of readdirSync(folder)) {
          const bytes = readFileSync(join(folder, name), 'latin1')
          expect(bytes).toContain(from)
          writeFileSync(join(folder, name), bytes.replaceAll(from, to), 'latin1')
        }
      })
    using silent = openSync(edit('DCP_SHARDING_INFO', 'DCP_SHARDING_OFNI'))
    expect(silent.skipped.map(({ code }) => code)).toContain('BAD_INDEX')
    using negative = openSync(edit('saved_offsets', 'saved_offset5'))
    expect(negative.skipped).toHaveLength(4)
    expect(negative.skipped[0]!.message).toContain('does not say where')
    const path = edit('\\"saved_offsets\\"', '\\"saved_offsets\\\\')
    expect(() => openSync(path)).toThrow(coded('BAD_INDEX'))
  })
})
