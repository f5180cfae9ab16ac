/** Results as text, JSON, SARIF and JUnit, and what they come to. */
import { spawnSync } from 'node:child_process'
import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { stripVTControlCharacters } from 'node:util'
import { describe, expect, test } from '@jest/globals'
import Ajv from 'ajv'
import { printable, UNPRINTABLE } from '../lib/printable'
import { finding } from '../lib/zoo/finding'
import {
  isReportFormat,
  REPORT_FORMATS,
  Report,
  type ReportFormat,
  type ReportOptions,
  writeReport,
} from '../lib/zoo/report/report'
import { uriOf } from '../lib/zoo/report/sarif'
import type { Result } from '../lib/zoo/result'
import { RULES } from '../lib/zoo/rules'
import { exitCodeOf, type Summary, summaryOf, Tally } from '../lib/zoo/summary'
import { FULL, HOSTILE_NAMES, hostile, model, tensorsOfNet, zoo } from './support/results'
import { temporaryFolder } from './support/samples'
import { schemaErrors } from './support/schema'

const folder = temporaryFolder('reports')
const BEGAN = new Date('2024-05-06T07:08:09.123Z')
const HOSTILE = HOSTILE_NAMES.map(hostile)
const ALL = [...zoo(300), FULL, ...HOSTILE]

async function reportOf(
  results: Iterable<Result>,
  format: ReportFormat,
  options: ReportOptions = {},
): Promise<string> {
  let text = ''
  const write = (piece: string) => {
    text += piece
  }
  await writeReport(results, format, write, { began: BEGAN, base: '/base', ...options })
  return text
}

describe('summary', () => {
  const norm = finding('complete/norm', 'Of 5 tensors 1 is absent.')
  const nan = finding('whole/not-a-number', 'Of 6 elements 2 are NaN.')
  const results = [
    model('a', { tensors: 3, bytes: 1000, ms: 10 }),
    model('b', { tensors: 4, bytes: 3000, ms: 30, findings: [norm, norm], integrity: 'absent' }),
    model('c', { tensors: 5, bytes: 4000, ms: 40, findings: [nan, norm], safety: 'dangerous' }),
  ]
  const wanted: Summary = {
    models: 3,
    status: { ok: 1, warning: 1, error: 1 },
    integrity: { ok: 2, mismatch: 0, absent: 1, none: 0, unreadable: 0 },
    safety: { safe: 2, 'needs-review': 0, dangerous: 1, incomplete: 0 },
    findings: { error: 1, warning: 3, info: 0 },
    tensors: 12,
    bytes: 8000,
    ms: 80,
    bytesPerSecond: 100_000,
  }

  test('counts', () => {
    expect(summaryOf(results)).toEqual(wanted)
    expect(summaryOf(results, 40)).toEqual({ ...wanted, ms: 40, bytesPerSecond: 200_000 })
    expect(summaryOf([])).toMatchObject({ models: 0, ms: 0, bytesPerSecond: 0 })
  })

  test('what was given is not changed by what comes later', () => {
    const tally = new Tally()
    tally.add(results[0]!)
    const first = tally.summary()
    tally.add(results[1]!)
    expect(first).toEqual(summaryOf(results.slice(0, 1)))
    expect(tally.summary()).toEqual(summaryOf(results.slice(0, 2)))
  })

  test('exit codes', () => {
    const codes = results.map((result) => {
      const summary = summaryOf([result])
      return [exitCodeOf(summary), exitCodeOf(summary, 'error'), exitCodeOf(summary, 'warning')]
    })
    expect(codes).toEqual([
      [0, 0, 0],
      [0, 0, 1],
      [1, 1, 1],
    ])
  })
})

