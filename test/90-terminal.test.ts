/** What a run says on a terminal while it goes on. */
import { join } from 'node:path'
import { describe, expect, test } from '@jest/globals'
import { terminal, torchmap } from './support/command'
import { FIXTURES } from './support/golden'
import { temporaryFolder } from './support/samples'

const folder = temporaryFolder('terminal')
/** Back to the start of the line, and what stands there away. */
const CLEAR = '\r\x1b[K'

describe('torchmap verify', () => {
  // Models enough for a tenth of a second, after which the line is first shown.
  const zoo = join(FIXTURES, 'torch-2.13')

  test('shows on a terminal how far it is, and takes that away in the end', () => {
    const parts = terminal(folder, 100, ['verify', zoo]).split(CLEAR)
    const said = /^\[([#-]{20})\] (\d+) of (\d+) models, ([^,]*)/
    const lines = parts.flatMap((part) => (said.test(part) ? [said.exec(part)!] : []))
    expect(lines.length).toBeGreaterThan(0)
    const counts = lines.map(([, , done]) => Number(done))
    expect(counts).toEqual([...counts].sort((a, b) => a - b))
    for (const [, bar, done, all, speed] of lines) {
      expect(Number(done)).toBeLessThanOrEqual(Number(all))
      expect(bar).toMatch(/^#*-*$/)
      expect(speed).toMatch(/^[\d.]+ [kMGT]?B\/s$/)
    }
    expect(parts.at(-1)).not.toMatch(said)
  })

  test('shows nothing of it where nobody looks', () => {
    const { stderr, stdout } = torchmap('verify', zoo)
    expect(stdout + stderr).not.toContain(CLEAR)
  })
})
