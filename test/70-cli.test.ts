import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { stripVTControlCharacters } from 'node:util'
import { beforeAll, describe, expect, test } from '@jest/globals'
import { openSync } from '../lib/index'
import { writeCheckpoint } from './support/checkpoint-writer'
import { bin, root, run, terminal, torchmap } from './support/command'
import { FIXTURES } from './support/golden'
import { temporaryFolder } from './support/samples'

const example = join(root, 'examples/tcn.pth')
const folder = temporaryFolder('cli')
const many = join(folder, 'many.pth')
const COUNT = 100_000

beforeAll(() => {
  const tensors = Array.from({ length: COUNT }, (_, i) => ({
    name: `layers.${i}.weight`,
    type: 'Float',
    key: '0',
    numel: COUNT,
    offset: i,
    shape: [1],
  }))
  writeCheckpoint(many, tensors, [{ key: '0', size: COUNT * 4, parts: [] }])
})

/** Runs the command in a shell, where `$torchmap` is it and `$1` the file. */
const shell = (script: string, file: string) =>
  run('sh', ['-c', script, 'sh', file], { torchmap: `"${process.execPath}" "${bin}"` })

describe('inspect', () => {
  test('shows a table: a row for each tensor, aligned, and totals', () => {
    const { code, stdout, stderr } = torchmap('inspect', example)
    expect([code, stderr]).toEqual([0, ''])
    const lines = stdout.split('\n')
    expect(lines.slice(0, 5)).toEqual([
      example,
      'zip, torch 2.7 or newer, little-endian, 137.5 KiB (140,801 bytes)',
      'flavor: state_dict',
      '',
      expect.stringMatching(/^name +dtype {4}shape +bytes$/),
    ])
    const rows = lines.slice(5, 43)
    expect(rows[0]).toMatch(/^mean +float32 {2}\[1\] +4 B$/)
    expect(rows[5]).toMatch(/^blocks\.0\.conv2\.bias +float32 {2}\[32\] +128 B$/)
    expect(rows).toContainEqual(
      expect.stringMatching(/^head\.0\.weight .* \[64, 32\] .* 8\.0 KiB$/),
    )
    expect(new Set([lines[4], ...rows].map((row) => row?.length)).size).toBe(1)
    expect(lines.slice(43)).toEqual([
      '',
      '38 tensors, 32,122 elements, 125.5 KiB in 125.5 KiB of storages',
      '',
    ])
    expect(stdout).not.toContain('\x1b')
  })

  test('--json is one document with every tensor', () => {
    const { code, stdout, stderr } = torchmap('inspect', '--json', example)
    expect([code, stderr]).toEqual([0, ''])
    const document = JSON.parse(stdout) as { tensors: { name: string }[] }
    const checkpoint = openSync(example)
    expect(document).toMatchObject({ file: example, format: 'zip', size: checkpoint.size })
    expect(document).toMatchObject({ totals: { tensors: 38, elements: 32_122 }, skipped: [] })
    expect(document.tensors).toEqual(
      [...checkpoint.tensors.values()].map((tensor) => ({
        ...tensor.toJSON(),
        isContiguous: tensor.isContiguous,
      })),
    )
    checkpoint.close()
  })

  test('says what is shared, skipped, and out of the ordinary', () => {
    const golden = (name: string) => torchmap('inspect', join(FIXTURES, name)).stdout
    expect(golden('torch-2.13/tied.pt')).toMatch(
      /Shared storages\n +24 B {2}encoder\.weight, decoder\.weight, decoder\.row\n/,
    )
    expect(golden('crafted/broken-dtype.pt')).toMatch(
      /Skipped\n {2}weight: .* \(UNSUPPORTED_DTYPE\)/,
    )
    expect(golden('torch-2.13/sparse-csr.pt')).toMatch(/^csr .* sparse_csr$/m)
    expect(golden('torch-2.13/meta.pt')).toMatch(/^meta .* meta$/m)
    expect(golden('torch-2.13/strides.pt')).toMatch(/^expanded .* non-contiguous$/m)
  })

  test('says what wrote it, and what only training needs', () => {
    const path = join(FIXTURES, 'frameworks/lightning.ckpt')
    const { stdout } = torchmap('inspect', path)
    expect(stdout.split('\n')[2]).toBe('flavor: lightning, written by pytorch-lightning 2.6.6')
    expect(stdout).toContain(`
Training only
         0 B  loop       loops
         8 B  callback   callbacks  5 tensors
        32 B  optimizer  optimizer_states.0  6 tensors
         0 B  scheduler  lr_schedulers.0
         0 B  arguments  hyper_parameters
        12 B  of storages remain for inference: 2 tensors
`)
    const checkpoint = openSync(path)
    const document = JSON.parse(torchmap('inspect', '--json', path).stdout) as object
    expect(document).toMatchObject({
      flavor: 'lightning',
      producer: checkpoint.producer,
      training: checkpoint.training,
      inference: { tensors: 2, bytes: 12 },
    })
    checkpoint.close()
    const { stdout: whole } = torchmap('inspect', join(FIXTURES, 'frameworks/timm.pth.tar'))
    expect(whole.split('\n')[2]).toBe('flavor: timm')
    const states = torchmap('inspect', join(FIXTURES, 'frameworks/transformers-rng_state.pth'))
    expect(states.stdout).toContain('    7.4 KiB  random_state  (all of it)  1 tensor\n')
    expect(torchmap('inspect', example).stdout).not.toContain('Training only')
  })

  test('--json has the parts of tensors, and how quantised ones are to be read', () => {
    const rows = (name: string) =>
      (
        JSON.parse(torchmap('inspect', '--json', join(FIXTURES, name)).stdout) as {
          tensors: { name: string; quantization?: object; parts?: object }[]
        }
      ).tensors
    const checkpoint = openSync(join(FIXTURES, 'torch-2.13/quantised-tensor.pt'))
    const [first] = checkpoint.tensors.values()
    expect(rows('torch-2.13/quantised-tensor.pt')[0]?.quantization).toEqual({
      scheme: first?.qscheme,
      scale: first?.scale,
      zeroPoint: first?.zeroPoint,
    })
    checkpoint.close()
    const [channel] = rows('torch-2.13/quantised-channel.pt')
    expect(channel).toMatchObject({
      quantization: { scheme: 'per_channel_affine', axis: 0 },
      parts: {
        scales: { name: 'axis0.scales', dtype: 'float64', shape: [2] },
        zeroPoints: { dtype: 'int64', shape: [2] },
      },
    })
    const [sparse] = rows('torch-2.13/sparse-csr.pt')
    expect(Object.keys(sparse?.parts ?? {})).toEqual(['crowIndices', 'colIndices', 'values'])
    expect(sparse?.quantization).toBeUndefined()
    expect(rows('torch-2.13/tied.pt')[0]).not.toHaveProperty('parts')
  })

  test('columns are aligned as terminals show characters', () => {
    const { stdout } = torchmap('inspect', join(FIXTURES, 'torch-2.13/keys-unicode.pt'))
    // In columns: the longest names have 11, wide characters take two, marks over letters none.
    for (const [name, spaces] of [
      ['größe', 6],
      ['重み', 7],
      ['🔥', 9],
      ['cafe\u0301', 7],
      ['constructor', 0],
    ] as const) {
      expect(stdout).toContain(`\n${name}${' '.repeat(spaces)}  int64 `)
    }
  })

  test('names cannot act on the terminal', () => {
    const path = join(FIXTURES, 'torch-2.13/keys-unicode.pt')
    const { stdout } = torchmap('inspect', path)
    expect(stdout).toContain('nul\\x00 ')
    expect(stdout).toContain('new\\x0aline ')
    const { tensors } = JSON.parse(torchmap('inspect', '--json', path).stdout) as {
      tensors: { name: string }[]
    }
    expect(tensors.map(({ name }) => name)).toEqual([...openSync(path).tensors.keys()])
  })
})

