/**
 * Checkpoints of several files, and files with tables of their own, that lie: each value of an
 * index, a table or a state replaced by others. It is refused by name, or what is left can be used.
 */
import { execFileSync } from 'node:child_process'
import { cpSync, mkdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, jest, test } from '@jest/globals'
import { type OpenOptions, openSync } from '../lib/index'
import { bytes, checkpointOf, global, op, pickle, tensor, text, u64 } from './support/bytes'
import { Flat, Size, writeZero } from './support/deepspeed-writer'
import { FIXTURES } from './support/golden'
import { mappings } from './support/memory'
import { thinned } from './support/pace'
import { refusal, temporaryFolder } from './support/samples'
import { altered, recordsOf, spliced, withRecord } from './support/splice'
import { outcomeOf, walk } from './support/walk'

// The sanitizers make everything slow.
jest.setTimeout(600_000)

const folder = temporaryFolder('hostile-parts')
let count = 0
const fresh = () => join(folder, `${++count}`)

/** A directory of its own that has the files of another, by links. */
function linked(source: string): string {
  const path = fresh()
  cpSync(source, path, { recursive: true })
  return path
}

const MODES: readonly OpenOptions[] = [{}, { parts: 'lazy', mmap: false }, { parts: 'open' }]

/** Uses all of a checkpoint; what it cannot give, or why it is none. */
function explore(path: string, options: OpenOptions): Set<string> {
  const outcomes = new Set<string>()
  const code = outcomeOf(() => {
    using checkpoint = openSync(path, options)
    for (const outcome of walk(checkpoint)) outcomes.add(outcome)
  })
  return outcomes.add(code)
}

/**
 * Writes each content in its turn and uses what it is part of. Returns the outcomes; what is thrown
 * that is none of this package's errors fails, with the name of the case.
 */
function tryAll(
  path: string,
  file: string,
  contents: Iterable<readonly [string, string | Uint8Array]>,
): Set<string> {
  const outcomes = new Set<string>()
  const failures: string[] = []
  let cases = 0
  for (const [name, content] of thinned(contents)) {
    writeFileSync(file, content)
    const options = MODES[cases++ % MODES.length]!
    try {
      for (const outcome of explore(path, options)) outcomes.add(outcome)
    } catch (error) {
      failures.push(`${name} ${JSON.stringify(options)}: ${(error as Error).stack?.slice(0, 600)}`)
    }
  }
  expect(failures.slice(0, 5)).toEqual([])
  expect(cases).toBeGreaterThan(20)
  expect(mappings(folder)).toBe(0)
  return outcomes
}

describe('each value of .metadata', () => {
  test.each(['files', 'flat', 'megatron/iter_0000010'])('%s', (name) => {
    const path = linked(join(FIXTURES, 'dcp', name))
    const index = join(path, '.metadata')
    const outcomes = tryAll(path, index, spliced(readFileSync(index)))
    expect(outcomes).toContain('BAD_INDEX')
    expect(outcomes).toContain('ok')
  })
})

describe('each value beside .metadata', () => {
  test.each([['megatron/iter_0000010', 'common.pt']])('%s/%s', (name, beside) => {
    const path = linked(join(FIXTURES, 'dcp', name))
    tryAll(path, join(path, beside), archives(readFileSync(join(path, beside))))
  })
})

/** An archive of torch.save with each value of its pickle replaced. */
function* archives(archive: Buffer): Generator<[string, Buffer]> {
  const record = recordsOf(archive).find(({ name }) => name.endsWith('/data.pkl'))!
  for (const [name, data] of spliced(record.data)) {
    yield [name, withRecord(archive, '/data.pkl', data)]
  }
}

