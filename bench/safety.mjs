/**
 * What scanSafety says of every file of a folder, beside the answers of other scanners; or how many
 * files a second it looks at, beside picklescan.
 *
 *   node bench/safety.mjs FOLDER [--scanners BIN] [--index INDEX.tsv]
 *   node bench/safety.mjs --speed [--files 2000] [--scanners BIN]
 *
 * BIN: the `bin` of a virtual environment with picklescan, modelscan and fickling. None of the files
 * is loaded by anything. INDEX.tsv has columns `path` and `upstream_verdict`.
 */
import { spawnSync } from 'node:child_process'
import {
  copyFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
} from 'node:fs'
import { createRequire } from 'node:module'
import { tmpdir } from 'node:os'
import { extname, join, relative } from 'node:path'
import { parseArgs } from 'node:util'
import { median } from './statistics.mjs'

const require = createRequire(import.meta.url)
const { scanFiles, scanSafetySync } = require('../dist/zoo/safety/scan.js')

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    scanners: { type: 'string' },
    index: { type: 'string' },
    speed: { type: 'boolean' },
    files: { type: 'string', default: '2000' },
  },
})

const SCANNERS = {
  picklescan: ['picklescan', ['-p'], { 0: 'clean', 1: 'dangerous' }],
  modelscan: ['modelscan', ['-p'], { 0: 'clean', 1: 'issues', 3: 'skipped' }],
  fickling: ['fickling', ['--check-safety'], { 0: 'clean', 1: 'unsafe' }],
}
const SECONDS = 60
const WARM_ROUNDS = 4
const ROUNDS = 7
const TIMES = 5

function filesOf(folder) {
  return readdirSync(folder, { withFileTypes: true }).flatMap((entry) => {
    const path = join(folder, entry.name)
    return entry.isDirectory() ? filesOf(path) : [path]
  })
}

function ask(name, file) {
  const [command, args, answers] = SCANNERS[name]
  const { status, error, stderr } = spawnSync(join(values.scanners, command), [...args, file], {
    timeout: SECONDS * 1000,
    stdio: ['ignore', 'ignore', 'pipe'],
    cwd: tmpdir(),
    encoding: 'utf8',
  })
  if (error !== undefined) return error.code === 'ETIMEDOUT' ? 'timeout' : 'error'
  // Python leaves with 1 where a program fails, too.
  return stderr.includes('Traceback') ? 'error' : (answers[status] ?? 'error')
}

function compare(folder) {
  const expected = new Map()
  if (values.index !== undefined) {
    const [head, ...rows] = readFileSync(values.index, 'utf8').trimEnd().split('\n')
    const columns = head.split('\t')
    for (const row of rows) {
      const cells = row.split('\t')
      const cell = (name) => cells[columns.indexOf(name)]
      expected.set(cell('path'), cell('upstream_verdict'))
    }
  }
  const scanners = values.scanners === undefined ? [] : Object.keys(SCANNERS)
  const counts = {}
  const files = filesOf(folder).filter((file) => !['.json', '.tsv', '.md'].includes(extname(file)))
  for (const file of files) {
    const { safety, findings } = scanSafetySync(file)
    const answers = scanners.map((name) => ask(name, file))
    const name = relative(folder, file)
    for (const [scanner, answer] of [
      ['torchmap', safety],
      ...scanners.map((s, i) => [s, answers[i]]),
    ]) {
      counts[scanner] ??= {}
      counts[scanner][answer] = (counts[scanner][answer] ?? 0) + 1
    }
    const rules = [...new Set(findings.map(({ rule }) => rule))].join(' ')
    console.log([safety, ...answers, name, expected.get(name) ?? '', rules].join('\t'))
  }
  console.log(`${files.length} files`)
  console.table(counts)
}

