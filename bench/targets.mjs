// What the project wants to reach, beside what this run measured. Nothing fails when it is missed.

import { LOADERS } from './contestants.mjs'
import { CLOCKS } from './rows/loads.mjs'
import { afterPause, digits, hasTimes, medianOf, ratioOf } from './table.mjs'

const INPUTS = ['resnet18', 'tensors-10000', 'tensors-100000', 'vocabulary', 'adam', 'large']
const PEERS = LOADERS.filter(({ id }) => id.startsWith('candle') || id.startsWith('pytorch-reader'))

/** [what, measured, target, whether it is met]; measured is undefined where a side is absent. */
function row(what, measured, target, { atMost = false, unit = '' } = {}) {
  const sign = atMost ? 'less than' : 'at least'
  if (measured === undefined || Number.isNaN(measured))
    return [what, 'not measured', `${sign} ${target}${unit}`, '-']
  const isMet = atMost ? measured < target : measured >= target
  return [what, `${digits(measured)}${unit}`, `${sign} ${target}${unit}`, isMet ? 'yes' : 'no']
}

function listing({ cell }) {
  return [
    ['tensors-10000', '10,000', 150, 2],
    ['tensors-100000', '100,000', 150, 3],
  ].flatMap(([input, count, torch, other]) => {
    const own = cell(input, 'names', 'torchmap')
    const than = (id) => ratioOf(cell(input, 'names', id), own)
    const paused = ratioOf(afterPause(cell(input, 'names', 'torch-mmap')), afterPause(own))
    const what = `Names and shapes of ${count} tensors`
    return [
      row(`${what}: \`torch.load(mmap=True)\` / torchmap`, than('torch-mmap'), torch),
      row(`${what}, after a pause: \`torch.load(mmap=True)\` / torchmap`, paused, torch),
      row(`${what}: safetensors in Python / torchmap`, than('safetensors'), other),
      row(`${what}: safetensors in Rust / torchmap`, than('safetensors-rust'), other),
    ]
  })
}

function decoding({ cell }) {
  return [
    ['core', 'torchmap alone'],
    ['open', 'whole `openSync()`'],
  ].flatMap(([own, label]) => {
    const than = (id) => ratioOf(cell('decode-vocabulary', id), cell('decode-vocabulary', own))
    return [
      row(`Pickle of the vocabulary: CPython / ${label}`, than('pickle'), 10),
      row(`Pickle of the vocabulary: pickleparser / ${label}`, than('pickleparser'), 20),
    ]
  })
}

function bytes({ cell }) {
  const one = (clock, id) => cell('one-core', clock, `${id}-pinned`)
  return [
    row(
      '1 GiB, every byte touched: C loop / torchmap',
      ratioOf(cell('large', 'bytes', 'mapping'), cell('large', 'bytes', 'torchmap')),
      0.9,
    ),
    row(
      '1 GiB, every CRC-32 verified, one core: C loop / torchmap',
      ratioOf(one('verified', 'mapping'), one('verified', 'torchmap')),
      0.7,
    ),
    row(
      '1 GiB, every CRC-32 verified: `zipfile.testzip()` / torchmap',
      ratioOf(cell('large', 'verified', 'testzip'), cell('large', 'verified', 'torchmap')),
      8,
    ),
    row(
      '1 GiB, every CRC-32 verified, one core: `zipfile.testzip()` / torchmap',
      ratioOf(one('verified', 'testzip'), one('verified', 'torchmap')),
      8,
    ),
  ]
}

function kernels({ cell, value }) {
  const crc = cell('limits', 'crc')
  const size = value('limits', 'bytes')?.crc
  const speed = hasTimes(crc) ? size / 1e6 / medianOf(crc) : undefined
  const share = (dtype, own, base) =>
    ratioOf(cell('conversions', dtype, base), cell('conversions', dtype, own))
  return [
    row('CRC-32 alone, one thread, from memory', speed, 10, { unit: ' GB/s' }),
    ...['bfloat16', 'float16'].flatMap((dtype) => [
      row(
        `\`toFloat32()\` of ${dtype}, one core: share of memcpy, both into fresh memory`,
        share(dtype, 'one', 'fresh'),
        0.7,
      ),
      row(
        `The same of the core alone, both into memory that has its pages`,
        share(dtype, 'core', 'reused'),
        0.7,
      ),
    ]),
  ]
}

function opening({ cell, value }) {
  return [
    row('Memory that opening 8 GiB adds', value('memory', 'torchmap')?.resident, 16, {
      atMost: true,
      unit: ' MiB',
    }),
    row(
      'Names and shapes of 300 tensors: in 8 GiB / in 1 GiB',
      medianOf(cell('growth-bytes', 'growth-8', 'torchmap')) /
        medianOf(cell('growth-bytes', 'growth-1', 'torchmap')),
      1.25,
      { atMost: true },
    ),
  ]
}

/** Where candle or pytorch-reader were not slower than torchmap. */
function ahead({ cell }) {
  const compared = INPUTS.flatMap((input) =>
    CLOCKS.flatMap((clock) =>
      PEERS.map(({ id, label }) => {
        const than = ratioOf(cell(input, clock, id), cell(input, clock, 'torchmap'))
        return { text: `${label}, ${input}, ${clock}: ${than && digits(than)}`, than }
      }),
    ),
  ).filter(({ than }) => than !== undefined)
  const behind = compared.filter(({ than }) => than <= 1)
  if (compared.length === 0)
    return ['candle and pytorch-reader', 'not measured', 'ahead on every row', '-']
  const measured = `ahead on ${compared.length - behind.length} of ${compared.length}`
  const rest = behind.length === 0 ? '' : `; not: ${behind.map(({ text }) => text).join('; ')}`
  return [
    'candle and pytorch-reader / torchmap',
    measured + rest,
    'ahead on every row',
    behind.length === 0 ? 'yes' : 'no',
  ]
}

/** The table of targets, from the tables of a run. */
export function targets(tables) {
  const data = Object.fromEntries(tables.map((table) => [table.id, table.data ?? {}]))
  const value = (id, ...keys) => keys.reduce((at, key) => at?.[key], data[id])
  const cell = value
  const rows = [listing, decoding, bytes, kernels, opening].flatMap((group) =>
    group({ cell, value }),
  )
  rows.push(ahead({ cell }))
  return {
    id: 'targets',
    title: 'Targets',
    about: 'Ratios are medians of the ratios of single rounds. Nothing fails where one is missed.',
    header: ['what', 'measured', 'target', 'met'],
    rows,
  }
}