describe('each value of the states of DeepSpeed', () => {
  const frozen = {
    frozen_param_shapes: { cold: new Size(2) },
    frozen_param_fragments: { cold: new Flat([1, 2]) },
  }
  const paddings = { param_alignment_paddings: [[0, 0]] }
  const cases: [string, string, (path: string) => void][] = [
    ['stage 2', 'mp_rank_00_model_states.pt', (path) => writeZero(path, { model: frozen })],
    [
      'stage 2',
      'zero_pp_rank_0_mp_rank_00_optim_states.pt',
      (path) => writeZero(path, { optimizer: paddings }),
    ],
    [
      'stage 3',
      'zero_pp_rank_1_mp_rank_00_model_states.pt',
      (path) => writeZero(path, { stage: 3, model: frozen }),
    ],
    [
      'stage 3',
      'zero_pp_rank_1_mp_rank_00_optim_states.pt',
      (path) => writeZero(path, { stage: 3 }),
    ],
  ]
  test.each(cases)('%s, %s', (_, file, write) => {
    const path = fresh()
    write(path)
    const states = join(path, 'global_step7', file)
    const outcomes = tryAll(path, states, archives(readFileSync(states)))
    expect(outcomes).toContain('BAD_INDEX')
    expect(outcomes).toContain('ok')
  })
})

describe('Darts', () => {
  const root = (inner: Buffer) =>
    bytes(
      global('darts.models.forecasting.nbeats', 'NBEATSModel'),
      op.EMPTY_TUPLE,
      0x81,
      inner,
      op.BUILD,
    )
  const states = bytes(
    op.EMPTY_DICT,
    op.MARK,
    text('_fit_called'),
    0x88,
    text('x'),
    tensor(),
    op.SETITEMS,
  )

  test('each value of the wrapper and of the checkpoint', () => {
    const path = fresh()
    const wrapper = checkpointOf(pickle(root(states)))
    writeFileSync(path, wrapper)
    writeFileSync(`${path}.ckpt`, checkpointOf(pickle(states)))
    tryAll(path, path, archives(wrapper))
    writeFileSync(path, wrapper)
    tryAll(path, `${path}.ckpt`, archives(checkpointOf(pickle(states))))
  })

  test('a directory in the place of the checkpoint is an error of the file system', () => {
    const path = fresh()
    writeFileSync(path, checkpointOf(pickle(root(states))))
    mkdirSync(`${path}.ckpt`)
    expect(() => openSync(path)).toThrow('EISDIR')
    expect(mappings(path)).toBe(0)
  })
})

/** A safetensors file. */
function safetensors(header: string, data: Uint8Array): Buffer {
  const text = Buffer.from(header)
  return Buffer.concat([u64(BigInt(text.length)), text, data])
}

function* files(header: string, data: Uint8Array): Generator<[string, Buffer]> {
  for (const [name, text] of altered(header)) yield [name, safetensors(text, data)]
}

describe('each value of JSON', () => {
  const header = JSON.stringify({
    __metadata__: { format: 'pt' },
    a: { dtype: 'F32', shape: [2, 2], data_offsets: [0, 16] },
    constructor: { dtype: 'BF16', shape: [], data_offsets: [16, 18] },
  })

  test('the header of a safetensors file', () => {
    const path = fresh()
    const outcomes = tryAll(path, path, files(header, new Uint8Array(18)))
    expect(outcomes).toContain('BAD_INDEX')
  })

  test('where in the whole the chunks of a file begin', () => {
    const path = fresh()
    mkdirSync(path)
    const name = (n: number) => join(path, `shard-0000${n}-model-00001-of-00001.safetensors`)
    const half = (offset: number) =>
      JSON.stringify({
        a: { saved_offsets: [offset, 0] },
        constructor: { saved_offsets: [] },
      })
    const headerOf = (info: string) =>
      JSON.stringify({ ...JSON.parse(header), __metadata__: { DCP_SHARDING_INFO: info } })
    const only = headerOf(half(2)).replace(/,"constructor":.*$/s, '}')
    writeFileSync(name(1), safetensors(only, new Uint8Array(16)))
    function* infos(): Generator<[string, Buffer]> {
      for (const [place, info] of altered(half(0))) {
        yield [place, safetensors(headerOf(info), new Uint8Array(18))]
      }
    }
    const outcomes = tryAll(path, name(2), infos())
    expect(outcomes).toContain('BAD_INDEX')
  })

  test('the index of a split checkpoint', () => {
    const path = fresh()
    mkdirSync(path)
    const part = JSON.stringify({ a: { dtype: 'U8', shape: [1], data_offsets: [0, 1] } })
    for (const file of ['1.safetensors', '__proto__']) {
      writeFileSync(join(path, file), safetensors(part, new Uint8Array(1)))
    }
    const index = { metadata: { total_size: 1 }, weight_map: { a: '1.safetensors', b: '2' } }
    const file = join(path, 'model.safetensors.index.json')
    const outcomes = tryAll(path, file, altered(JSON.stringify(index)))
    expect(outcomes).toContain('MISSING_SHARD')
  })

  test.each(['export-models.pt2', 'export-inductor.pt2', 'export-subclass.pt2'])(
    'the tables of %s',
    (name) => {
      const archive = readFileSync(join(FIXTURES, 'torch-2.13', name))
      const path = fresh()
      const tables = recordsOf(archive).filter(({ name }) => name.endsWith('_config.json'))
      expect(tables.length).toBeGreaterThan(0)
      function* variants(): Generator<[string, Buffer]> {
        for (const table of tables) {
          for (const [place, json] of altered(table.data.toString())) {
            yield [`${table.name} ${place}`, withRecord(archive, table.name, Buffer.from(json))]
          }
        }
      }
      tryAll(path, path, variants())
    },
  )
})

