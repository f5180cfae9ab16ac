/** The page: what it all comes to, the table of models, and which of them is looked at. */
import { List } from './list.js'
import { showModel } from './model.js'
import { bringModel } from './tensors.js'
import { badge, button, byId, countText, element, sizeText, timeText } from './text.js'
import { Treemap } from './treemap.js'

/** @typedef {import('../../lib/zoo/result').Result} Result */
/** @typedef {import('../../lib/zoo/summary').Summary} Summary */
/** @typedef {{ number: number, model: Omit<Result, 'details'>, text: string }} Row */
/** @typedef {{ version: string, began: string, summary: Summary, titles: Record<string, string> }} Run */
/** @typedef {'status' | 'integrity' | 'safety'} Kind */

const WORST_FIRST = ['error', 'warning', 'ok']
const KINDS = /** @type {const} */ ({
  status: 'Status',
  integrity: 'Checksums',
  safety: 'Safety',
})

/** @returns {Row[]} */
function readRows() {
  /** @type {Row[]} */
  const rows = []
  for (;;) {
    const number = rows.length
    const block = document.getElementById(`model-${number}`)
    if (block === null) return rows
    /** @type {Result} */
    const model = JSON.parse(block.textContent ?? '')
    const { path, format, flavor, producer, findings } = model
    const rules = new Set(findings.map(({ rule }) => rule))
    const text = [path, format, flavor, producer, ...rules].join(' ').toLowerCase()
    rows.push({ number, model, text })
    block.remove()
  }
}

/** @type {import('./list.js').Column<Row>[]} */
const MODEL_COLUMNS = [
  {
    title: 'Status',
    value: ({ model }) => WORST_FIRST.indexOf(model.status),
    cell: ({ model }) => badge(model.status),
    width: 'word',
  },
  {
    title: 'Model',
    value: ({ model }) => model.path,
    cell: ({ model }) => pathCell(model.path),
    width: 'rest',
  },
  {
    title: 'Format',
    value: ({ model }) => kindText(model),
    width: 'kind',
    isExtra: true,
  },
  {
    title: 'Safety',
    value: ({ model }) => ['dangerous', 'incomplete', 'needs-review', 'safe'].indexOf(model.safety),
    cell: ({ model }) => badge(model.safety),
    width: 'badge',
  },
  {
    title: 'Checksums',
    value: ({ model }) => model.integrity,
    cell: ({ model }) => badge(model.integrity),
    width: 'badge',
  },
  {
    title: 'Tensors',
    value: ({ model }) => model.tensors,
    width: 'size',
    isNumber: true,
    isExtra: true,
  },
  {
    title: 'Size',
    value: ({ model }) => model.bytes,
    cell: ({ model }) => sizeText(model.bytes),
    width: 'size',
    isNumber: true,
  },
  { title: 'Findings', value: ({ model }) => model.findings.length, width: 'size', isNumber: true },
]

/** @param {Omit<Result, 'details'>} model */
const kindText = ({ format, flavor }) =>
  [format, flavor === format ? undefined : flavor].filter(Boolean).join(' ')

/** The file's own name is what stays to be seen: folders give way. @param {string} path */
function pathCell(path) {
  const at = path.lastIndexOf('/') + 1
  const folder = element('span', { class: 'folder' }, path.slice(0, at))
  return element('span', { class: 'path' }, folder, element('span', {}, path.slice(at)))
}

const rows = readRows()
/** @type {Run} */
const run = JSON.parse(byId('run').textContent ?? '')
/** @type {Record<Kind, Set<string>>} */
const chosen = { status: new Set(), integrity: new Set(), safety: new Set() }
const find = /** @type {HTMLInputElement} */ (byId('find'))
const list = new List('Models', MODEL_COLUMNS, choose)
const map = new Treemap('Sizes of the models')

/** @param {Row} row */
function choose(row) {
  list.mark(row)
  showModel(row.model, row.number, run.titles)
  bringModel()
}

function filter() {
  const words = find.value.toLowerCase().split(/\s+/).filter(Boolean)
  const kinds = /** @type {Kind[]} */ (Object.keys(KINDS))
  const isFiltered = words.length > 0 || kinds.some((kind) => chosen[kind].size > 0)
  list.filter(
    ({ model, text }) =>
      words.every((word) => text.includes(word)) &&
      kinds.every((kind) => chosen[kind].size === 0 || chosen[kind].has(model[kind])),
  )
  byId('count').textContent = `${countText(list.rows.length)} of ${countText(rows.length)} models`
  byId('all').hidden = !isFiltered
  const items = list.rows.map((row) => ({
    name: row.model.path,
    short: row.model.path.slice(row.model.path.lastIndexOf('/') + 1),
    bytes: row.model.bytes,
    tone: row.model.status,
    facts: kindText(row.model),
    choose: () => choose(row),
  }))
  map.show(items, '/')
}

/** What all models together are of one kind: a bar, and a switch for each word of it. */
function card(/** @type {Kind} */ kind) {
  const counts = Object.entries(run.summary[kind]).filter(([, count]) => count > 0)
  const bar = element('div', { class: 'share', 'aria-hidden': 'true' })
  const chips = element('div', { class: 'chips', role: 'group', 'aria-label': KINDS[kind] })
  for (const [word, count] of counts) {
    const part = element('div', { class: word })
    part.style.flexGrow = String(count)
    bar.append(part)
    const chip = button('', () => toggle(), { class: `chip ${word}`, 'aria-pressed': 'false' })
    chip.append(element('b', {}, countText(count)), ` ${word}`)
    const toggle = () => {
      const isOn = !chosen[kind].delete(word)
      if (isOn) chosen[kind].add(word)
      chip.setAttribute('aria-pressed', String(isOn))
      filter()
    }
    chips.append(chip)
  }
  return element('div', { class: 'card' }, element('h2', {}, KINDS[kind]), bar, chips)
}

function showAll() {
  find.value = ''
  for (const words of Object.values(chosen)) words.clear()
  for (const chip of document.querySelectorAll('.chip')) chip.setAttribute('aria-pressed', 'false')
  filter()
  find.focus()
}

function start() {
  const { models, tensors, bytes, ms, bytesPerSecond, findings } = run.summary
  const pace = bytesPerSecond > 0 ? `, ${sizeText(bytesPerSecond)}/s` : ''
  const when = new Date(run.began).toLocaleString('en-GB', {
    dateStyle: 'long',
    timeStyle: 'short',
  })
  byId('totals').replaceChildren(
    ...[
      [countText(models), models === 1 ? 'model' : 'models'],
      [countText(tensors), 'tensors'],
      [sizeText(bytes), ''],
      [countText(findings.error + findings.warning + findings.info), 'findings'],
    ].map(([number = '', word = '']) =>
      element('span', {}, element('b', {}, number), word && ` ${word}`),
    ),
    element('span', { class: 'when' }, `${when}, ${timeText(ms)}${pace}, torchmap ${run.version}`),
  )
  byId('overview').append(card('status'), card('safety'), card('integrity'))
  byId('table').append(list.node)
  byId('sizes').append(map.node)
  find.addEventListener('input', filter)
  byId('all').addEventListener('click', showAll)
  list.show(rows)
  list.sort('Status')
  filter()
  const [first] = list.rows
  if (first !== undefined) {
    list.mark(first)
    showModel(first.model, first.number, run.titles)
  }
}

start()
