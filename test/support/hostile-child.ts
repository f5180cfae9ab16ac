/**
 * hostile-child.ts POSITION: opens damaged copies of the files named on standard input, and prints what went wrong
 * as JSON. Where it is stands in the file POSITION, for the parent to read when this process is no more.
 */
import { ftruncateSync, openSync as openFile, readFileSync, statSync, writeSync } from 'node:fs'
import { type Checkpoint, openSync } from '../../lib/index'
import { damage, type Job, mutationsOf, type Report } from './hostile'
import { outcomeOf, walk } from './walk'

/** So that a file which asks for much within the caps does not look like one that got it by a hole. */
const limits = { copyBytes: 2 ** 24, inflatedBytes: 2 ** 24 }
const MOST_FAILURES = 20

const positionPath = process.argv[2]!
const position = openFile(positionPath, 'w')
const scratchPath = `${positionPath}.pth`
const scratch = openFile(scratchPath, 'w')
const place = new Uint32Array(3)

/** Outcome of opening, then of what was done with it. */
function use(source: string | Uint8Array, mmap: boolean): { opening: string; using: string[] } {
  let checkpoint: Checkpoint | undefined
  const opening = outcomeOf(() => {
    checkpoint = openSync(source, { limits, mmap })
  })
  if (checkpoint === undefined) return { opening, using: [] }
  try {
    return { opening, using: [...walk(checkpoint)].sort() }
  } finally {
    checkpoint.close()
  }
}

/** What is wrong about a file that ends otherwise than its bytes did. */
function difference(
  bytes: ReturnType<typeof use>,
  file: ReturnType<typeof use>,
): string | undefined {
  // Where a record of bytes lies is looked up when they are opened; for a file when it is used, if it ever is.
  const isLater = file.opening === 'ok' && file.using.some((outcome) => outcome !== 'ok')
  if (isLater && bytes.opening === 'BAD_RECORD') return undefined
  const [found, wanted] = [JSON.stringify(file), JSON.stringify(bytes)]
  return found === wanted ? undefined : `bytes give ${wanted}, the file gives ${found}`
}

function run({ files, thin }: Job): Report {
  const report: Report = { opened: 0, refused: 0, files: 0, failures: [] }
  for (const [index, file] of files.entries()) {
    const bytes = new Uint8Array(readFileSync(file))
    let count = 0
    for (const { kind, at } of mutationsOf(bytes.length, thin)) {
      place.set([index, kind, at])
      writeSync(position, place, 0, place.byteLength, 0)
      const damaged = damage(bytes, kind, at)
      const name = `${file} ${['cut', 'xor ff', 'xor 01'][kind]} at byte ${at}`
      try {
        const outcome = use(damaged, true)
        if (outcome.opening === 'ok') ++report.opened
        else ++report.refused
        // Every so often as a file, mapped or read: the same bytes must end the same way.
        if (count++ % 11 === 0) {
          ftruncateSync(scratch, damaged.length)
          writeSync(scratch, damaged, 0, damaged.length, 0)
          const different = difference(outcome, use(scratchPath, count % 2 === 0))
          ++report.files
          if (different !== undefined) report.failures.push(`${name}: ${different}`)
        }
      } catch (error) {
        report.failures.push(`${name}: ${(error as Error).stack}`)
      }
      if (report.failures.length >= MOST_FAILURES) return report
    }
    if (statSync(file).size !== bytes.length) report.failures.push(`${file}: was written to`)
  }
  return report
}

const job = JSON.parse(readFileSync(0, 'utf8')) as Job
process.stdout.write(JSON.stringify(run(job)))
