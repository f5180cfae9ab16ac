/** Checkpoints of several files: an index of parts, parts without one, directories. */
import { mkdirSync, mkdtempSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, test } from '@jest/globals'
import { type Checkpoint, isCheckpointError, open, openSync } from '../lib/index'
import { writeCheckpoint } from './support/checkpoint-writer'
import { maps } from './support/memory'
import { both, ramp, refusal, rejection, temporaryFolder, tensorOf } from './support/samples'

const folder = temporaryFolder('split')

const bytesOf = (array: Float32Array) => new Uint8Array(array.buffer)

/** A part: float32 vectors of 4 elements, tensor i of them from `first + 10 * i` on. */
function writePart(path: string, names: readonly string[], first: number, wrapper?: string): void {
  writeCheckpoint(
    path,
    names.map((name, i) => ({ name, type: 'Float', key: String(i), numel: 4, shape: [4] })),
    names.map((_, i) => ({
      key: String(i),
      size: 16,
      parts: [{ offset: 0, bytes: bytesOf(ramp(4, first + 10 * i)) }],
    })),
    wrapper,
  )
}

function writeIndex(path: string, weightMap: unknown): string {
  writeFileSync(path, JSON.stringify({ metadata: { total_size: 96 }, weight_map: weightMap }))
  return path
}

interface Model {
  directory: string
  index: string
  files: string[]
}

/** Three parts of two tensors each: a, b | c, d | e, f. The index lists them from f to a. */
function writeModel({ wrapper }: { wrapper?: string } = {}): Model {
  const directory = mkdtempSync(join(folder, 'model-'))
  const files = [1, 2, 3].map((i) => join(directory, `pytorch_model-0000${i}-of-00003.bin`))
  const names = ['a', 'b', 'c', 'd', 'e', 'f']
  for (const [i, file] of files.entries()) {
    writePart(file, names.slice(2 * i, 2 * i + 2), 100 * i, wrapper)
  }
  const map = names.reverse().map((name) => {
    const i = (name.charCodeAt(0) - 97) >> 1
    return [name, `pytorch_model-0000${i + 1}-of-00003.bin`]
  })
  const index = writeIndex(join(directory, 'pytorch_model.bin.index.json'), Object.fromEntries(map))
  return { directory, index, files }
}

/** First elements by name. */
function firsts(tensors: Checkpoint['tensors']): Record<string, unknown> {
  return Object.fromEntries([...tensors].map(([name, { data }]) => [name, data[0]]))
}

const ALL = { a: 0, b: 10, c: 100, d: 110, e: 200, f: 210 }

