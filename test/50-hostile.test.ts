/**
 * Every small golden, cut at every byte and with every byte changed. A checkpoint opens or is refused in the words of
 * this package; nothing else may happen. In child processes, because the ways to fail are signals, not exceptions.
 */
import { spawn } from 'node:child_process'
import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, expect, test } from '@jest/globals'
import { FIXTURES, SETS } from './support/golden'
import { type Job, mutationsOf, type Report } from './support/hostile'
import { hasSanitizers, thin } from './support/pace'

const LARGEST = 4096
const CHILDREN = 2
/** Bytes; a child of the same kind that opens undamaged files stays below 200 MiB. */
const MOST_MEMORY = 2 ** 30
/** Each mutation takes well below a millisecond; a child that stands still is hanging. */
const PATIENCE_MS = 60_000

const memory = hasSanitizers ? 4 * MOST_MEMORY : MOST_MEMORY

const folder = mkdtempSync(join(tmpdir(), 'torchmap-hostile-'))
afterAll(() => rmSync(folder, { recursive: true }))

const files = SETS.flatMap((set) =>
  readdirSync(join(FIXTURES, set)).map((name) => join(FIXTURES, set, name)),
)
  .filter((path) => !path.endsWith('.json') && statSync(path).size <= LARGEST)
  .sort()

interface Ending {
  how: string
  report?: Report
  peak: number
}

/** Runs a child to its end, or to the end of patience. */
function runChild(job: Job, position: string): Promise<Ending> {
  const child = spawn(
    process.execPath,
    [
      '-r',
      join(__dirname, 'support/register.cjs'),
      join(__dirname, 'support/hostile-child.ts'),
      position,
    ],
    { stdio: ['pipe', 'pipe', 'pipe'] },
  )
  let output = ''
  let errors = ''
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    output += text
  })
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    errors += text
  })
  child.stdin.end(JSON.stringify(job))

  let before = ''
  let peak = 0
  let isHanging = false
  let since = Date.now()
  const watchdog = setInterval(() => {
    peak = Math.max(peak, peakMemory(child.pid!))
    const now = placeOf(job, position)
    if (now !== before) since = Date.now()
    before = now
    if (Date.now() - since > PATIENCE_MS || peak > memory) {
      isHanging = peak <= memory
      child.kill('SIGKILL')
    }
  }, 250)
  return new Promise((resolve) => {
    child.on('close', (code, signal) => {
      clearInterval(watchdog)
      const last = placeOf(job, position)
      if (code === 0) resolve({ how: 'exit 0', report: JSON.parse(output) as Report, peak })
      else if (isHanging) resolve({ how: `hangs: ${last}`, peak })
      else if (peak > memory) resolve({ how: `takes ${peak} bytes: ${last}`, peak })
      else resolve({ how: `${signal ?? `exit ${code}`}: ${last}\n${errors.slice(-4000)}`, peak })
    })
  })
}

/** The mutation a child is at, as a sentence. */
function placeOf({ files }: Job, position: string): string {
  try {
    const bytes = readFileSync(position)
    if (bytes.length < 12) return 'before the first file'
    const [file, kind, at] = [0, 4, 8].map((offset) => bytes.readUInt32LE(offset))
    return `${files[file!]} ${['cut', 'xor ff', 'xor 01'][kind!]} at byte ${at}`
  } catch {
    return 'before the first file'
  }
}

/** Bytes of the most memory a process ever had; 0 where the system does not say. */
function peakMemory(pid: number): number {
  try {
    const status = readFileSync(`/proc/${pid}/status`, 'utf8')
    return Number(/^VmHWM:\s+(\d+) kB/m.exec(status)?.[1] ?? 0) * 1024
  } catch {
    return 0
  }
}

test('damaged goldens open or are refused, and nothing else', async () => {
  expect(files.length).toBeGreaterThan(400)
  const jobs: Job[] = Array.from({ length: CHILDREN }, (_, i) => ({
    files: files.filter((_, index) => index % CHILDREN === i),
    thin,
  }))
  const endings = await Promise.all(jobs.map((job, i) => runChild(job, join(folder, `at-${i}`))))
  for (const [i, { how, report, peak }] of endings.entries()) {
    expect(how).toBe('exit 0')
    expect(report?.failures).toEqual([])
    expect(peak).toBeLessThan(memory)
    const wanted = jobs[i]!.files.reduce(
      (sum, file) => sum + [...mutationsOf(statSync(file).size, thin)].length,
      0,
    )
    expect((report?.opened ?? 0) + (report?.refused ?? 0)).toBe(wanted)
    // Damage that is never noticed, or always, would be a test that looks at nothing.
    expect(report?.opened).toBeGreaterThan(wanted / 100)
    expect(report?.refused).toBeGreaterThan(wanted / 100)
    expect(report?.files).toBeGreaterThan(wanted / 20)
  }
}, 900_000)