describe('100,000 tensors', () => {
  test('all of them go down a pipe', () => {
    const { code, stdout, stderr } = torchmap('inspect', many)
    expect([code, stderr]).toEqual([0, ''])
    const rows = stdout.split('\n').filter((line) => /^layers\.\d+\.weight /.test(line))
    expect(rows.length).toBe(COUNT)
    expect(stdout).toContain(
      '100,000 tensors, 100,000 elements, 390.6 KiB in 390.6 KiB of storages',
    )
    const names = stdout.slice(stdout.indexOf('Shared storages'))
    expect(names).toMatch(/ and 99,996 more\n$/)
  })

  test('--json has all of them', () => {
    const { tensors } = JSON.parse(torchmap('inspect', '--json', many).stdout) as {
      tensors: { name: string; storageOffset: number }[]
    }
    expect(tensors.length).toBe(COUNT)
    expect(tensors[99_999]).toMatchObject({ name: 'layers.99999.weight', storageOffset: 99_999 })
  })

  test('a terminal shows both ends, and all of them with --all', () => {
    const rowsOf = (text: string) => text.split('\n').filter((line) => /^layers\.\d/.test(line))
    const shown = stripVTControlCharacters(terminal(folder, 80, ['inspect', many]))
    expect(rowsOf(shown).length).toBe(200)
    expect(shown).toContain('\n... 99,800 more; --all shows every row\n')
    expect(
      rowsOf(stripVTControlCharacters(terminal(folder, 80, ['inspect', '--all', many]))).length,
    ).toBe(COUNT)
  })

  test.each(['inspect', 'inspect --json'])('%s: a reader that goes away is no error', (command) => {
    const { code, stdout, stderr } = shell(
      `{ eval "$torchmap ${command} \\"\\$1\\""; echo $? >&2; } | head -1`,
      many,
    )
    expect([code, stderr]).toEqual([0, '0\n'])
    expect(stdout.split('\n').length).toBe(2)
  })
})

