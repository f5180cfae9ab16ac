// What the charts show of a run.

import { barChart, lineChart } from './chart.mjs'
import { LOADERS } from './contestants.mjs'
import { digits, hasTimes, medianOf, ratioOf } from './table.mjs'

const PANELS = [
  ['tensors-10000', 'names', 'Names and shapes of 10,000 tensors'],
  ['tensors-100000', 'names', 'Names and shapes of 100,000 tensors'],
  ['large', 'names', 'Names and shapes of 1 GiB in 300 tensors'],
  ['large', 'bytes', '1 GiB, every byte read'],
  ['large', 'verified', '1 GiB, every CRC-32 compared'],
]
const LEFT_OUT = new Set(['torchmap-safetensors', 'safetensors-load-file'])

const plain = (label) => label.replaceAll('`', '')

/** Names and values of one clock, the quickest first. */
function rowsOf(cells) {
  return LOADERS.filter(({ id }) => !LEFT_OUT.has(id) && hasTimes(cells[id]))
    .map(({ id, label }) => {
      const than = ratioOf(cells[id], cells.torchmap)
      const isOwn = id === 'torchmap'
      const value = medianOf(cells[id])
      const times = isOwn || than === undefined ? '' : `, ${digits(than)}x`
      return { name: plain(label), value, text: `${digits(value)} ms${times}`, isOwn }
    })
    .sort((a, b) => a.value - b.value)
}

/** The chart README shows: less is better. */
export function resultsChart(tables) {
  const data = Object.fromEntries(tables.map((table) => [table.id, table.data]))
  const panels = PANELS.filter(([id]) => data[id] !== undefined).map(([id, clock, title]) => ({
    title,
    unit: 'ms',
    rows: rowsOf(data[id][clock]),
  }))
  return barChart('Milliseconds, less is better; warm page cache', panels)
}

function panelOf(table, title, unit) {
  if (table === undefined) return { title, unit, at: [], series: [] }
  const places = Object.keys(table.data).map((input) => [input, Number(input.split('-')[1])])
  const ids = [...new Set(places.flatMap(([input]) => Object.keys(table.data[input])))]
  const series = ids.map((id) => ({
    name: plain(LOADERS.find((loader) => loader.id === id)?.label ?? id),
    values: places
      .filter(([input]) => hasTimes(table.data[input][id]))
      .map(([input, place]) => [place, medianOf(table.data[input][id])]),
  }))
  return {
    title,
    unit,
    at: places.map(([, place]) => place),
    series: series.filter(({ values }) => values.length > 0),
  }
}

export function growthChart(tables) {
  const by = (id) => tables.find((table) => table.id === id)
  return lineChart('Opening: names and shapes of all tensors', [
    panelOf(by('growth-bytes'), '300 tensors, ever larger files', ' GiB'),
    panelOf(by('growth-tensors'), 'ever more tensors', ''),
  ])
}
