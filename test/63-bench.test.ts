/** The benchmark's own parts: statistics, tables, charts, the lines it speaks; nothing about how long anything takes. */
import { spawnSync } from 'node:child_process'
import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { describe, expect, test } from '@jest/globals'

// Processes are started; on a busy machine that takes its time.

const root = join(__dirname, '..')
const golden = join(root, 'examples/tcn.pth')

/** What an expression over modules of bench/ gives, as JSON: jest cannot import them itself. */
function evaluated(modules: string[], expression: string, env: Record<string, string> = {}) {
  const imports = modules.map(
    (name) => `import * as ${name} from '${pathToFileURL(join(root, 'bench', `${name}.mjs`))}'`,
  )
  const code = `${imports.join('\n')}\nconsole.log(JSON.stringify(await (async () => ${expression})()))`
  const { status, stdout, stderr } = spawnSync(
    process.execPath,
    ['--input-type=module', '--eval', code],
    { encoding: 'utf8', env: { ...process.env, ...env } },
  )
  if (status !== 0) throw new Error(stderr)
  return JSON.parse(stdout)
}

const cell = (...times: number[]) => ({ samples: times.map((ms, round) => ({ ms, round })) })

describe('statistics', () => {
  const call = (expression: string) => evaluated(['statistics'], expression)

  test('median and deciles lie between the values around them', () => {
    expect(call('statistics.summary([5, 1, 4, 2, 3])')).toEqual({
      median: 3,
      low: 1.4,
      high: 4.6,
      count: 5,
    })
    expect(call('[statistics.median([1, 2]), statistics.median([7])]')).toEqual([1.5, 7])
  })

  test('a ratio is that of rounds which both sides have', () => {
    const [own, base] = [cell(10, 40, 90, 7), cell(5, 10, 30)].map((c) => JSON.stringify(c.samples))
    expect(call(`statistics.ratio(${own}, ${base})`)).toBe(3)
    expect(call(`statistics.ratio(${own}, []) ?? null`)).toBeNull()
  })
})

test('tables: three digits, reasons instead of times, Markdown that cannot be broken', () => {
  const cells = [cell(1, 2, 3), { absent: 'npm x' }, { error: 'no' }, { samples: [] }]
  expect(evaluated(['table'], `${JSON.stringify(cells)}.map(table.times)`)).toEqual([
    '2.00 (1.20 to 2.80)',
    'absent: npm x',
    'failed: no',
    'not cold',
  ])
  expect(evaluated(['table'], '[0, 0.00123456, 12.34, 1234.5].map(table.digits)')).toEqual([
    '0',
    '0.00123',
    '12.3',
    '1235',
  ])
  const input = "{ header: ['ms', 'n'], rows: [['a|b', '1'], ['c', '2 (1 to 3)']] }"
  expect(evaluated(['table'], `table.markdown(${input})`)).toBe(
    '| ms | n |\n| --- | ---: |\n| a\\|b | 1 |\n| c | 2 (1 to 3) |',
  )
})