describe('on a terminal', () => {
  test('rows are cut to its width, in the middle of the name', () => {
    const lines = stripVTControlCharacters(terminal(folder, 50, ['inspect', example])).split('\n')
    const rows = lines.slice(lines.findIndex((line) => line.startsWith('name ')))
    expect(rows).toContainEqual(expect.stringMatching(/^blocks\.?\S*\.\.\.\S*nal0 .* 128 B$/))
    for (const row of rows.slice(0, 39)) expect(row.length).toBeLessThanOrEqual(50)
    expect(stripVTControlCharacters(terminal(folder, 200, ['inspect', example]))).toContain(
      'conv1.parametrizations.weight.original0 ',
    )
  })

  test('there are colours, unless NO_COLOR is set', () => {
    expect(terminal(folder, 80, ['inspect', example])).toContain('\x1b[1m')
    expect(terminal(folder, 80, ['inspect', example], { NO_COLOR: '1' })).not.toContain('\x1b[1m')
  })
})

describe('how it ends', () => {
  const lfs = join(FIXTURES, 'crafted/foreign-lfs.pt')
  test.each<[string[], RegExp, boolean]>([
    [
      ['inspect', '/no such file'],
      /^torchmap: ENOENT: no such file or directory, open '\/no such/,
      false,
    ],
    [
      ['inspect', root],
      /^torchmap: the directory is no checkpoint.*\(NOT_A_CHECKPOINT\)\n$/,
      false,
    ],
    [['inspect', lfs], /^torchmap: the file is a Git LFS pointer.*\(NOT_A_CHECKPOINT\)\n$/, false],
    [[], /^torchmap: no command is given\n/, true],
    [['inspekt', lfs], /^torchmap: 'inspekt' is no command\n/, true],
    [['inspect'], /^torchmap: inspect needs a file\n/, true],
    [['inspect', lfs, lfs], /^torchmap: inspect takes one file, not 2\n/, true],
    [['inspect', '--jsn', lfs], /^torchmap: Unknown option '--jsn'\n/, true],
  ])('%p: exit code 2, and why', (args, message, isUsage) => {
    const { code, stdout, stderr } = torchmap(...args)
    expect([code, stdout]).toEqual([2, ''])
    expect(stderr).toMatch(message)
    expect(stderr.includes('Usage: torchmap inspect')).toBe(isUsage)
    expect(stderr).not.toContain('    at ')
  })

  test('--help and --version', () => {
    const manifest = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as {
      version: string
    }
    for (const flag of ['--version', '-v']) {
      expect(torchmap(flag)).toEqual({ code: 0, stdout: `${manifest.version}\n`, stderr: '' })
    }
    for (const args of [['--help'], ['-h'], ['inspect', '--help']]) {
      const { code, stdout, stderr } = torchmap(...args)
      expect([code, stderr]).toEqual([0, ''])
      expect(stdout).toMatch(/^Usage: torchmap inspect \[options\] FILE\n/)
      for (const option of ['--json', '--all', '--help', '--version'])
        expect(stdout).toContain(option)
    }
  })

  test('a path that could act on the terminal is shown as text', () => {
    const { stderr } = torchmap('inspect', '/no\x1b[2Jfile')
    expect(stderr).toContain('/no\\x1b[2Jfile')
  })
})