describe('every format', () => {
  test('is known by its name', () => {
    expect(REPORT_FORMATS).toEqual(['text', 'json', 'jsonl', 'sarif', 'junit', 'html'])
    expect(isReportFormat('sarif')).toBe(true)
    expect(isReportFormat('toString')).toBe(false)
  })

  test.each(REPORT_FORMATS)(
    '%s: results are taken one by one, and writing is waited for',
    async (format) => {
      let isWriting = false
      let given = 0
      let written = ''
      function* results() {
        for (const result of zoo(50)) {
          expect(isWriting).toBe(false)
          ++given
          yield result
        }
      }
      const write = async (text: string) => {
        expect(isWriting).toBe(false)
        isWriting = true
        await new Promise(setImmediate)
        written += text
        isWriting = false
      }
      const summary = await writeReport(results(), format, write, { began: BEGAN })
      expect(given).toBe(50)
      expect(summary.models).toBe(50)
      expect(written.length).toBeGreaterThan(1000)
    },
  )

  // JUnit says its counts first: the one format that has to wait.
  test.each(['text', 'json', 'jsonl', 'html', 'sarif'] as const)(
    '%s: a model is written before the next one is asked for',
    async (format) => {
      let written = ''
      const write = (text: string) => {
        written += text
      }
      const report = new Report(format, write)
      await report.begin()
      for (const name of ['first', 'second']) {
        await report.add(model(name, { findings: [finding('whole/wasted', `${name} wastes 5.`)] }))
        expect(written).toContain(name)
      }
      expect((await report.end(5)).ms).toBe(5)
    },
  )

  const large = model('large', { details: tensorsOfNet(2000) })
  test.each(REPORT_FORMATS)('%s: pieces of a large model are small', async (format) => {
    let longest = 0
    const write = (text: string) => {
      longest = Math.max(longest, text.length)
    }
    await writeReport([large], format, write)
    expect(longest).toBeLessThan(300_000)
  })

  test.each(REPORT_FORMATS)('%s: no results', async (format) => {
    const text = await reportOf([], format)
    if (format === 'json') {
      expect(JSON.parse(text)).toMatchObject({ version: 1, results: [], summary: { models: 0 } })
    } else if (format === 'sarif') expect(JSON.parse(text).runs[0].results).toEqual([])
    else if (format === 'jsonl') expect(text).toBe('')
    else if (format === 'text') expect(text).toBe('no models\n')
    else expect(text.trimEnd()).toMatch(format === 'html' ? /<\/html>$/ : /<\/testsuites>$/)
  })
})

describe('text', () => {
  const lines = async (results: Result[], options: ReportOptions = {}) =>
    (await reportOf(results, 'text', options)).split('\n')

  test('a model, what was found, and what it comes to', async () => {
    const place = { record: 'archive/data/3', tensor: 'fc.weight', offset: 640 }
    const norms = Array.from({ length: 17 }, (_, i) =>
      finding('complete/norm', 'Of 5 tensors 1 is absent.', { tensor: `bn${i}` }),
    )
    const findings = [...norms, finding('whole/checksum', 'It is 1 and should be 2.', place)]
    const more = { tensors: 1234, bytes: 46_827_520, findings, integrity: 'mismatch' as const }
    const text = await lines([model('a.pth', more), model('b.pth', { tensors: 1 })])
    expect(text.slice(0, 14)).toEqual([
      'error    a.pth  zip state_dict, 1,234 tensors, 44.7 MiB, mismatch',
      '  error whole/checksum',
      '    It is 1 and should be 2. (tensor fc.weight, record archive/data/3, byte 640)',
      `    -> ${RULES['whole/checksum'].remedy}`,
      '  warning complete/norm (17)',
      ...[0, 1, 2, 3, 4].map((i) => `    Of 5 tensors 1 is absent. (tensor bn${i})`),
      '    and 12 more',
      `    -> ${RULES['complete/norm'].remedy}`,
      'ok       b.pth  zip state_dict, 1 tensors, 976.6 KiB',
      '',
    ])
    expect(text[14]).toMatch(/^2 models, 1,235 tensors, 45.6 MiB in /)
    expect(text.slice(15)).toEqual([
      'status:    1 ok, 1 error',
      'checksums: 1 ok, 1 mismatch',
      'safety:    2 safe',
      'findings:  1 error, 17 warning',
      '',
    ])
  })

  test('colours only where they are asked for', async () => {
    const plain = await reportOf(ALL, 'text')
    const coloured = await reportOf(ALL, 'text', { hasColours: true })
    expect(coloured).toContain('\x1b[31merror')
    const untimed = (text: string) => text.replace(/ in [\d.]+ s.*$/m, '')
    expect(untimed(stripVTControlCharacters(coloured))).toBe(untimed(plain))
  })

  test('what a terminal would act on is escaped', async () => {
    for (const name of HOSTILE_NAMES) {
      const text = await reportOf([hostile(name)], 'text')
      expect(text.replaceAll('\n', '')).not.toMatch(UNPRINTABLE)
      expect(text).toContain(printable(name))
    }
  })

  test('long names give way to the terminal', async () => {
    const [line] = await lines([model(`${'folder/'.repeat(30)}x.pth`)], { columns: 90 })
    expect(line!.length).toBeLessThanOrEqual(90)
    expect(line).toMatch(/^ok {7}folder.*\.\.\..*x\.pth {2}zip/)
  })
})

describe('JSON', () => {
  test('the document holds the results and what they come to', async () => {
    const document = JSON.parse(await reportOf(ALL, 'json'))
    expect(document.results).toEqual(JSON.parse(JSON.stringify(ALL)))
    expect(document).toMatchObject({ version: 1, summary: { models: ALL.length } })
    expect(schemaErrors(document, 'report')).toEqual([])
  })

  test('lines: each is a result, whatever its names hold', async () => {
    const text = await reportOf(ALL, 'jsonl')
    expect(text).not.toMatch(/[\u2028\u2029]/)
    const lines = text.split('\n')
    expect(lines.pop()).toBe('')
    expect(lines.map((line) => JSON.parse(line))).toEqual(JSON.parse(JSON.stringify(ALL)))
  })
})

