// Figures as text, and tables as Markdown.

import { ratio, summary } from './statistics.mjs'

/** Three digits that count, never in powers of ten. */
export function digits(value) {
  if (value === 0) return '0'
  const places = 2 - Math.floor(Math.log10(Math.abs(value)))
  return value.toFixed(Math.min(Math.max(places, 0), 6))
}

/** The samples of a cell, or why there are none. */
export function times(cell) {
  if (cell === undefined) return '-'
  if (cell.absent !== undefined) return `absent: ${cell.absent}`
  if (cell.error !== undefined) return `failed: ${cell.error.slice(0, 120)}`
  if (cell.samples.length === 0) return 'not cold'
  const { median, low, high } = summary(cell.samples.map(({ ms }) => ms))
  const note = cell.note === undefined ? '' : `; ${cell.note}`
  return `${digits(median)} (${digits(low)} to ${digits(high)})${note}`
}

/** Of an earlier run of the process than those that count. */
export const first = (cell) => (cell?.first === undefined ? '-' : digits(cell.first))

/** The cell of the runs that turns begin with. */
export const afterPause = (cell) => cell && { ...cell, samples: cell.resumed ?? [] }

/** The median of those. */
export function resumed(cell) {
  const paused = afterPause(cell)
  return hasTimes(paused) ? digits(medianOf(paused)) : '-'
}

export const hasTimes = (cell) => cell?.samples !== undefined && cell.samples.length > 0

export const medianOf = (cell) =>
  hasTimes(cell) ? summary(cell.samples.map(({ ms }) => ms)).median : undefined

/**
 * Times as long as `base`, of the same rounds where they have some, else of the medians; nothing where one of them has no
 * times.
 */
export const ratioOf = (cell, base) =>
  hasTimes(cell) && hasTimes(base)
    ? (ratio(cell.samples, base.samples) ?? medianOf(cell) / medianOf(base))
    : undefined

export function ratioText(cell, base) {
  const value = ratioOf(cell, base)
  return value === undefined ? '-' : digits(value)
}

/** GB/s (10^9) of `bytes` in each run. */
export function speed(cell, bytes) {
  if (!hasTimes(cell)) return '-'
  return digits(bytes / 1e6 / medianOf(cell))
}

/** Text of a cell of a Markdown table. */
const escaped = (text) => String(text).replaceAll('|', '\\|').replaceAll('\n', ' ')

/** { header, rows } as Markdown; columns after the first are right-aligned where they hold numbers. */
export function markdown({ header, rows }) {
  const line = (cells) => `| ${cells.map(escaped).join(' | ')} |`
  const isNumber = (text) => /^([-\d]|absent|failed)/.test(String(text))
  const alignment = header.map((_, i) =>
    i > 0 && rows.every((row) => isNumber(row[i])) ? '---:' : '---',
  )
  return [line(header), `| ${alignment.join(' | ')} |`, ...rows.map(line)].join('\n')
}

/** One table with its title and what is to be said about it. */
export function section({ title, about, ...table }) {
  return [`### ${title}`, ...(about === undefined ? [] : [about]), markdown(table)].join('\n\n')
}
