/** The tensors of the chosen model: their sizes, their table, and the values of one of them. */
import { histogram } from './histogram.js'
import { List } from './list.js'
import { byId, countText, element, realText, sizeText } from './text.js'
import { Treemap } from './treemap.js'

/** @typedef {import('../../lib/zoo/result').TensorDetail} TensorDetail */

/** @param {TensorDetail} tensor */
const shapeText = ({ shape }) => `[${shape.join(', ')}]`

/** @param {TensorDetail} tensor */
const elementsOf = ({ shape }) => shape.reduce((product, size) => product * size, 1)

/** @type {import('./list.js').Column<TensorDetail>[]} */
const TENSOR_COLUMNS = [
  { title: 'Tensor', value: ({ name }) => name, cell: ({ name }) => name, width: 'rest' },
  { title: 'dtype', value: ({ dtype }) => dtype, width: 'word' },
  { title: 'Shape', value: elementsOf, cell: shapeText, width: 'shape', isNumber: true },
  {
    title: 'Size',
    value: ({ bytes }) => bytes,
    cell: ({ bytes }) => sizeText(bytes),
    width: 'size',
    isNumber: true,
  },
]

/**
 * Reads the block of a model, if it has one.
 * @param {number} number
 * @returns {TensorDetail[]}
 */
export function tensorsOf(number) {
  const block = document.getElementById(`tensors-${number}`)
  return block === null ? [] : JSON.parse(block.textContent ?? '[]')
}

/** @param {readonly TensorDetail[]} tensors */
export function tensorSection(tensors) {
  const one = element('section', {
    id: 'tensor',
    'aria-live': 'polite',
    'aria-label': 'The chosen tensor',
  })
  /** @param {TensorDetail} tensor */
  const choose = (tensor) => {
    list.mark(tensor)
    showTensor(one, tensor)
    one.scrollIntoView({ block: 'nearest' })
  }
  const list = new List('Tensors', TENSOR_COLUMNS, choose)
  const map = new Treemap('Sizes of the tensors')
  map.show(
    tensors.map((tensor) => ({
      name: tensor.name,
      bytes: tensor.bytes,
      facts: `${tensor.dtype} ${shapeText(tensor)}`,
      choose: () => choose(tensor),
    })),
    '.',
  )
  const find = element('input', { type: 'search', placeholder: 'name or dtype', id: 'find-tensor' })
  find.addEventListener('input', () => {
    const words = find.value.toLowerCase().split(/\s+/)
    list.filter(({ name, dtype }) => {
      const text = `${name} ${dtype}`.toLowerCase()
      return words.every((word) => text.includes(word))
    })
    count.textContent = `${countText(list.rows.length)} of ${countText(tensors.length)}`
  })
  const count = element(
    'output',
    {},
    `${countText(tensors.length)} of ${countText(tensors.length)}`,
  )
  list.show(tensors)
  const [first, ...others] = tensors
  if (first !== undefined) {
    const largest = others.reduce((most, each) => (each.bytes > most.bytes ? each : most), first)
    list.mark(largest)
    showTensor(one, largest)
  }
  const bar = element('div', { class: 'bar' }, element('label', {}, 'Find ', find), count)
  return element('div', { id: 'tensors' }, map.node, bar, list.node, one)
}

/**
 * @param {HTMLElement} node
 * @param {TensorDetail} tensor
 */
function showTensor(node, tensor) {
  const { name, dtype, bytes, digest, values } = tensor
  node.replaceChildren(
    element('h4', {}, name),
    element('p', { class: 'facts' }, `${dtype} ${shapeText(tensor)} \u00b7 ${sizeText(bytes)}`),
  )
  if (values === undefined) {
    node.append(element('p', { class: 'caption' }, 'Its values were not looked at.'))
  } else {
    if (values.histogram.length > 0) node.append(histogram(values))
    const { min, max, mean, nan, infinite, zero } = values
    const rows = [
      ['min', realText(min)],
      ['max', realText(max)],
      ['mean', realText(mean)],
      ['NaN', countText(nan)],
      ['infinite', countText(infinite)],
      ['zero', countText(zero)],
    ]
    node.append(facts(rows.filter(([, value]) => value !== '')))
  }
  if (digest !== undefined) node.append(element('p', { class: 'digest' }, `SHA-256 ${digest}`))
}

/** @param {readonly string[][]} rows */
export function facts(rows) {
  const pairs = rows.map(([name = '', value = '']) =>
    element('div', {}, element('dt', {}, name), element('dd', {}, value)),
  )
  return element('dl', {}, ...pairs)
}

/** Brings the panel into sight where it lies below. */
export const bringModel = () => byId('model').scrollIntoView({ block: 'nearest' })
