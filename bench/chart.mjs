// Charts as SVG text: bars and lines, readable on light and dark pages, without fonts, scripts or anything from elsewhere.

const WIDTH = 860
const LEFT = 320
const RIGHT = 90
const BAR = 16
const STEP = 22

const STYLE = `
    svg { font: 13px system-ui, sans-serif; color-scheme: light dark; }
    .paper { fill: #ffffff; } .ink { fill: #1f2328; } .dim { fill: #59636e; } .title { font-weight: 600; }
    .grid { stroke: #d1d9e0; } .own { fill: #1a7f37; stroke: #1a7f37; } .peer { fill: #6e7781; stroke: #6e7781; }
    .other1 { fill: #0969da; stroke: #0969da; } .other2 { fill: #bc4c00; stroke: #bc4c00; }
    .other3 { fill: #8250df; stroke: #8250df; } .line { fill: none; stroke-width: 2; }
    @media (prefers-color-scheme: dark) {
      .paper { fill: #0d1117; } .ink { fill: #f0f6fc; } .dim { fill: #9198a1; } .grid { stroke: #3d444d; }
      .own { fill: #3fb950; stroke: #3fb950; } .peer { fill: #848d97; stroke: #848d97; }
      .other1 { fill: #4493f8; stroke: #4493f8; } .other2 { fill: #f0883e; stroke: #f0883e; }
      .other3 { fill: #ab7df8; stroke: #ab7df8; }
    }`

export const escaped = (text) =>
  String(text).replace(
    /[&<>"]/g,
    (c) => ({ '&': '&amp;', '<': '&lt;', '>': '&gt;', '"': '&quot;' })[c],
  )

const round = (number) => Math.round(number * 10) / 10

function label(x, y, text, { kind = 'ink', anchor = 'start' } = {}) {
  return `<text x="${round(x)}" y="${round(y)}" class="${kind}" text-anchor="${anchor}">${escaped(text)}</text>`
}

const rule = (x1, y1, x2, y2) =>
  `<line x1="${round(x1)}" y1="${round(y1)}" x2="${round(x2)}" y2="${round(y2)}" class="grid"/>`

function page(height, title, parts) {
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${height}" width="${WIDTH}" height="${height}" role="img">`,
    `<title>${escaped(title)}</title>`,
    `<style>${STYLE}\n</style>`,
    `<rect class="paper" width="${WIDTH}" height="${height}"/>`,
    ...parts,
    '</svg>',
    '',
  ].join('\n')
}

/** Powers of ten around the values, as positions between 0 and 1. */
function decades(values) {
  const low = Math.floor(Math.log10(Math.min(...values)))
  const high = Math.max(Math.ceil(Math.log10(Math.max(...values))), low + 1)
  const at = (value) => (Math.log10(value) - low) / (high - low)
  return { at, ticks: Array.from({ length: high - low + 1 }, (_, i) => 10 ** (low + i)) }
}

/** From 0 on, for values that are not far apart: the same as {@link decades}. */
function proportions(values) {
  const most = Math.max(...values)
  const rough = 10 ** Math.floor(Math.log10(most / 4))
  const step = rough * [1, 2, 5, 10].find((factor) => most / (rough * factor) <= 6)
  const count = Math.ceil(most / step)
  const ticks = Array.from({ length: count + 1 }, (_, i) => Number((i * step).toPrecision(6)))
  return { at: (value) => value / (count * step), ticks }
}

/** Bars as long as their values where all of them can be seen then. */
const FAR_APART = 20
function scaleOf(values) {
  return Math.max(...values) < FAR_APART * Math.min(...values)
    ? proportions(values)
    : decades(values)
}

const tickText = (value) =>
  value >= 1 || value === 0 ? value.toLocaleString('en') : String(Number(value.toPrecision(1)))