interface SarifResult {
  ruleId: string
  ruleIndex: number
  level: string
  message: { text: string }
  locations: { physicalLocation: { artifactLocation: { uri: string } } }[]
  partialFingerprints: Record<string, string>
}

describe('SARIF', () => {
  const runOf = async (results: Result[], base = '/base') =>
    JSON.parse(await reportOf(results, 'sarif', { base })).runs[0] as {
      tool: { driver: { rules: { id: string; defaultConfiguration: { level: string } }[] } }
      results: SarifResult[]
    }

  test('a finding with all its places', async () => {
    const { results, tool } = await runOf([{ ...FULL, path: '/base/zoo/full.pth' }])
    expect(results).toEqual([
      {
        ruleId: 'whole/checksum',
        ruleIndex: expect.any(Number),
        level: 'error',
        message: { text: `${FULL.findings[0]!.message} Fetch the file again.` },
        locations: [
          {
            physicalLocation: {
              artifactLocation: { uri: uriOf('zoo/full-2.pth', '/base') },
              region: { byteOffset: 640 },
            },
            logicalLocations: [
              { name: 'archive/data/0', kind: 'record' },
              { name: 'weight', kind: 'tensor' },
            ],
          },
        ],
        partialFingerprints: { 'finding/v1': expect.stringMatching(/^[0-9a-f]{32}:1$/) },
      },
    ])
    expect(tool.driver.rules[results[0]!.ruleIndex]!.id).toBe('whole/checksum')
    expect(tool.driver.rules.map(({ id }) => id)).toEqual(Object.keys(RULES))
    const level = { error: 'error', warning: 'warning', info: 'note' }
    for (const { id, defaultConfiguration } of tool.driver.rules)
      expect(defaultConfiguration.level).toBe(level[RULES[id as keyof typeof RULES].severity])
  })

  test('fingerprints stay when numbers change, and differ between findings', async () => {
    const at = (unused: number) => {
      const said = (tensor: string) =>
        finding('whole/wasted', `Of ${unused.toLocaleString('en')} bytes 1 is used.`, { tensor })
      return model('/base/a.pth', { findings: [said('x'), said('y'), said('y')] })
    }
    const prints = async (result: Result) =>
      (await runOf([result])).results.map(({ partialFingerprints }) => partialFingerprints)
    const first = await prints(at(1234))
    expect(await prints({ ...at(99_999), ms: 77 })).toEqual(first)
    expect(new Set(first.map((print) => print['finding/v1'])).size).toBe(3)
    expect(await prints({ ...at(1234), path: '/base/b.pth' })).not.toEqual(first)
  })

  test.each([
    ['/base/zoo/a b.pth', 'zoo/a%20b.pth'],
    ['/base/%2e%2e/#?é.pth', '%252e%252e/%23%3F%C3%A9.pth'],
    ['/base/javascript:alert(1)', 'javascript%3Aalert(1)'],
    ['/base/lone\ud800.pth', 'lone%EF%BF%BD.pth'],
    ['/base', '.'],
    ['/other/a b.pth', 'file:///other/a%20b.pth'],
    ['/base/..x/a.pth', '..x/a.pth'],
    ['https://host/a b.pth', 'https://host/a%20b.pth'],
  ])('the URI of %j', (path, uri) => {
    expect(uriOf(path, '/base')).toBe(uri)
  })

  test('names become neither links nor arguments', async () => {
    const { results } = await runOf(HOSTILE, process.cwd())
    expect(results).toHaveLength(HOSTILE.length)
    for (const { message, locations } of results) {
      expect(message.text).not.toMatch(/\]\(/)
      expect(message.text.replaceAll(/\{\{|\}\}/g, '')).not.toMatch(/[{}]/)
      const [{ physicalLocation } = { physicalLocation: undefined }] = locations
      expect(physicalLocation!.artifactLocation.uri).toMatch(/^zoo\/[\w./%!~*'()-]+$/)
    }
  })
})

/** Names and attributes of all elements; fails where the text is not well-formed. */
function elementsOf(xml: string): { name: string; attributes: Record<string, string> }[] {
  const elements: { name: string; attributes: Record<string, string> }[] = []
  const open: string[] = []
  const tokens = xml
    .replace(/^<\?xml [^>]*\?>\n/, '')
    .matchAll(
      /<(\/?)([\w-]+)((?: [\w-]+="(?:[^<&"]|&\w+;)*")*)(\/?)>|((?:[^<&]|&(?:amp|lt|gt|quot|apos);)+)|([\s\S])/gu,
    )
  for (const [, close, name, attributes, empty, , wrong] of tokens) {
    if (wrong !== undefined) throw new Error(`not XML: ${wrong}`)
    if (name === undefined) continue
    if (close === '/') expect(open.pop()).toBe(name)
    else if (empty !== '/') open.push(name)
    if (close === '/') continue
    const pairs = [...attributes!.matchAll(/ ([\w-]+)="([^"]*)"/g)]
    elements.push({
      name,
      attributes: Object.fromEntries(pairs.map(([, key, value]) => [key, value])),
    })
  }
  expect(open).toEqual([])
  return elements
}

describe('JUnit', () => {
  const norm = finding('complete/norm', 'Of 5 tensors 1 is absent.')
  const nan = finding('whole/not-a-number', 'Of 6 elements 2 are NaN.', { tensor: 'a<b' })
  const tied = finding('whole/tied', '2 tensors share 3 elements.')
  const results = [
    model('good.pth', { findings: [tied] }),
    model('fair.pth', { findings: [norm] }),
    model('bad.pth', { findings: [norm, nan], ms: 1500 }),
  ]

  test('a case for each model', async () => {
    const xml = await reportOf(results, 'junit')
    const elements = elementsOf(xml)
    expect(elements[1]!.attributes).toMatchObject({
      tests: '3',
      failures: '1',
      errors: '0',
      timestamp: '2024-05-06T07:08:09',
    })
    const cases = elements.filter(({ name }) => name === 'testcase')
    expect(cases.map(({ attributes }) => [attributes.name, attributes.time])).toEqual([
      ['good.pth', '0.013'],
      ['fair.pth', '0.013'],
      ['bad.pth', '1.500'],
    ])
    const failures = elements.filter(({ name }) => name === 'failure')
    const message = 'Of 6 elements 2 are NaN. (tensor a&lt;b)'
    expect(failures.map(({ attributes }) => attributes)).toEqual([
      { type: 'whole/not-a-number', message },
    ])
    const notes = /<system-out>(.*)<\/system-out>/s.exec(xml)![1]
    expect(notes).toContain('good.pth\n  info whole/tied: 2 tensors share 3 elements.\n')
    expect(notes).toContain('bad.pth\n  warning complete/norm: Of 5 tensors 1 is absent.\n')
  })

  test('warnings fail where they are to', async () => {
    const xml = await reportOf(results, 'junit', { failOn: 'warning' })
    const failures = elementsOf(xml).filter(({ name }) => name === 'failure')
    expect(failures.map(({ attributes }) => attributes.type)).toEqual([
      'complete/norm',
      'whole/not-a-number',
    ])
  })

  test('names stay in their places', async () => {
    const xml = await reportOf(ALL, 'junit')
    expect(elementsOf(xml).filter(({ name }) => name === 'testcase')).toHaveLength(ALL.length)
    // biome-ignore lint/suspicious/noControlCharactersInRegex: XML has no place for these
    expect(xml).not.toMatch(/[\x00-\x08\x0b-\x1f\ufffe\uffff]|\p{Surrogate}/u)
  })
})

// A folder with sarif-schema-2.1.0.json (OASIS), JUnit.xsd (Ant) and junit-10.xsd (xunit-plugin).
const schemas = process.env.TORCHMAP_SCHEMAS
if (schemas !== undefined) {
  test('SARIF fits its schema', async () => {
    const {
      $schema: _,
      id: __,
      ...schema
    } = JSON.parse(readFileSync(join(schemas, 'sarif-schema-2.1.0.json'), 'utf8'))
    const formats = {
      uri: (text: string) => URL.canParse(text),
      'uri-reference': (text: string) =>
        URL.canParse(text, 'file:///base/') &&
        /^(?:[\w\-.~:/?#[\]@!$&'()*+,;=]|%[0-9A-F]{2})*$/.test(text),
      'date-time': (text: string) => new Date(text).toISOString() === text,
    }
    const validate = new Ajv({ strict: false, allErrors: true, formats }).compile(schema)
    validate(JSON.parse(await reportOf(ALL, 'sarif')))
    expect(validate.errors).toBeNull()
    validate({ version: '2.1.0', runs: [{}] })
    expect(validate.errors).not.toBeNull()
  })

  test.each(['JUnit.xsd', 'junit-10.xsd'])('JUnit fits %s', async (schema) => {
    expect(existsSync(join(schemas, schema))).toBe(true)
    const file = join(folder, 'junit.xml')
    writeFileSync(file, await reportOf(ALL, 'junit', { failOn: 'warning' }))
    const args = ['--noout', '--nonet', '--schema', join(schemas, schema), file]
    const { stderr, status } = spawnSync('xmllint', args, { encoding: 'utf8' })
    expect([stderr, status]).toEqual([`${file} validates\n`, 0])
  })
}
