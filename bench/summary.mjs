// What README shows of a run: a table between two marks, the same text in bench/RESULTS.md and in README.md.

import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { root } from '../scripts/run.mjs'
import { digits, hasTimes, markdown, medianOf, ratioOf } from './table.mjs'

const [BEGIN, END] = ['<!-- bench:begin -->', '<!-- bench:end -->']

/** [table, clock, what the row says] */
const ROWS = [
  ['resnet18', 'names', 'ResNet-18: names and shapes'],
  ['tensors-10000', 'names', '10,000 tensors: names and shapes'],
  ['tensors-100000', 'names', '100,000 tensors: names and shapes'],
  ['large', 'names', '1 GiB in 300 tensors: names and shapes'],
  ['large', 'bytes', 'the same, every byte read'],
  ['large', 'verified', 'the same, every CRC-32 compared'],
]
const COLUMNS = [
  ['torchmap', 'torchmap'],
  ['`torch.load`', 'torch'],
  ['`torch.load`, `mmap=True`', 'torch-mmap'],
  ['safetensors (Python)', 'safetensors'],
  ['candle', 'candle'],
  ['pytorch-reader', 'pytorch-reader'],
  ['pickleparser', 'pickleparser'],
]
/** Who compares checksums where torch and safetensors compare none. */
const INSTEAD = { verified: { torch: 'testzip' } }

function text(cell, base) {
  if (!hasTimes(cell)) return cell?.error === undefined || cell.absent ? '-' : 'fails'
  const than = ratioOf(cell, base)
  const own = `${digits(medianOf(cell))} ms`
  return cell === base || than === undefined ? own : `${own} (${digits(than)}x)`
}

/** The section with its marks. */
export function summarySection(tables, about) {
  const data = Object.fromEntries(tables.map((table) => [table.id, table.data]))
  const rows = ROWS.filter(([id]) => data[id] !== undefined).map(([id, clock, label]) => {
    const cells = data[id][clock]
    return [
      label,
      ...COLUMNS.map(([, loader]) => {
        const instead = INSTEAD[clock]?.[loader]
        const shown = text(cells[instead ?? loader], cells.torchmap)
        return instead === undefined || shown === '-' ? shown : `${shown}, \`zipfile.testzip\``
      }),
    ]
  })
  const header = ['', ...COLUMNS.map(([label]) => label)]
  const line = `Medians, warm page cache; in brackets how many times as long as torchmap. ${about}`
  return [BEGIN, '', markdown({ header, rows }), '', line, '', END].join('\n')
}

/** What is between the marks of a text, marks included; nothing where there are none. */
export function marked(text) {
  const [begin, end] = [text.indexOf(BEGIN), text.indexOf(END)]
  return begin < 0 || end < begin ? undefined : text.slice(begin, end + END.length)
}

/** Puts the section of bench/RESULTS.md into README.md, where README has the marks. */
export function updateReadme(results = join(root, 'bench/RESULTS.md')) {
  const readme = join(root, 'README.md')
  if (!existsSync(results)) throw new Error(`${results} is not there: run npm run bench`)
  const [section, text] = [results, readme].map((path) => readFileSync(path, 'utf8'))
  const old = marked(text)
  if (old === undefined) throw new Error(`README.md has no ${BEGIN} ... ${END}`)
  writeFileSync(
    readme,
    text.replace(old, () => marked(section)),
  )
}