/** One panel of horizontal bars from `top` on, on a scale of powers of ten where one needs it; { parts, bottom }. */
function bars({ title, unit, rows }, top) {
  const { at, ticks } = scaleOf(rows.map(({ value }) => value))
  const x = (value) => LEFT + at(value) * (WIDTH - LEFT - RIGHT)
  const start = top + 32
  const bottom = start + rows.length * STEP
  const parts = [label(16, top + 14, title, { kind: 'ink title' })]
  for (const tick of ticks) {
    parts.push(rule(x(tick), start - 4, x(tick), bottom))
    parts.push(
      label(x(tick), bottom + 14, `${tickText(tick)} ${unit}`, { kind: 'dim', anchor: 'middle' }),
    )
  }
  for (const [i, { name, value, text, isOwn }] of rows.entries()) {
    const y = start + i * STEP
    const width = Math.max(x(value) - LEFT, 2)
    parts.push(label(LEFT - 8, y + 12, name, { kind: isOwn ? 'ink title' : 'ink', anchor: 'end' }))
    parts.push(
      `<rect x="${LEFT}" y="${y}" width="${round(width)}" height="${BAR}" class="${isOwn ? 'own' : 'peer'}"/>`,
    )
    parts.push(label(LEFT + width + 6, y + 12, text, { kind: 'dim' }))
  }
  return { parts, bottom: bottom + 34 }
}

/** Panels [{ title, unit, rows: [{ name, value, text, isOwn }] }] below each other; values are above 0. */
export function barChart(title, panels) {
  const parts = [label(16, 26, title, { kind: 'ink title' })]
  let top = 42
  for (const panel of panels.filter(({ rows }) => rows.length > 0)) {
    const drawn = bars(panel, top)
    parts.push(...drawn.parts)
    top = drawn.bottom
  }
  return page(top, title, parts)
}

const LINE_HEIGHT = 240
const KINDS = ['own', 'other1', 'other2', 'other3', 'peer']

/** One panel of lines, both scales in powers of two and ten, beside others; { parts }. */
function lines({ title, unit, at: places, series }, left, width, top) {
  const { at, ticks } = decades(series.flatMap(({ values }) => values.map(([, value]) => value)))
  const [low, high] = [Math.log(places[0]), Math.log(places.at(-1))]
  const inner = {
    left: left + 68,
    right: left + width - 20,
    top: top + 34,
    bottom: top + LINE_HEIGHT,
  }
  const x = (value) =>
    inner.left +
    (high === low ? 0 : (Math.log(value) - low) / (high - low)) * (inner.right - inner.left)
  const y = (value) => inner.bottom - at(value) * (inner.bottom - inner.top)
  const parts = [label(left + 8, top + 14, title, { kind: 'ink title' })]
  for (const tick of ticks) {
    parts.push(rule(inner.left, y(tick), inner.right, y(tick)))
    parts.push(
      label(inner.left - 6, y(tick) + 4, `${tickText(tick)} ms`, { kind: 'dim', anchor: 'end' }),
    )
  }
  for (const place of places) {
    const text = `${place.toLocaleString('en')}${unit}`
    parts.push(label(x(place), inner.bottom + 18, text, { kind: 'dim', anchor: 'middle' }))
  }
  for (const { kind, values } of series) {
    const points = values.map(([place, value]) => `${round(x(place))},${round(y(value))}`)
    parts.push(`<polyline class="${kind} line" style="fill:none" points="${points.join(' ')}"/>`)
    for (const point of points) {
      const [cx, cy] = point.split(',')
      parts.push(`<circle class="${kind}" cx="${cx}" cy="${cy}" r="3"/>`)
    }
  }
  return parts
}

/** Panels [{ title, unit, at, series: [{ name, values: [[place, milliseconds]] }] }] beside each other, one legend. */
export function lineChart(title, panels) {
  const shown = panels.filter(({ series, at }) => series.length > 0 && at.length > 0)
  const names = [...new Set(shown.flatMap(({ series }) => series.map(({ name }) => name)))]
  const kindOf = (name) => KINDS[Math.min(names.indexOf(name), KINDS.length - 1)]
  const parts = [label(16, 26, title, { kind: 'ink title' })]
  const width = (WIDTH - 16) / Math.max(shown.length, 1)
  for (const [i, panel] of shown.entries()) {
    const series = panel.series.map((line) => ({ ...line, kind: kindOf(line.name) }))
    parts.push(...lines({ ...panel, series }, 8 + i * width, width, 42))
  }
  const bottom = 42 + LINE_HEIGHT + 44
  for (const [i, name] of names.entries()) {
    const left = 24 + i * ((WIDTH - 32) / names.length)
    parts.push(
      `<rect class="${kindOf(name)}" x="${round(left)}" y="${bottom - 10}" width="12" height="12"/>`,
    )
    parts.push(label(left + 18, bottom, name))
  }
  return page(bottom + 20, title, parts)
}
