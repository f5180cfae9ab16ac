/** A table of very many rows, of which only those that can be seen are elements. */
import { countText, element } from './text.js'

/** Pixels; the style says the same. */
const ROW_HEIGHT = 30
/** Rows that are made above and below those that can be seen. */
const MARGIN = 8

/**
 * @template Row
 * @typedef {object} Column
 * @property {string} title
 * @property {(row: Row) => string | number} value what rows are sorted by
 * @property {(row: Row) => Node | string} [cell] by default the value
 * @property {string} width
 * @property {boolean} [isNumber] to the right, and sorted from the largest first
 * @property {boolean} [isExtra] left out where there is little room
 */

let lists = 0

/** @template Row */
export class List {
  /** @type {readonly Row[]} */
  #all = []
  /** @type {Row[]} */
  #rows = []
  /** @type {(row: Row) => boolean} */
  #fits = () => true
  /** @type {Column<Row> | undefined} */
  #sorted
  #direction = 1
  /** @type {Row | undefined} */
  #chosen
  /** When it was last drawn; 0 before it is part of the page. */
  #height = 0
  #columns
  #choose
  #id = `list-${lists++}`
  #above = element('tr', { 'aria-hidden': 'true' })
  #below = element('tr', { 'aria-hidden': 'true' })
  #body = element('tbody')
  #table
  /** @type {HTMLTableCellElement[]} */
  #heads = []
  node

  /**
   * @param {string} label
   * @param {readonly Column<Row>[]} columns
   * @param {(row: Row) => void} choose
   */
  constructor(label, columns, choose) {
    this.#columns = columns
    this.#choose = choose
    const widths = columns.map((column) => {
      return element('col', { class: `w-${column.width} ${classOf(column)}` })
    })
    const head = element('tr', { 'aria-rowindex': '1' })
    for (const column of columns) {
      const name = element('button', { type: 'button', tabindex: '0' }, column.title)
      name.addEventListener('click', () => this.sort(column.title))
      const cell = element('th', { scope: 'col', class: classOf(column) }, name)
      this.#heads.push(cell)
      head.append(cell)
    }
    this.#table = element(
      'table',
      { role: 'grid', 'aria-label': label, tabindex: '0' },
      element('colgroup', {}, ...widths),
      element('thead', {}, head),
      this.#body,
    )
    this.node = element('div', { class: 'list' }, this.#table)
    this.node.addEventListener('scroll', () => this.#draw(), { passive: true })
    new ResizeObserver(() => this.#resize()).observe(this.node)
    this.#table.addEventListener('keydown', (event) => this.#key(event))
    this.#body.addEventListener('click', ({ target }) => {
      const line = /** @type {Element} */ (target).closest('tr[data-at]')
      if (line instanceof HTMLElement) this.#chooseAt(Number(line.dataset.at))
    })
  }

  /** What is shown now, in its order. */
  get rows() {
    return this.#rows
  }

  /** @param {readonly Row[]} rows */
  show(rows) {
    this.#all = rows
    this.#arrange()
  }

  /** @param {(row: Row) => boolean} fits */
  filter(fits) {
    this.#fits = fits
    this.node.scrollTop = 0
    this.#arrange()
  }

  /**
   * By a column; a second time the other way round.
   * @param {string} title
   */
  sort(title) {
    const column = this.#columns.find((each) => each.title === title)
    if (column === undefined) return
    const first = column.isNumber ? -1 : 1
    this.#direction = this.#sorted === column ? -this.#direction : first
    this.#sorted = column
    this.node.scrollTop = 0
    this.#arrange()
  }

  /**
   * Marks a row as chosen, and brings it into sight.
   * @param {Row} row
   */
  mark(row) {
    this.#chosen = row
    const at = this.#rows.indexOf(row)
    if (at >= 0) this.#bring(at)
    this.#draw()
  }

