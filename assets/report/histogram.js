/** The values of a tensor: how many lie where. */
import { countText, element, realText } from './text.js'

/** @typedef {import('../../lib/zoo/result').ValueStatistics} ValueStatistics */

const CHART_WIDTH = 600
const CHART_HEIGHT = 170

/**
 * @param {string} tag
 * @param {Record<string, string | number>} attributes
 * @param {...Node} children
 */
function svg(tag, attributes, ...children) {
  const node = document.createElementNS('http://www.w3.org/2000/svg', tag)
  for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, String(value))
  node.append(...children)
  return node
}

/**
 * Bars, with their scale and a switch for counting in powers of ten.
 * @param {ValueStatistics} values
 */
export function histogram({ histogram: counts, min = 0, max = 0 }) {
  const total = counts.reduce((sum, count) => sum + count, 0)
  const label = `${countText(total)} values from ${realText(min)} to ${realText(max)}`
  const chart = svg('svg', {
    viewBox: `0 0 ${CHART_WIDTH} ${CHART_HEIGHT}`,
    role: 'img',
    'aria-label': label,
  })
  chart.setAttribute('preserveAspectRatio', 'none')
  const box = element('input', { type: 'checkbox' })
  const draw = () => chart.replaceChildren(...bars(counts, min, max, box.checked))
  box.addEventListener('change', draw)
  draw()
  const scale = element('div', { class: 'scale' }, element('span', {}, realText(min)))
  if (min < 0 && max > 0) {
    const zero = element('span', { class: 'zero' }, '0')
    zero.style.left = `${(100 * -min) / (max - min)}%`
    scale.append(zero)
  }
  scale.append(element('span', {}, realText(max)))
  const most = counts.reduce((largest, count) => Math.max(largest, count), 0)
  const foot = element('p', { class: 'caption' }, `Highest bar: ${countText(most)} `)
  foot.append(element('label', {}, box, ' logarithmic'))
  return element('figure', { class: 'histogram' }, chart, scale, foot)
}

/**
 * @param {readonly number[]} counts
 * @param {number} min
 * @param {number} max
 * @param {boolean} isLogarithmic
 */
function bars(counts, min, max, isLogarithmic) {
  const measure = (/** @type {number} */ count) => (isLogarithmic ? Math.log10(count + 1) : count)
  const most = counts.reduce((largest, count) => Math.max(largest, measure(count)), 0) || 1
  const step = CHART_WIDTH / counts.length
  const nodes = counts.map((count, i) => {
    // What is there can be seen, however little it is.
    const height = count === 0 ? 0 : Math.max((measure(count) / most) * (CHART_HEIGHT - 6), 1.5)
    const from = realText(min + ((max - min) * i) / counts.length)
    const to = realText(min + ((max - min) * (i + 1)) / counts.length)
    const title = svg('title', {})
    title.textContent = `${from} to ${to}: ${countText(count)}`
    const width = Math.max(step - 1, step * 0.8)
    const area = { x: i * step, y: CHART_HEIGHT - height, width, height }
    return svg(
      'g',
      {},
      title,
      svg('rect', { x: i * step, y: 0, width: step, height: CHART_HEIGHT, class: 'hit' }),
      svg('rect', { ...area, class: 'count' }),
    )
  })
  if (min < 0 && max > 0) {
    const x = (CHART_WIDTH * -min) / (max - min)
    nodes.push(svg('line', { x1: x, x2: x, y1: 0, y2: CHART_HEIGHT, class: 'zero' }))
  }
  return nodes
}