/** Fails unless every element that is opened is closed in its place; returns the names of all. */
function wellFormed(svg: string): string[] {
  const open: string[] = []
  const names: string[] = []
  for (const [, close, name, rest] of svg.matchAll(
    /<(\/?)([a-z]+)((?:\s[a-zA-Z-]+[0-9]?="[^"<>]*")*\s*\/?)>/g,
  )) {
    if (close === '/') expect(open.pop()).toBe(name)
    else {
      names.push(name!)
      if (!rest!.endsWith('/')) open.push(name!)
    }
  }
  expect(open).toEqual([])
  // Every '<' was the start of such an element.
  expect(svg.split('<').length - 1).toBe(svg.match(/<\/?[a-z]+[\s>]/g)?.length)
  expect(svg).not.toMatch(/NaN|undefined|Infinity|&(?!amp;|lt;|gt;|quot;)/)
  return names
}

describe('charts', () => {
  const rows = [
    { name: 'own', value: 0.5, text: '0.5 ms', isOwn: true },
    { name: 'a <peer> & "co"', value: 800, text: '800 ms' },
  ]

  test('bars', () => {
    const panels = [
      { title: 'T', unit: 'ms', rows },
      { title: 'empty', unit: 'ms', rows: [] },
    ]
    const svg: string = evaluated(['chart'], `chart.barChart('x', ${JSON.stringify(panels)})`)
    expect(wellFormed(svg).filter((name) => name === 'rect')).toHaveLength(1 + rows.length)
    expect(svg).toContain('a &lt;peer&gt; &amp; &quot;co&quot;')
    expect(svg).toContain('prefers-color-scheme: dark')
    expect(svg).not.toMatch(/<script|href|@import|url\(/)
    // The scale is of powers of ten: 0.1 to 1000 are four decades, 0.5 is 0.7 of one.
    const widths = [...svg.matchAll(/<rect x="320" y="\d+" width="([\d.]+)"/g)].map(([, w]) =>
      Number(w),
    )
    expect(widths[1]! / widths[0]!).toBeCloseTo(Math.log10(8000) / Math.log10(5), 1)
  })

  test('bars of values that are close to each other start at 0', () => {
    const near = [30, 60, 90].map((value) => ({ name: 'n', value, text: '' }))
    const panels = JSON.stringify([{ title: 'T', unit: 'ms', rows: near }])
    const svg: string = evaluated(['chart'], `chart.barChart('x', ${panels})`)
    wellFormed(svg)
    const widths = [...svg.matchAll(/<rect x="320" y="\d+" width="([\d.]+)"/g)].map(([, w]) =>
      Number(w),
    )
    expect(widths.map((width) => width / widths[0]!)).toEqual([
      1,
      expect.closeTo(2, 2),
      expect.closeTo(3, 2),
    ])
    expect([...svg.matchAll(/>(\d+) ms</g)].map(([, tick]) => tick)).toEqual([
      '0',
      '20',
      '40',
      '60',
      '80',
      '100',
    ])
  })

  test('lines', () => {
    const series = [
      {
        name: 'own',
        values: [
          [1, 2],
          [8, 2.5],
        ],
      },
    ]
    const panels = [
      { title: 'T', unit: ' GiB', at: [1, 8], series },
      { title: 'none', unit: '', at: [], series: [] },
    ]
    const svg: string = evaluated(['chart'], `chart.lineChart('x', ${JSON.stringify(panels)})`)
    const names = wellFormed(svg)
    expect(names.filter((name) => name === 'polyline')).toHaveLength(1)
    expect(names.filter((name) => name === 'circle')).toHaveLength(2)
  })
})

describe('contestants', () => {
  const entry = (loader: object, what: string, path = golden) =>
    JSON.stringify({ loader, what, path })
  const play = (entries: string[], env = {}) =>
    evaluated(
      ['rounds'],
      `rounds.play([${entries}], { ...rounds.PACES.quick, rounds: 2, turn: 0 })`,
      env,
    )
  const torchmap = { id: 'torchmap', kind: 'torchmap' }

  test("torchmap's own loader answers each line with what it found", () => {
    const cells = play([
      entry(torchmap, 'names'),
      entry(torchmap, 'verified'),
      entry(torchmap, 'keys'),
    ])
    for (const { samples, tensors, version, first } of cells) {
      expect(samples.map(({ round }: { round: number }) => round)).toEqual([0, 1])
      expect(samples.every(({ ms }: { ms: number }) => ms > 0)).toBe(true)
      expect([tensors, version]).toEqual([38, expect.stringMatching(/^torchmap \d/)])
      expect(first).toBeGreaterThan(0)
    }
  })

  test('what goes wrong is the result of its row', () => {
    const cells = play([entry(torchmap, 'names', '/none'), entry(torchmap, 'no-such-clock')])
    expect(cells[0].error).toMatch(/ENOENT/)
    expect(cells[1].error).toBe('no clock no-such-clock')
    expect(cells.map(({ samples }: { samples: unknown[] }) => samples)).toEqual([[], []])
  })

  test('peers that are not there are absent, with what installs them', () => {
    const env = { TORCHMAP_PYTHON: '/none/python', CARGO_TARGET_DIR: '/none' }
    const peers = [
      entry({ id: 'torch', kind: 'python' }, 'names'),
      entry({ id: 'candle', kind: 'rust' }, 'names'),
    ]
    expect(play(peers, env)).toEqual([
      { absent: 'npm run bench:peers, or TORCHMAP_PYTHON' },
      { absent: 'npm run bench:peers' },
    ])
  })

  test('every loader says in words what it does, and every peer has a lock', () => {
    const loaders: Record<string, string>[] = evaluated(['contestants'], 'contestants.LOADERS')
    for (const { id, label, names, bytes, verified } of loaders)
      expect([id, label && (names ?? bytes ?? verified)]).toEqual([id, expect.any(String)])
    for (const file of ['python/requirements.txt', 'rust/Cargo.lock', 'node/package-lock.json'])
      expect([file, existsSync(join(root, 'bench/peers', file))]).toEqual([file, true])
    // What the Rust contestant says of itself is what cargo is told to take.
    const rust = (file: string) => readFileSync(join(root, 'bench/peers/rust', file), 'utf8')
    const said = [...rust('src/loaders.rs').matchAll(/"([a-z-]+) (\d[\w.-]*)/g)]
    expect(said.length).toBeGreaterThan(3)
    for (const [, name, version] of said)
      expect(rust('Cargo.toml')).toMatch(
        new RegExp(`^${name} = .*"=${version!.replaceAll('.', '\\.')}"`, 'm'),
      )
  })
})

test('targets: ratios of a run, and nothing measured where a side is absent', () => {
  const names = { torchmap: cell(2, 2), 'torch-mmap': cell(400, 402), candle: cell(1, 1) }
  const tables = JSON.stringify([{ id: 'tensors-10000', data: { names, bytes: {}, verified: {} } }])
  const { rows }: { rows: string[][] } = evaluated(['targets'], `targets.targets(${tables})`)
  const row = (text: string) => rows.find(([what]) => what!.includes(text))!.slice(1)
  expect(row('10,000 tensors: `torch.load(mmap=True)`')).toEqual(['201', 'at least 150', 'yes'])
  expect(row('10,000 tensors: safetensors in Rust')).toEqual(['not measured', 'at least 2', '-'])
  expect(row('candle and pytorch-reader')).toEqual([
    'ahead on 0 of 1; not: candle, tensors-10000, names: 0.500',
    'ahead on every row',
    'no',
  ])
})

describe('README', () => {
  test('the section between the marks is found and replaced as it stands', () => {
    const text = 'a\n<!-- bench:begin -->\nold\n<!-- bench:end -->\nb'
    expect(evaluated(['summary'], `summary.marked(${JSON.stringify(text)})`)).toBe(
      '<!-- bench:begin -->\nold\n<!-- bench:end -->',
    )
    expect(evaluated(['summary'], "summary.marked('nothing') ?? null")).toBeNull()
  })

  test('README has no row that bench/RESULTS.md has not', () => {
    const section = (file: string) =>
      /<!-- bench:begin -->.*<!-- bench:end -->/s.exec(readFileSync(join(root, file), 'utf8'))?.[0]
    const readme = section('README.md')
    if (readFileSync(join(root, 'README.md'), 'utf8').includes('bench/results.svg'))
      expect(readme).toBeDefined()
    if (readme !== undefined) expect(section('bench/RESULTS.md')).toBe(readme)
  })
})