  /** @param {number} at */
  #chooseAt(at) {
    const row = this.#rows[Math.min(Math.max(at, 0), this.#rows.length - 1)]
    if (row === undefined) return
    this.mark(row)
    this.#choose(row)
  }

  /** @param {KeyboardEvent} event */
  #key(event) {
    if (event.target !== this.#table) return
    const page = Math.max(Math.floor(this.node.clientHeight / ROW_HEIGHT) - 2, 1)
    const at = this.#chosen === undefined ? -1 : this.#rows.indexOf(this.#chosen)
    /** @type {Record<string, number>} */
    const places = {
      ArrowDown: at + 1,
      ArrowUp: at - 1,
      PageDown: at + page,
      PageUp: at - page,
      Home: 0,
      End: this.#rows.length - 1,
    }
    const place = places[event.key]
    if (place === undefined) return
    event.preventDefault()
    this.#chooseAt(place)
  }

  /** Rows can be made and chosen before the table is part of the page. */
  #resize() {
    if (this.#height === 0 && this.#chosen !== undefined) this.mark(this.#chosen)
    this.#height = this.node.clientHeight
    this.#draw()
  }

  /** @param {number} at */
  #bring(at) {
    const top = at * ROW_HEIGHT
    // The heads stand in front of one row.
    const height = this.node.clientHeight - ROW_HEIGHT
    if (top < this.node.scrollTop) this.node.scrollTop = top
    else if (top + ROW_HEIGHT > this.node.scrollTop + height)
      this.node.scrollTop = top + ROW_HEIGHT - height
  }

  #arrange() {
    this.#rows = this.#all.filter(this.#fits)
    const column = this.#sorted
    if (column !== undefined) {
      const keyed = this.#rows.map((row) => ({ row, key: column.value(row) }))
      keyed.sort((a, b) => this.#direction * compare(a.key, b.key))
      this.#rows = keyed.map(({ row }) => row)
    }
    this.#columns.forEach((each, i) => {
      const way = this.#direction > 0 ? 'ascending' : 'descending'
      this.#heads[i]?.setAttribute('aria-sort', each === column ? way : 'none')
    })
    this.#table.setAttribute('aria-rowcount', String(this.#rows.length + 1))
    this.#draw()
  }

  #draw() {
    const height = this.node.clientHeight || 600
    const first = Math.max(Math.floor(this.node.scrollTop / ROW_HEIGHT) - MARGIN, 0)
    const count = Math.ceil(height / ROW_HEIGHT) + 2 * MARGIN
    const shown = this.#rows.slice(first, first + count)
    this.#above.style.height = `${first * ROW_HEIGHT}px`
    this.#below.style.height = `${(this.#rows.length - first - shown.length) * ROW_HEIGHT}px`
    const lines = shown.map((row, i) => this.#line(row, first + i))
    if (this.#rows.length === 0) lines.push(this.#nothing())
    this.#body.replaceChildren(this.#above, ...lines, this.#below)
    const chosen = this.#body.querySelector('[aria-selected=true]')
    if (chosen) this.#table.setAttribute('aria-activedescendant', chosen.id)
    else this.#table.removeAttribute('aria-activedescendant')
  }

  #nothing() {
    const cell = element('td', { colspan: String(this.#columns.length) }, 'No row fits.')
    return element('tr', {}, cell)
  }

  /**
   * @param {Row} row
   * @param {number} at
   */
  #line(row, at) {
    const cells = this.#columns.map((column) => {
      const content = column.cell?.(row) ?? plain(column.value(row))
      const node = element('td', { class: classOf(column) }, content)
      node.title = node.textContent ?? ''
      return node
    })
    const attributes = {
      id: `${this.#id}-${at}`,
      'data-at': String(at),
      'aria-rowindex': String(at + 2),
      'aria-selected': String(row === this.#chosen),
    }
    return element('tr', attributes, ...cells)
  }
}

/** @param {{ isNumber?: boolean, isExtra?: boolean }} column */
const classOf = ({ isNumber, isExtra }) => `${isNumber ? 'number' : ''} ${isExtra ? 'extra' : ''}`

/** @param {string | number} value */
const plain = (value) => (typeof value === 'number' ? countText(value) : value)

const ORDER = new Intl.Collator('en', { numeric: true })

/**
 * @param {string | number} a
 * @param {string | number} b
 */
function compare(a, b) {
  return typeof a === 'number' && typeof b === 'number' ? a - b : ORDER.compare(`${a}`, `${b}`)
}