/** Goldens between 1 and 50 KB, as often as it takes. */
function makeFiles(folder, count) {
  const fixtures = join(import.meta.dirname, '..', 'test', 'fixtures')
  const samples = filesOf(fixtures).filter((file) => {
    const { size } = statSync(file)
    return ['.pt', '.pth'].includes(extname(file)) && size >= 1024 && size <= 50 * 1024
  })
  let bytes = 0
  for (let i = 0; i < count; ++i) {
    const sample = samples[i % samples.length]
    const target = join(folder, `${Math.floor(i / 100)}`)
    if (!existsSync(target)) mkdirSync(target)
    copyFileSync(sample, join(target, `${i}.pt`))
    bytes += statSync(sample).size
  }
  return bytes
}

/** Wall clock and processor time of one time in several, in seconds: each alone is too short. */
async function timed(work) {
  let result
  const [start, used] = [performance.now(), process.cpuUsage()]
  for (let i = 0; i < TIMES; ++i) result = await work()
  const { user, system } = process.cpuUsage(used)
  const seconds = TIMES * 1000
  return {
    wall: (performance.now() - start) / seconds,
    cpu: (user + system) / 1000 / seconds,
    result,
  }
}

async function scanAll(files) {
  const counts = {}
  for await (const { safety } of scanFiles(files)) counts[safety] = (counts[safety] ?? 0) + 1
  return counts
}

/** The same of picklescan over a folder; the shell says what its child used. */
function runPicklescan(folder) {
  const start = performance.now()
  const command = join(values.scanners, 'picklescan')
  const script = '"$0" -p "$1" >/dev/null 2>&1; echo "exit $?"; times'
  const { stdout } = spawnSync('/bin/bash', ['-c', script, command, folder], { encoding: 'utf8' })
  const wall = (performance.now() - start) / 1000
  const cpu = [
    ...stdout
      .trim()
      .split('\n')
      .at(-1)
      .matchAll(/(\d+)m([\d.]+)s/g),
  ]
    .map(([, minutes, seconds]) => 60 * Number(minutes) + Number(seconds))
    .reduce((a, b) => a + b)
  return { wall, cpu, result: stdout.split('\n')[0] }
}

async function speed() {
  const folder = mkdtempSync(join(tmpdir(), 'torchmap-safety-'))
  const empty = mkdtempSync(join(tmpdir(), 'torchmap-empty-'))
  try {
    const bytes = makeFiles(folder, Number(values.files))
    const files = filesOf(folder)
    console.log(`${files.length} files, ${(bytes / 1e6).toFixed(1)} MB`)
    // So that all read what the system has in memory, and no start is counted: picklescan's is
    // taken off, too.
    for (let i = 0; i < WARM_ROUNDS; ++i) await scanAll(files)
    for (const file of files) scanSafetySync(file)
    const rounds = { 'torchmap, scanFiles()': [], 'torchmap, one by one': [], picklescan: [] }
    const [many, one, theirs] = Object.values(rounds)
    // In turns, so that what else the machine does meets all.
    for (let i = 0; i < ROUNDS; ++i) {
      many.push(await timed(() => scanAll(files)))
      one.push(await timed(() => files.map((file) => scanSafetySync(file).safety)))
      if (values.scanners === undefined) continue
      const [all, start] = [runPicklescan(folder), runPicklescan(empty)]
      if (i === 0)
        console.log(`picklescan: ${all.result}; ${start.wall.toFixed(2)} s are its start`)
      theirs.push({ wall: all.wall - start.wall, cpu: all.cpu - start.cpu })
    }
    console.log(many[0].result)
    const rows = {}
    for (const [name, runs] of Object.entries(rounds)) {
      if (runs.length === 0) continue
      const rate = (key) => Math.round(files.length / median(runs.map((run) => run[key])))
      const times = runs.map(({ wall }, i) => (theirs[i]?.wall ?? Number.NaN) / wall)
      rows[name] = {
        'files/s': rate('wall'),
        'files/s of processor time': rate('cpu'),
        'times as many as picklescan': Number(median(times).toFixed(1)),
        'in single rounds': `${Math.min(...times).toFixed(1)} to ${Math.max(...times).toFixed(1)}`,
      }
    }
    console.table(rows)
  } finally {
    for (const made of [folder, empty]) rmSync(made, { recursive: true })
  }
}

if (values.speed) await speed()
else compare(positionals[0])