describe('an index', () => {
  test('gives the tensors of all parts, in its order', async () => {
    const { index, directory } = writeModel()
    for (const source of [index, directory]) {
      for (const checkpoint of await both(source)) {
        expect(checkpoint.format).toBe('split')
        expect([...checkpoint.tensors.keys()]).toEqual(['f', 'e', 'd', 'c', 'b', 'a'])
        expect(firsts(checkpoint.tensors)).toEqual(ALL)
        expect(firsts(checkpoint.stateDict())).toEqual(ALL)
        expect(checkpoint.skipped).toEqual([])
        expect(checkpoint.path).toBe(index)
        expect(checkpoint.root).toBeInstanceOf(Map)
        expect([...(checkpoint.root as Map<string, unknown>).keys()].sort()).toEqual([...'abcdef'])
        checkpoint.close()
      }
    }
  })

  test('opens a part when a tensor of it is asked for', () => {
    const { index, files } = writeModel()
    const checkpoint = openSync(index)
    const open = () => checkpoint.parts.filter(({ isOpen }) => isOpen).map(({ path }) => path)
    expect(checkpoint.parts.map(({ path }) => path).sort()).toEqual(files)
    expect(checkpoint.tensors.has('c')).toBe(true)
    expect(checkpoint.tensors.size).toBe(6)
    expect(open()).toEqual([])
    const c = tensorOf(checkpoint, 'c')
    expect([c.name, c.dtype, c.shape, c.isZeroCopy]).toEqual(['c', 'float32', [4], true])
    expect(open()).toEqual([files[1]])
    expect(checkpoint.tensors.get('c')).toBe(c)
    expect(checkpoint.stateDict().get('c')).toBe(c)
    expect(process.platform !== 'linux' || maps().includes(files[1]!)).toBe(true)
    expect(maps().includes(files[0]!)).toBe(false)
    checkpoint.close()
    expect(maps().includes(files[1]!)).toBe(false)
    expect(c.shape).toEqual([4])
    expect(() => c.data).toThrow(/CLOSED/)
    expect(() => checkpoint.tensors).toThrow(/CLOSED/)
  })

  test('a wrapper around the weights of each part is looked through', () => {
    const { index } = writeModel({ wrapper: 'state_dict' })
    for (const parts of ['check', 'open'] as const) {
      const checkpoint = openSync(index, { parts })
      expect(firsts(checkpoint.tensors)).toEqual(ALL)
      expect(checkpoint.skipped).toEqual([])
      checkpoint.close()
    }
  })

  test('a branch of the names', () => {
    const directory = mkdtempSync(join(folder, 'branch-'))
    writePart(join(directory, 'x.bin'), ['block.0.weight', 'block.1.weight', 'head'], 0)
    const map = { 'block.0.weight': 'x.bin', 'block.1.weight': 'x.bin', head: 'x.bin' }
    const checkpoint = openSync(writeIndex(join(directory, 'model.index.json'), map))
    const branch = checkpoint.stateDict({ from: 'block' })
    expect(firsts(branch)).toEqual({ '0.weight': 0, '1.weight': 10 })
    expect(branch).toBe(checkpoint.stateDict({ from: 'block' }))
    expect(firsts(checkpoint.stateDict({ from: 'head' }))).toEqual({ '': 20 })
    expect(refusal(() => checkpoint.stateDict({ from: 'bloc' })).code).toBe('NO_SUCH_TENSOR')
    checkpoint.close()
  })

  test('a missing part is an error before, by default', async () => {
    const { index, files } = writeModel()
    renameSync(files[1]!, `${files[1]}.gone`)
    for (const parts of [undefined, 'check', 'open'] as const) {
      const error = refusal(() => openSync(index, { parts }))
      expect(error).toMatchObject({ name: 'StateError', code: 'MISSING_SHARD', path: files[1] })
      expect(error.cause).toMatchObject({ code: 'ENOENT' })
      expect(await rejection(open(index, { parts }))).toMatchObject({ code: 'MISSING_SHARD' })
    }
  })

  test('or after, of the tensors that should be in it', () => {
    const { index, files } = writeModel()
    renameSync(files[1]!, `${files[1]}.gone`)
    const checkpoint = openSync(index, { parts: 'lazy' })
    expect(tensorOf(checkpoint, 'a').data[0]).toBe(0)
    expect(refusal(() => tensorOf(checkpoint, 'c'))).toMatchObject({
      code: 'MISSING_SHARD',
      path: files[1],
    })
    expect(checkpoint.skipped.map(({ name, code }) => [name, code])).toEqual([
      ['d', 'MISSING_SHARD'],
      ['c', 'MISSING_SHARD'],
    ])
    renameSync(`${files[1]}.gone`, files[1]!)
    expect(tensorOf(checkpoint, 'c').data[0]).toBe(100)
    checkpoint.close()
  })

  test('a damaged part is an error of its tensors only', () => {
    const { index, files } = writeModel()
    writeFileSync(files[2]!, readFileSync(files[2]!).subarray(0, 300))
    const checkpoint = openSync(index)
    expect(tensorOf(checkpoint, 'a').data[0]).toBe(0)
    expect(refusal(() => tensorOf(checkpoint, 'e'))).toMatchObject({ path: files[2] })
    expect(checkpoint.skipped.map(({ name }) => name)).toEqual(['f', 'e'])
    checkpoint.close()
    expect(refusal(() => openSync(index, { parts: 'open' }))).toMatchObject({ path: files[2] })
  })

  test('that disagrees with its parts says so', () => {
    const directory = mkdtempSync(join(folder, 'disagree-'))
    writePart(join(directory, 'x.bin'), ['a', 'unlisted'], 0)
    writePart(join(directory, 'y.bin'), ['b'], 100)
    const index = writeIndex(join(directory, 'model.index.json'), {
      a: 'x.bin',
      b: 'y.bin',
      absent: 'y.bin',
    })
    const lazy = openSync(index)
    expect([...lazy.tensors.keys()]).toEqual(['a', 'b', 'absent'])
    expect(refusal(() => tensorOf(lazy, 'absent'))).toMatchObject({
      code: 'BAD_INDEX',
      path: index,
    })
    expect(lazy.skipped.map(({ name, code }) => [name, code])).toEqual([
      ['unlisted', 'BAD_INDEX'],
      ['absent', 'BAD_INDEX'],
    ])
    lazy.close()
    const all = openSync(index, { parts: 'open' })
    expect(firsts(all.tensors)).toEqual({ a: 0, b: 100, unlisted: 10 })
    expect(all.stateDict()).toBe(all.tensors)
    expect(all.skipped.map(({ name, code }) => [name, code])).toEqual([['absent', 'BAD_INDEX']])
    all.close()
  })

  test.each([
    '../x.bin',
    'sub/../../x.bin',
    '/etc/passwd',
    'C:\\x.bin',
    'c:x.bin',
    '..\\x.bin',
    '\\\\host\\x.bin',
    'x\0.bin',
    '',
  ])('may not lead out of its directory: %j', async (file) => {
    const index = writeIndex(join(mkdtempSync(join(folder, 'out-')), 'm.index.json'), { a: file })
    for (const parts of ['lazy', 'check', 'open'] as const) {
      const error = refusal(() => openSync(index, { parts }))
      expect(error).toMatchObject({ name: 'FormatError', code: 'BAD_INDEX', path: index })
    }
  })

  test.each([
    ['a list', []],
    ['null', null],
    ['a string', 'x.bin'],
    ['numbers', { a: 3 }],
    ['objects', { a: { file: 'x.bin' } }],
  ])('with %s for a weight_map is BAD_INDEX', (_, map) => {
    const index = writeIndex(join(mkdtempSync(join(folder, 'bad-')), 'm.index.json'), map)
    expect(refusal(() => openSync(index)).code).toBe('BAD_INDEX')
  })

  test('cut off is BAD_INDEX, other JSON no checkpoint', () => {
    const path = join(folder, 'text.json')
    writeFileSync(path, '{"weight_map": {"a": "x.b')
    expect(refusal(() => openSync(path)).code).toBe('BAD_INDEX')
    for (const text of ['{"model_type": "bert"}', '{"model_type', '  {}']) {
      writeFileSync(path, text)
      expect(refusal(() => openSync(path)).code).toBe('NOT_A_CHECKPOINT')
    }
  })

  test('is read up to a limit', () => {
    const { index } = writeModel()
    const error = refusal(() => openSync(index, { limits: { nameBytes: 100 } }))
    expect(error).toMatchObject({ code: 'LIMIT_NAMES', limit: 100, limitName: 'nameBytes' })
  })

  test('names that objects have anyway are names', () => {
    const directory = mkdtempSync(join(folder, 'proto-'))
    writePart(join(directory, 'x.bin'), ['__proto__', 'constructor', 'toString'], 0)
    const path = join(directory, 'm.index.json')
    const map = '{"__proto__": "x.bin", "constructor": "x.bin", "toString": "x.bin"}'
    writeFileSync(path, `{"weight_map": ${map}}`)
    const checkpoint = openSync(path)
    expect([...checkpoint.tensors].map(([name, { data }]) => [name, data[0]])).toEqual([
      ['__proto__', 0],
      ['constructor', 10],
      ['toString', 20],
    ])
    checkpoint.close()
  })
})

