/** The documents: their examples run, and what they point to is there. */
import { spawnSync } from 'node:child_process'
import { existsSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { describe, expect, test } from '@jest/globals'

const root = join(__dirname, '..')
const DOCUMENTS = ['README.md', 'docs/formats.md', 'docs/flavors.md']
const read = (file: string) => readFileSync(join(root, file), 'utf8')

/** Paths below a folder of the project, directories included. */
function below(folder: string): string[] {
  return readdirSync(join(root, folder), { recursive: true }).map((path) =>
    join(folder, String(path)).replaceAll('\\', '/'),
  )
}

const PATHS = [...below('test'), ...below('native/test')]

/** Whether a pattern of the table names a fixture, a test or a file. */
function isThere(pattern: string): boolean {
  const text = pattern.replace(/[.+]/g, '\\$&').replaceAll('*', '[^/]*')
  const paths = new RegExp(`^(test/fixtures/|)${text}(\\.test\\.ts|)$`)
  return PATHS.some((path) => paths.test(path))
}

const EXAMPLES = DOCUMENTS.flatMap((document) =>
  [...read(document).matchAll(/```js\n(.*?)```/gs)].map(
    ([, code], i) => [document, i + 1, code!] as const,
  ),
)

test.each(EXAMPLES)('%s: example %i runs', (document, i, code) => {
  // At the top of the project, where the example's paths and the package's own name count.
  const file = join(root, `example-${document.replace(/\W/g, '-')}-${i}.mjs`)
  // `await using` is for Node 24.
  writeFileSync(file, code.replaceAll('await using', 'const'))
  try {
    const { status, stderr } = spawnSync(process.execPath, [file], { cwd: root, encoding: 'utf8' })
    // On some machines an engine warns that it finds no GPU.
    const told = stderr.replace(/^.*\[W:onnxruntime:.*\n/gm, '')
    expect([status, told]).toEqual([0, ''])
  } finally {
    rmSync(file)
  }
})

describe.each(DOCUMENTS)('%s', (document) => {
  const text = read(document)

  test('links lead somewhere', () => {
    const links = [...text.matchAll(/\]\(([^)#\s]*)(?:#([^)]*))?\)/g)]
    for (const [link, file, anchor] of links) {
      if (file!.startsWith('https:')) continue
      const target = file === '' ? document : join(dirname(document), file!)
      expect([link, existsSync(join(root, target))]).toEqual([link, true])
      if (anchor === undefined) continue
      const headings = [...read(target).matchAll(/^#+ (.*)$/gm)].map(([, heading]) =>
        heading!
          .toLowerCase()
          .replace(/[^\w\s-]/g, '')
          .replaceAll(' ', '-'),
      )
      expect(headings).toContain(anchor)
    }
  })
})

test("README's table of formats: each row names fixtures or tests that are there", () => {
  const text = read('README.md')
  const section = text.slice(text.indexOf('\n## Formats\n'), text.indexOf('\n## Limits\n'))
  const rows = section.split('\n').filter((line) => /^\| \W*`/.test(line))
  const shown = rows.slice(1).map((row) => {
    const patterns = [
      ...row
        .split(' | ')
        .at(-1)!
        .matchAll(/`([^`]+)`/g),
    ].map(([, name]) => name!)
    return { row, patterns }
  })
  expect(shown.length).toBeGreaterThan(15)
  for (const { row, patterns } of shown) {
    expect([row, patterns.length > 0]).toEqual([row, true])
    expect([row, patterns.filter((pattern) => !isThere(pattern))]).toEqual([row, []])
  }
})

test('every format of the types has a row', () => {
  const type = /export type Format =\n(.*?)\n\n/s.exec(read('lib/content.ts'))?.[1] ?? ''
  const formats = [...type.matchAll(/'(\w+)'/g)].map(([, format]) => format!)
  expect(formats.length).toBeGreaterThan(10)
  for (const format of formats)
    expect(read('README.md')).toMatch(new RegExp(`^\\|.*\`${format}\``, 'm'))
})
