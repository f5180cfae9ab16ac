/** Elements, and what people read in them. Names come from files and are only ever text. */

// As lib/printable.ts has it.
// biome-ignore lint/suspicious/noControlCharactersInRegex: these are what it looks for
const UNPRINTABLE = /[\x00-\x1f\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff]/g

/**
 * The text with what would change the direction of writing, or cannot be seen, as escapes.
 * @param {string} text
 */
export function printable(text) {
  return text.replace(UNPRINTABLE, (character) => {
    const code = character.charCodeAt(0)
    return code < 0x100
      ? `\\x${code.toString(16).padStart(2, '0')}`
      : `\\u${code.toString(16).padStart(4, '0')}`
  })
}

/**
 * An element; strings among its children become text.
 * @template {keyof HTMLElementTagNameMap} Tag
 * @param {Tag} tag
 * @param {Record<string, string>} [attributes]
 * @param {...(Node | string)} children
 * @returns {HTMLElementTagNameMap[Tag]}
 */
export function element(tag, attributes = {}, ...children) {
  const node = document.createElement(tag)
  for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value)
  node.append(...children.map((child) => (typeof child === 'string' ? printable(child) : child)))
  return node
}

/**
 * @param {string} text
 * @param {() => void} act
 * @param {Record<string, string>} [attributes]
 */
export function button(text, act, attributes = {}) {
  const node = element('button', { type: 'button', ...attributes }, text)
  node.addEventListener('click', act)
  return node
}

/**
 * A mark with a colour and a word: nobody has to tell colours apart.
 * @param {string} word
 */
export const badge = (word) => element('span', { class: `badge ${word}` }, word)

/** @param {string} id */
export const byId = (id) => /** @type {HTMLElement} */ (document.getElementById(id))

const UNITS = ['B', 'KiB', 'MiB', 'GiB', 'TiB', 'PiB']

/** @param {number} bytes */
export function sizeText(bytes) {
  let unit = 0
  let value = bytes
  while (value >= 1023.95 && unit < UNITS.length - 1) {
    value /= 1024
    ++unit
  }
  return unit === 0 ? `${Math.round(bytes)} B` : `${value.toFixed(1)} ${UNITS[unit]}`
}

const COUNT = new Intl.NumberFormat('en-US')

/** @param {number} count */
export const countText = (count) => COUNT.format(count)

/** @param {number} ms */
export const timeText = (ms) =>
  ms < 1000 ? `${Math.round(ms)} ms` : `${(ms / 1000).toFixed(ms < 10_000 ? 2 : 0)} s`

/** @param {number | undefined} value */
export const realText = (value) =>
  typeof value === 'number' ? String(Number(value.toPrecision(5))) : ''

/**
 * A list that begins with its first items; the rest is asked for.
 * @template Item
 * @param {HTMLElement} list
 * @param {readonly Item[]} items
 * @param {(item: Item) => Node} show
 * @param {number} [first]
 */
export function listInSteps(list, items, show, first = 20) {
  list.append(...items.slice(0, first).map(show))
  const wrapper = element('div', {}, list)
  if (items.length <= first) return wrapper
  let shown = first
  const more = button('', () => {
    list.append(...items.slice(shown, shown + 200).map(show))
    shown += 200
    label()
  })
  const label = () => {
    more.textContent = `${countText(items.length - shown)} more`
    more.hidden = shown >= items.length
  }
  label()
  wrapper.append(more)
  return wrapper
}