describe('parts without an index', () => {
  test('are one checkpoint, in the order given', async () => {
    const { files } = writeModel()
    for (const checkpoint of await both([files[2]!, files[0]!, files[1]!])) {
      expect([...checkpoint.tensors.keys()]).toEqual(['e', 'f', 'a', 'b', 'c', 'd'])
      expect(firsts(checkpoint.tensors)).toEqual(ALL)
      expect(firsts(checkpoint.stateDict())).toEqual(ALL)
      expect([checkpoint.format, checkpoint.path, checkpoint.skipped]).toEqual([
        'split',
        undefined,
        [],
      ])
      expect(checkpoint.parts.every(({ isOpen }) => isOpen)).toBe(true)
      expect(checkpoint.size).toBe(files.reduce((sum, file) => sum + readFileSync(file).length, 0))
      checkpoint.close()
    }
  })

  test('may be of any kind, each', () => {
    const directory = mkdtempSync(join(folder, 'mix-'))
    writePart(join(directory, 'plain.pth'), ['a'], 0)
    writePart(join(directory, 'wrapped.pth'), ['b'], 100, 'model')
    const legacy = join(__dirname, 'fixtures', 'torch-2.13', 'tied-legacy.pt')
    const checkpoint = openSync([
      join(directory, 'plain.pth'),
      join(directory, 'wrapped.pth'),
      legacy,
    ])
    expect([...checkpoint.tensors.keys()].slice(0, 2)).toEqual(['a', 'model.b'])
    expect([...checkpoint.stateDict().keys()].slice(0, 2)).toEqual(['a', 'b'])
    expect(checkpoint.tensors.size).toBeGreaterThan(2)
    checkpoint.close()
  })

  test('that have a tensor twice: the first is given, the other is skipped', () => {
    const directory = mkdtempSync(join(folder, 'twice-'))
    const [x, y] = [join(directory, 'x.pth'), join(directory, 'y.pth')]
    writePart(x, ['a', 'b'], 0)
    writePart(y, ['b', 'c'], 100)
    const checkpoint = openSync([x, y])
    expect(firsts(checkpoint.tensors)).toEqual({ a: 0, b: 10, c: 110 })
    expect(checkpoint.skipped.map(({ name, code }) => [name, code])).toEqual([['b', 'BAD_INDEX']])
    expect(checkpoint.skipped[0]!.message).toContain(y)
    checkpoint.close()
  })

  test('one that is no checkpoint leaves none open', async () => {
    const { files } = writeModel()
    const text = join(folder, 'text')
    writeFileSync(text, 'hello there')
    expect(refusal(() => openSync([files[0]!, text])).code).toBe('NOT_A_CHECKPOINT')
    expect(await rejection(open([files[0]!, text]))).toMatchObject({ code: 'NOT_A_CHECKPOINT' })
    expect(maps()).not.toContain(files[0])
  })

  test('an aborted opening leaves none open', async () => {
    const { files } = writeModel()
    const signal = AbortSignal.abort(new Error('enough'))
    await expect(open(files, { signal })).rejects.toThrow('enough')
    expect(maps()).not.toContain(files[0])
  })
})

