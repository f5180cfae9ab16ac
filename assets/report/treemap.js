/** Sizes as areas: squares as nearly as can be, those that belong together side by side. */
import { countText, element, sizeText } from './text.js'

/**
 * @typedef {object} Item
 * @property {string} name
 * @property {number} bytes
 * @property {string} [tone] a class that gives the colour; without one that of its group
 * @property {string} [short] shown where there is room for it; else the name without its group
 * @property {string} [facts] said beside name and size
 * @property {() => void} [choose]
 */
/**
 * Thousandths of the width, and of the height.
 * @typedef {{ x: number, y: number, width: number, height: number }} Box
 */

const WIDTH = 1000
const HEIGHT = 460
/** What is smaller than the largest so many is one area. */
const SHOWN = 500
/** More groups than these are none. */
const MOST_GROUPS = 40
/** Colours in the style. */
const TONES = 8
/** Of a group's name, in units of the map. */
const HEAD = 30

/**
 * Places each size in the box (squarified treemaps, Bruls, Huizing and van Wijk, 2000): rows are
 * filled along the shorter side as long as that makes their areas squarer.
 * @param {readonly number[]} sizes from the largest
 * @param {Box} box
 * @returns {Box[]}
 */
export function squarify(sizes, box) {
  const total = sizes.reduce((sum, size) => sum + size, 0)
  const scale = total > 0 ? (box.width * box.height) / total : 0
  const areas = sizes.map((size) => size * scale)
  /** @type {Box[]} */
  const boxes = []
  let left = { ...box }
  let first = 0
  while (first < areas.length) {
    const side = Math.max(Math.min(left.width, left.height), 1e-9)
    let sum = areas[first] ?? 0
    let end = first + 1
    while (end < areas.length) {
      const next = sum + (areas[end] ?? 0)
      if (
        worst(areas[first], areas[end], next, side) > worst(areas[first], areas[end - 1], sum, side)
      )
        break
      sum = next
      ++end
    }
    left = placeRow(areas.slice(first, end), sum, left, boxes)
    first = end
  }
  return boxes
}

/**
 * How far from a square the worst of a row is: its largest or its smallest.
 * @param {number | undefined} largest
 * @param {number | undefined} smallest
 * @param {number} sum
 * @param {number} side
 */
function worst(largest = 0, smallest = 0, sum, side) {
  const square = sum * sum
  if (square === 0 || smallest === 0) return Number.POSITIVE_INFINITY
  return Math.max((side * side * largest) / square, square / (side * side * smallest))
}

/**
 * @param {readonly number[]} areas
 * @param {number} sum
 * @param {Box} left
 * @param {Box[]} boxes
 * @returns {Box} what is left
 */
function placeRow(areas, sum, left, boxes) {
  const isUpright = left.width >= left.height
  const side = Math.max(isUpright ? left.height : left.width, 1e-9)
  const depth = sum / side
  let at = 0
  for (const area of areas) {
    const length = depth > 0 ? area / depth : 0
    boxes.push(
      isUpright
        ? { x: left.x, y: left.y + at, width: depth, height: length }
        : { x: left.x + at, y: left.y, width: length, height: depth },
    )
    at += length
  }
  const { x, y, width, height } = left
  return isUpright
    ? { x: x + depth, y, width: width - depth, height }
    : { x, y: y + depth, width, height: height - depth }
}

/**
 * The first levels of names, as many as make a difference; nothing where that is no order.
 * @param {readonly string[]} names
 * @param {string} separator
 * @returns {((name: string) => string) | undefined}
 */
export function grouping(names, separator) {
  const parts = names.map((name) => name.split(separator))
  const deepest = parts.reduce((most, { length }) => Math.max(most, length), 0)
  for (let depth = 1; depth < deepest; ++depth) {
    const groups = new Set(parts.map((each) => each.slice(0, depth).join(separator)))
    if (groups.size > MOST_GROUPS) return undefined
    if (groups.size > 1) return (name) => name.split(separator).slice(0, depth).join(separator)
  }
  return undefined
}

export class Treemap {
  /** @type {{ node: HTMLElement, item: Item }[]} */
  #cells = []
  #at = -1
  /** Bytes of all that is shown. */
  #total = 0
  #map
  #caption = element('p', { class: 'caption' })
  node

