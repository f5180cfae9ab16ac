/** Models verified one after another, and the command that does so. */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import {
  appendFileSync,
  cpSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  truncateSync,
  writeFileSync,
} from 'node:fs'
import { join } from 'node:path'
import { describe, expect, test } from '@jest/globals'
import { type Result, verifyZoo } from '../lib/zoo/index'
import { writeCheckpoint } from './support/checkpoint-writer'
import { bin, torchmap } from './support/command'
import { FIXTURES } from './support/golden'
import { ramp, temporaryFolder, writeSample } from './support/samples'

const folder = temporaryFolder('zoo')

async function resultsOf(...args: Parameters<typeof verifyZoo>): Promise<Result[]> {
  const results: Result[] = []
  for await (const result of verifyZoo(...args)) results.push(result)
  return results
}

/** What does not differ from run to run. */
const steady = (results: readonly Result[]) => results.map(({ ms: _, ...rest }) => rest)

function zoo(name: string): string {
  const root = join(folder, name)
  mkdirSync(join(root, 'more'), { recursive: true })
  const goldens = [
    'torch-2.13/tied.pt',
    'torch-1.13/tied-legacy.pt',
    'crafted/checksum-wrong.pt',
    'crafted/broken-truncated.pt',
    'torch-2.13/script-module.pt',
  ]
  const there = goldens.filter((file) =>
    readdirSync(join(FIXTURES, file, '..')).includes(file.split('/')[1]!),
  )
  for (const file of there) cpSync(join(FIXTURES, file), join(root, file.replace('/', '-')))
  cpSync(join(FIXTURES, 'split/hub-safetensors'), join(root, 'split'), { recursive: true })
  cpSync(join(FIXTURES, 'dcp/uneven'), join(root, 'dcp'), { recursive: true })
  writeSample(join(root, 'more/sample.pth'))
  writeFileSync(join(root, 'more/notes.txt'), 'not a model')
  return root
}

describe('results', () => {
  const root = zoo('results')

  test('one for each model, in order, the same with any number of jobs', async () => {
    const one = await resultsOf(root, { jobs: 1 })
    expect(one.map(({ path }) => path)).toEqual(one.map(({ path }) => path))
    expect(steady(await resultsOf(root, { jobs: 7 }))).toEqual(steady(one))
    const byName = new Map(one.map((result) => [result.path.slice(root.length + 1), result]))
    expect([...byName.keys()]).toEqual(
      expect.arrayContaining(['dcp', 'more/sample.pth', 'split/model.safetensors.index.json']),
    )
    expect(byName.has('more/notes.txt')).toBe(false)
    expect(byName.get('torch-2.13-tied.pt')).toMatchObject({
      format: 'zip',
      integrity: 'ok',
      safety: 'safe',
      status: 'ok',
      tensors: 3,
      findings: [{ rule: 'whole/tied', severity: 'info' }],
    })
    expect(byName.get('crafted-checksum-wrong.pt')).toMatchObject({
      status: 'error',
      integrity: 'mismatch',
      findings: expect.arrayContaining([
        expect.objectContaining({ rule: 'whole/checksum', record: 'net/data/0', tensor: 'weight' }),
      ]),
    })
    expect(byName.get('crafted-broken-truncated.pt')).toMatchObject({
      status: 'error',
      integrity: 'unreadable',
    })
    expect(byName.get('torch-1.13-tied-legacy.pt')).toMatchObject({ integrity: 'none' })
    expect(byName.get('split/model.safetensors.index.json')).toMatchObject({ format: 'split' })
    expect(byName.get('dcp')).toMatchObject({ format: 'dcp' })
    for (const { bytes, ms } of one) expect([bytes > 0, ms >= 0]).toEqual([true, true])
  })

  test('what is wasted, tied, unused, expected', async () => {
    const path = join(folder, 'waste.pth')
    const bytes = new Uint8Array(ramp(50_000).buffer)
    writeCheckpoint(
      path,
      [
        { name: 'view', type: 'Float', key: '0', numel: 50_000, shape: [100] },
        { name: 'bn.running_mean', type: 'Float', key: '1', numel: 4, shape: [4] },
        { name: 'bn.running_var', type: 'Float', key: '1', numel: 4, shape: [4] },
      ],
      [
        { key: '0', size: bytes.length, parts: [{ offset: 0, bytes }] },
        { key: '1', size: 16, parts: [] },
        { key: '2', size: 64, parts: [] },
      ],
    )
    const expected = new Map([
      ['view', { shape: [10, 10] }],
      ['head', {}],
    ])
    const [result] = await resultsOf(path, { expected, deep: true, digests: true })
    expect(result!.findings.map(({ rule, tensor, record }) => [rule, tensor ?? record])).toEqual(
      expect.arrayContaining([
        ['whole/wasted', 'view'],
        ['whole/tied', 'bn.running_mean'],
        ['complete/norm', 'bn.num_batches_tracked'],
        ['complete/missing', 'head'],
        ['complete/shape', 'view'],
        ['complete/unexpected', 'bn.running_mean'],
      ]),
    )
    expect(result!.details!.map(({ name }) => name).sort()).toEqual([
      'bn.running_mean',
      'bn.running_var',
      'view',
    ])
    expect(result!.details!.find(({ name }) => name === 'view')).toMatchObject({
      dtype: 'float32',
      shape: [100],
      values: { min: 0, max: 99, mean: 49.5, nan: 0, infinite: 0, zero: 1 },
      digest: expect.stringMatching(/^[0-9a-f]{64}$/),
    })
    expect(Object.keys(result!.files!)).toEqual([path])
  })

  test('what is not there, and what goes away or changes meanwhile', async () => {
    const path = join(folder, 'gone.pth')
    const [missing] = await resultsOf(path)
    expect(missing).toMatchObject({
      path,
      status: 'error',
      findings: [{ rule: 'whole/system', severity: 'error' }],
    })
    const changing = join(folder, 'changing')
    mkdirSync(changing)
    const names = Array.from({ length: 6 }, (_, i) => join(changing, `${i}.pth`))
    for (const name of names) writeSample(name)
    const results: Result[] = []
    for await (const result of verifyZoo(changing, { jobs: 1 })) {
      results.push(result)
      if (results.length === 1) rmSync(names[2]!)
      if (results.length === 3) truncateSync(names[4]!, 100)
    }
    expect(results.length).toBe(6)
    expect(results.map(({ status }) => status)).toEqual(['ok', 'ok', 'error', 'ok', 'error', 'ok'])
  })

  test('a signal ends it, arguments are checked', async () => {
    const control = new AbortController()
    const reason = new Error('enough')
    const run = async () => {
      for await (const _ of verifyZoo(root, { signal: control.signal })) control.abort(reason)
    }
    await expect(run()).rejects.toBe(reason)
    for (const options of [{ jobs: 0 }, { bins: -1 }, { job: 1 }, null]) {
      await expect(resultsOf(root, options as never)).rejects.toMatchObject({
        code: expect.stringMatching(/^ERR_INVALID_ARG/),
      })
    }
    await expect(resultsOf([3] as never)).rejects.toMatchObject({ code: 'ERR_INVALID_ARG_TYPE' })
  })
})