describe('a directory', () => {
  test('of counted shards without an index', async () => {
    const { directory, index } = writeModel()
    rmSync(index)
    for (const checkpoint of await both(directory)) {
      expect(firsts(checkpoint.tensors)).toEqual(ALL)
      expect(checkpoint.path).toBe(directory)
      checkpoint.close()
    }
  })

  test('of counted shards, one of them missing', () => {
    const { directory, index, files } = writeModel()
    rmSync(index)
    rmSync(files[1]!)
    const error = refusal(() => openSync(directory))
    expect(error).toMatchObject({ code: 'MISSING_SHARD', path: directory })
    expect(error.message).toContain('shard 2 of 3')
  })

  test('with one file of weights among others', async () => {
    const directory = mkdtempSync(join(folder, 'single-'))
    writePart(join(directory, 'pytorch_model.bin'), ['a'], 7)
    writeFileSync(join(directory, 'config.json'), '{}')
    writePart(join(directory, 'training_args.bin'), ['lr'], 7)
    for (const checkpoint of await both(directory)) {
      expect(checkpoint.format).toBe('zip')
      expect(firsts(checkpoint.tensors)).toEqual({ a: 7 })
      checkpoint.close()
    }
  })

  test('with an index and a variant of it: the one without', () => {
    const { directory, index } = writeModel()
    writePart(join(directory, 'half.bin'), ['a'], 500)
    writeIndex(join(directory, 'pytorch_model.bin.index.fp16.json'), { a: 'half.bin' })
    const checkpoint = openSync(directory)
    expect(checkpoint.path).toBe(index)
    checkpoint.close()
    rmSync(index)
    const variant = openSync(directory)
    expect(firsts(variant.tensors)).toEqual({ a: 500 })
    variant.close()
  })

  test('with indexes that nothing tells apart is refused, and they are named', () => {
    const directory = mkdtempSync(join(folder, 'ambiguous-'))
    for (const name of ['x', 'y']) {
      writePart(join(directory, `${name}.bin`), ['a'], 0)
      writeIndex(join(directory, `${name}.index.json`), { a: `${name}.bin` })
    }
    const { message } = refusal(() => openSync(directory))
    expect(message).toContain("'x.index.json'")
    expect(message).toContain("'y.index.json'")
  })

  test('that is no checkpoint says what it holds', () => {
    const directory = mkdtempSync(join(folder, 'other-'))
    expect(refusal(() => openSync(directory)).message).toContain('it is empty')
    mkdirSync(join(directory, 'inner'))
    writeFileSync(join(directory, 'notes.txt'), '')
    const error = refusal(() => openSync(directory))
    expect(error).toMatchObject({ code: 'NOT_A_CHECKPOINT', path: directory })
    expect(error.message).toContain("'notes.txt', 'inner/'")
  })
})

test('the errors are of this package', () => {
  expect(isCheckpointError(refusal(() => openSync([join(folder, 'none')])))).toBe(true)
})