  /** @param {string} label */
  constructor(label) {
    this.#map = element('div', {
      class: 'map',
      role: 'listbox',
      'aria-label': label,
      tabindex: '0',
    })
    this.node = element('div', {}, this.#map, this.#caption)
    this.#map.addEventListener('keydown', (event) => this.#key(event))
    this.#map.addEventListener('mouseover', ({ target }) => this.#point(target))
    this.#map.addEventListener('click', ({ target }) => {
      this.#point(target)
      this.#cells[this.#at]?.item.choose?.()
    })
  }

  /**
   * @param {readonly Item[]} items
   * @param {string} separator between the levels of their names
   */
  show(items, separator) {
    this.#cells = []
    this.#at = -1
    this.#map.replaceChildren()
    this.#map.removeAttribute('aria-activedescendant')
    const sorted = items.filter(({ bytes }) => bytes > 0).sort((a, b) => b.bytes - a.bytes)
    const total = sorted.reduce((sum, { bytes }) => sum + bytes, 0)
    this.#caption.textContent = `${countText(items.length)} of ${sizeText(total)}`
    const kept = sorted.slice(0, SHOWN)
    const rest = sorted.slice(SHOWN)
    if (rest.length > 0) {
      const bytes = rest.reduce((sum, item) => sum + item.bytes, 0)
      kept.push({ name: `${countText(rest.length)} smaller ones`, bytes, tone: 'rest' })
    }
    const named = kept.slice(0, SHOWN).map(({ name }) => name)
    this.#place(kept, grouping(named, separator), rest.length > 0)
    this.#total = total
  }

  /**
   * @param {Item[]} items
   * @param {((name: string) => string) | undefined} groupOf
   * @param {boolean} hasRest whether the last is no item of its own
   */
  #place(items, groupOf, hasRest) {
    const box = { x: 0, y: 0, width: WIDTH, height: HEIGHT }
    if (groupOf === undefined) return this.#fill(items, box)
    /** @type {Map<string, Item[]>} */
    const groups = new Map()
    items.forEach((item, i) => {
      const name = hasRest && i === items.length - 1 ? '' : groupOf(item.name)
      const group = groups.get(name)
      if (group === undefined) groups.set(name, [item])
      else group.push(item)
    })
    const sums = [...groups].map(([name, members]) => {
      return { name, members, bytes: members.reduce((sum, { bytes }) => sum + bytes, 0) }
    })
    sums.sort((a, b) => b.bytes - a.bytes)
    const sizes = sums.map(({ bytes }) => bytes)
    squarify(sizes, box).forEach((outer, i) => {
      const { name, members } = /** @type {(typeof sums)[number]} */ (sums[i])
      const inner = this.#head(name, members, outer)
      // What the head says need not be said again.
      const prefix = inner === outer ? '' : name
      this.#fill(members, inner, i % TONES, prefix)
    })
  }

  /**
   * The name of a group where there is room for it.
   * @param {string} name
   * @param {readonly Item[]} members
   * @param {Box} box
   * @returns {Box} what is left
   */
  #head(name, members, box) {
    if (members.length < 2 || box.width < 90 || box.height < 3 * HEAD) return box
    const head = element('div', { class: 'group', 'aria-hidden': 'true' }, name)
    place(head, { ...box, height: HEAD })
    this.#map.append(head)
    return { ...box, y: box.y + HEAD, height: box.height - HEAD }
  }

  /**
   * @param {readonly Item[]} items
   * @param {Box} box
   * @param {number} [tone] of those that have none
   * @param {string} [prefix] of names, not shown
   */
  #fill(items, box, tone = 0, prefix = '') {
    const sizes = items.map(({ bytes }) => bytes)
    squarify(sizes, box).forEach((inner, i) => {
      const item = /** @type {Item} */ (items[i])
      const node = element('div', { class: `cell ${item.tone ?? ''}`, role: 'option' })
      if (item.tone === undefined) node.style.background = `var(--tone-${tone})`
      node.setAttribute('aria-label', `${item.name}, ${sizeText(item.bytes)}`)
      node.dataset.at = String(this.#cells.length)
      if (inner.width > 70 && inner.height > 32) {
        const isInside = prefix !== '' && item.name.length > prefix.length + 1
        const rest = item.name.slice(isInside ? prefix.length + 1 : 0)
        node.append(element('span', {}, item.short ?? rest))
        if (inner.height > 60) node.append(element('small', {}, sizeText(item.bytes)))
      }
      place(node, inner)
      this.#cells.push({ node, item })
      this.#map.append(node)
    })
  }

  /** @param {EventTarget | null} target */
  #point(target) {
    const cell = /** @type {Element | null} */ (target)?.closest('.cell')
    if (cell instanceof HTMLElement) this.#go(Number(cell.dataset.at))
  }

  /** @param {number} at */
  #go(at) {
    const cell = this.#cells[at]
    if (cell === undefined) return
    this.#cells[this.#at]?.node.removeAttribute('id')
    this.#cells[this.#at]?.node.setAttribute('aria-selected', 'false')
    this.#at = at
    // One at a time has an id: the map says which.
    cell.node.id = `${this.#map.getAttribute('aria-label')}-cell`.replace(/\W+/g, '-')
    cell.node.setAttribute('aria-selected', 'true')
    this.#map.setAttribute('aria-activedescendant', cell.node.id)
    const { name, bytes, facts } = cell.item
    const share = `${((100 * bytes) / (this.#total || 1)).toFixed(1)} %`
    const texts = [name, facts ?? '', `${sizeText(bytes)} (${share})`]
    this.#caption.replaceChildren(element('span', {}, texts.filter(Boolean).join(' \u00b7 ')))
  }

  /** @param {KeyboardEvent} event */
  #key(event) {
    /** @type {Record<string, number>} */
    const places = {
      ArrowRight: this.#at + 1,
      ArrowDown: this.#at + 1,
      ArrowLeft: this.#at - 1,
      ArrowUp: this.#at - 1,
      Home: 0,
      End: this.#cells.length - 1,
    }
    const place = places[event.key]
    if (place !== undefined) this.#go(Math.min(Math.max(place, 0), this.#cells.length - 1))
    else if (event.key === 'Enter' || event.key === ' ') this.#cells[this.#at]?.item.choose?.()
    else return
    event.preventDefault()
  }
}

/**
 * @param {HTMLElement} node
 * @param {Box} box
 */
function place(node, { x, y, width, height }) {
  node.style.left = `${(100 * x) / WIDTH}%`
  node.style.top = `${(100 * y) / HEIGHT}%`
  node.style.width = `${(100 * width) / WIDTH}%`
  node.style.height = `${(100 * height) / HEIGHT}%`
}