describe('torchmap verify', () => {
  const root = zoo('command')
  const run = (...args: string[]) => torchmap('verify', ...args)
  const linesOf = (text: string) => {
    return text.split('\n').flatMap((line) => (line === '' ? [] : [JSON.parse(line) as Result]))
  }

  test('exit codes', () => {
    expect(run(join(root, 'more/sample.pth')).code).toBe(0)
    expect(run(join(root, 'crafted-checksum-wrong.pt')).code).toBe(1)
    expect(run('--fail-on', 'warning', join(root, 'more/sample.pth')).code).toBe(0)
    for (const args of [[], ['--format', 'xml', root], ['--jobs', '0', root], ['--resume', root]]) {
      const { code, stderr } = run(...args)
      expect({ args, code }).toEqual({ args, code: 2 })
      expect(stderr).toMatch(/^torchmap: /)
    }
    expect(run('--json', root).stderr).toMatch('verify has no option --json')
  })

  test('every format is written', () => {
    for (const format of ['text', 'json', 'jsonl', 'sarif', 'junit', 'html']) {
      const { code, stdout, stderr } = run('--format', format, root)
      expect({ format, stderr, code }).toEqual({ format, stderr: '', code: 1 })
      expect(stdout).toContain('crafted-checksum-wrong.pt')
      const file = join(folder, `report.${format}`)
      expect(run('--format', format, '--output', file, root).stdout).toBe('')
      expect(readFileSync(file, 'utf8').length).toBeGreaterThan(100)
    }
  })

  test('a run that was killed half-way goes on, and the report is that of an unbroken one', async () => {
    const many = join(folder, 'many')
    mkdirSync(many)
    for (let i = 0; i < 300; ++i) writeSample(join(many, `${String(i).padStart(3, '0')}.pth`), i)
    const file = join(folder, 'broken.jsonl')
    const args = ['verify', '--format', 'jsonl', '--output', file, '--jobs', '1', many]
    const child = spawn(process.execPath, [bin, ...args], { stdio: 'ignore' })
    const isBegun = () => {
      try {
        return readFileSync(file, 'utf8').includes('\n')
      } catch {
        return false
      }
    }
    while (!isBegun()) await new Promise((resolve) => setTimeout(resolve, 1))
    child.kill('SIGKILL')
    await once(child, 'exit')
    // As if the last line had been cut.
    appendFileSync(file, '{"path":"')
    const before = readFileSync(file, 'utf8').split('\n').length - 1
    expect(before).toBeLessThan(300)
    expect(run('--format', 'jsonl', '--output', file, '--resume', many).code).toBe(0)
    const whole = run('--format', 'jsonl', many).stdout
    expect(steady(linesOf(readFileSync(file, 'utf8')))).toEqual(steady(linesOf(whole)))
  })

  test('a lock file is written, kept to, and told from', () => {
    const own = join(folder, 'locked')
    cpSync(join(root, 'more'), own, { recursive: true })
    writeSample(join(own, 'second.pth'), 5)
    const lock = join(own, 'zoo.lock.json')
    expect(run('--lock', lock, own).code).toBe(0)
    const recorded = readFileSync(lock, 'utf8')
    expect(run('--lock', lock, own).code).toBe(0)
    expect(readFileSync(lock, 'utf8')).toBe(recorded)
    writeSample(join(own, 'sample.pth'), 1)
    rmSync(join(own, 'second.pth'))
    writeSample(join(own, 'third.pth'), 9)
    const { code, stdout } = run('--lock', lock, '--format', 'jsonl', own)
    expect(code).toBe(1)
    const rules = linesOf(stdout).map(({ path, findings }) => {
      return [path.slice(own.length + 1), findings.map(({ rule }) => rule)] as const
    })
    const found = new Map(rules)
    expect(found.get('sample.pth')).toEqual(
      expect.arrayContaining(['recorded/file', 'recorded/tensor']),
    )
    expect(found.get('second.pth')).toEqual(['recorded/absent'])
    expect(found.get('third.pth')).toContain('recorded/new')
  })
})
