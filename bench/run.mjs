// run.mjs [--only ROW,ROW] [--quick] [--skip-large] [--out FOLDER] [--readme]: the benchmark; bench/README.md describes it.
// Prints tables, and writes RESULTS.md, results.svg and growth.svg. Asserts nothing about time.

import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { root } from '../scripts/run.mjs'
import { growthChart, resultsChart } from './charts.mjs'
import { clean, ensure, filesOf, folder } from './inputs.mjs'
import { machine } from './machine.mjs'
import { resultsText } from './results.mjs'
import { PACES } from './rounds.mjs'
import conversions from './rows/conversions.mjs'
import decode from './rows/decode.mjs'
import { residents, sizes } from './rows/growth.mjs'
import io from './rows/io.mjs'
import limits from './rows/limits.mjs'
import { cold, oneCore, warm } from './rows/loads.mjs'
import { pressure, session } from './rows/session.mjs'
import { summarySection, updateReadme } from './summary.mjs'
import { section } from './table.mjs'
import { targets } from './targets.mjs'
import { buildTools, readThrough } from './tools.mjs'

const GROUPS = [
  limits,
  ...warm,
  oneCore,
  ...cold,
  io,
  decode,
  conversions,
  sizes,
  residents,
  session,
  pressure,
]
const LARGEST = new Set(['growth-2', 'growth-4', 'growth-8'])
const USAGE =
  'npm run bench -- [--only ROW,ROW] [--quick] [--skip-large] [--out FOLDER] [--readme] [--clean]; bench/README.md says what they do'

function optionsGiven() {
  try {
    const { values } = parseArgs({
      options: {
        only: { type: 'string' },
        quick: { type: 'boolean', default: false },
        'skip-large': { type: 'boolean', default: false },
        out: { type: 'string', default: join(root, 'bench') },
        readme: { type: 'boolean', default: false },
        clean: { type: 'boolean', default: false },
      },
    })
    return values
  } catch (error) {
    console.error(`bench: ${error.message}\n\n${USAGE}`)
    process.exit(2)
  }
}

const options = optionsGiven()

function chosen() {
  const ids = options.only?.split(',')
  const unknown = ids?.filter((id) => !GROUPS.some((group) => group.id === id)) ?? []
  if (unknown.length > 0) {
    const known = GROUPS.map(({ id }) => id).join(', ')
    throw new Error(`no rows ${unknown.join(', ')}; there are ${known}`)
  }
  return GROUPS.filter(({ id }) => ids === undefined || ids.includes(id))
}

function versionsIn(value) {
  if (typeof value !== 'object' || value === null) return []
  const own = typeof value.version === 'string' ? [value.version] : []
  return [...own, ...Object.values(value).flatMap(versionsIn)]
}

async function measure(groups, pace) {
  const tables = []
  for (const group of groups) {
    const wanted = group.inputs.filter((name) => !options['skip-large'] || !LARGEST.has(name))
    const there = ensure(wanted)
    if (there.length === 0 || (there.length < group.inputs.length && !group.mayMiss)) {
      console.log(
        `### ${group.id}\n\nleft out: ${group.inputs.filter((name) => !there.includes(name))} in ${folder}\n`,
      )
      continue
    }
    filesOf(there).forEach(readThrough)
    for (const table of await group.run({ pace, there })) {
      console.log(`${section(table)}\n`)
      tables.push(table)
    }
  }
  return tables
}

function write(tables) {
  const versions = versionsIn(tables).filter((text) => !/^(native|torchmap )/.test(text))
  const head = machine(versions)
  const [, , , , [, own], , [, date]] = head
  const pace = options.quick ? ' Quick run: few rounds.' : ''
  const summary = summarySection(tables, `torchmap ${own}, ${date}, ${head[0][1]}.${pace}`)
  const aims = targets(tables)
  console.log(`${section(aims)}\n`)
  mkdirSync(options.out, { recursive: true })
  const files = {
    'RESULTS.md': resultsText({ head, summary, targets: aims, tables }),
    'results.svg': resultsChart(tables),
    'growth.svg': growthChart(tables),
    'results.json': JSON.stringify({ head, tables }, undefined, 1),
  }
  for (const [name, text] of Object.entries(files)) writeFileSync(join(options.out, name), text)
  console.log(`written to ${options.out}: ${Object.keys(files).join(', ')}`)
}

try {
  const groups = chosen()
  buildTools()
  write(await measure(groups, options.quick ? PACES.quick : PACES.full))
  if (options.readme) updateReadme(join(options.out, 'RESULTS.md'))
  if (options.clean) clean()
} catch (error) {
  console.error(`bench: ${error.message}`)
  process.exitCode = 2
}