describe('names of files', () => {
  const OUTSIDE = [
    '../x', 'a/../../x', '/etc/passwd', '\\\\host\\x', 'C:\\x', 'c:x', '..\\x', '.', './', './/.', '',
  ] // biome-ignore format: a table
  const INSIDE = ['%2e%2e/x', '..%2fx', '\u2024\u2024/x', '...', '~/x', 'CON']

  function indexOf(file: string): string {
    const path = fresh()
    mkdirSync(path)
    writeFileSync(join(path, 'x.index.json'), JSON.stringify({ weight_map: { a: file } }))
    return path
  }

  test.each(OUTSIDE)('%j is outside', (file) => {
    const error = refusal(() => openSync(indexOf(file)))
    expect(error).toMatchObject({ code: 'BAD_INDEX' })
    expect(error.message).toContain('outside its directory')
  })

  test.each(INSIDE)('%j is a name like any other', (file) => {
    expect(refusal(() => openSync(indexOf(file))).code).toBe('MISSING_SHARD')
  })

  test('tensors and parts called like members of objects are tensors and parts', () => {
    const path = fresh()
    mkdirSync(path)
    const names = ['__proto__', 'constructor', 'toString', 'hasOwnProperty']
    const row = (i: number) => `{"dtype":"U8","shape":[1],"data_offsets":[${i},${i + 1}]}`
    const header = `{${names.map((name, i) => `"${name}":${row(i)}`).join()}}`
    writeFileSync(join(path, '__proto__'), safetensors(header, Uint8Array.of(1, 2, 3, 4)))
    const listed = names.map((name) => `"${name}":"__proto__"`).join()
    writeFileSync(join(path, 'x.index.json'), `{"weight_map":{${listed}}}`)
    for (const options of MODES) {
      using checkpoint = openSync(path, options)
      expect([...checkpoint.tensors.keys()]).toEqual(names)
      expect([...checkpoint.tensors.values()].map(({ data }) => data[0])).toEqual([1, 2, 3, 4])
      expect(checkpoint.stateDict({ from: 'toString' }).size).toBe(1)
      expect(refusal(() => checkpoint.stateDict({ from: 'valueOf' })).code).toBe('NO_SUCH_TENSOR')
    }
    expect(({} as Record<string, unknown>).dtype).toBeUndefined()
  })

  test('what only looks like a text of a directory does not make open wait', () => {
    for (const name of ['metadata.json', 'latest_checkpointed_iteration.txt', 'latest']) {
      const path = fresh()
      mkdirSync(path)
      execFileSync('mkfifo', [join(path, name)])
      writeFileSync(join(path, 'model.safetensors'), safetensors('{}', new Uint8Array(0)))
      if (name.startsWith('latest_')) expect(refusal(() => openSync(path)).code).toBe('BAD_INDEX')
      else openSync(path).close()
    }
  })

  test('a link that leads nowhere is no reason to refuse what stands beside it', () => {
    const path = fresh()
    mkdirSync(path)
    symlinkSync(join(path, 'nothing'), join(path, 'metadata.json'))
    writeFileSync(join(path, 'model.safetensors'), safetensors('{}', new Uint8Array(0)))
    openSync(path).close()
  })
})
