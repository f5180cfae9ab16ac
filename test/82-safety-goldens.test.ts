/**
 * No golden is dangerous, but for those of `compressed`, which test/91 reads. Where TORCHMAP_FIXTURES is set: neither is any checkpoint that others wrote,
 * and files made to be dangerous, beside them in `security/corpus`, are.
 */
import { existsSync, readdirSync, readFileSync, statSync } from 'node:fs'
import { extname, join } from 'node:path'
import { describe, expect, test } from '@jest/globals'
import { scanSafetySync } from '../lib/zoo/safety/scan'
import { FIXTURES } from './support/golden'

function filesOf(folder: string): string[] {
  return readdirSync(folder, { withFileTypes: true }).flatMap((entry) => {
    const path = join(folder, entry.name)
    if (path === join(FIXTURES, 'compressed')) return []
    return entry.isDirectory() ? filesOf(path) : [path]
  })
}

const OTHERS = process.env.TORCHMAP_FIXTURES
const CORPUS = OTHERS === undefined ? '' : join(OTHERS, '..', 'security', 'corpus')

/** Damaged by intent, or of a format that is not looked into. */
const UNREAD = /^(broken-|foreign-)|\.(keras|h5)$/

describe.each([FIXTURES, ...(OTHERS === undefined ? [] : [OTHERS])])('%s', (folder) => {
  const files = filesOf(folder).filter((path) => !['.json', '.py', '.md'].includes(extname(path)))
  test('has files', () => expect(files.length).toBeGreaterThan(90))
  test('nothing is dangerous, and all is read that can be', () => {
    const wrong: string[] = []
    for (const path of files) {
      const { safety, findings } = scanSafetySync(path)
      const isRead = safety !== 'incomplete' || UNREAD.test(path.slice(path.lastIndexOf('/') + 1))
      if (safety !== 'dangerous' && isRead) continue
      wrong.push(`${path}: ${safety}, ${findings.map(({ message }) => message).join('; ')}`)
    }
    expect(wrong).toEqual([])
  })
})

test('whole goldens have no findings about their container', () => {
  const rules = new Set<string>()
  for (const set of ['torch-1.13', 'torch-2.13', 'safetensors']) {
    for (const path of filesOf(join(FIXTURES, set))) {
      if (!['.pt', '.safetensors'].includes(extname(path)) || !statSync(path).isFile()) continue
      for (const { rule } of scanSafetySync(path).findings) rules.add(rule)
    }
  }
  expect([...rules].filter((rule) => !/unknown-global|code$/.test(rule))).toEqual([])
})

if (existsSync(join(CORPUS, 'INDEX.tsv'))) {
  const [head, ...rows] = readFileSync(join(CORPUS, 'INDEX.tsv'), 'utf8').trimEnd().split('\n')
  const columns = head!.split('\t')
  const cell = (row: string, name: string) => row.split('\t')[columns.indexOf(name)]!
  describe('files made to be dangerous', () => {
    test.each(rows.map((row) => [cell(row, 'path'), cell(row, 'upstream_verdict')]))(
      '%s: %s',
      (path, verdict) => {
        const file = join(CORPUS, path!)
        const { safety } = scanSafetySync(file)
        const isRun = /^(dangerous|harmless but executes)/.test(verdict!)
        const wanted = isRun ? 'dangerous' : 'safe'
        expect(safety).toBe(path!.includes('password') ? 'incomplete' : wanted)
      },
    )
  })
}
