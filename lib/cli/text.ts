/**
 * Text for people: sizes, tables, names.
 */
import { UNPRINTABLE } from '../printable'

/** JSON on one line, safe to show. */
export function json(value: unknown): string {
  return JSON.stringify(value).replace(
    UNPRINTABLE,
    (character) => `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`,
  )
}

const UNITS = ['B', 'KiB', 'MiB', 'GiB', 'TiB', 'PiB']

/** `44.7 MiB` */
export function sizeText(bytes: number): string {
  let unit = 0
  let value = bytes
  while (value >= 1023.95 && unit < UNITS.length - 1) {
    value /= 1024
    ++unit
  }
  return unit === 0 ? `${bytes} B` : `${value.toFixed(1)} ${UNITS[unit]}`
}

/** `11,689,512` */
export function countText(count: number): string {
  return count.toLocaleString('en-US')
}

const graphemes = new Intl.Segmenter()

/**
 * What takes two columns: East Asian wide characters and pictures.
 * Source: Unicode 16 EastAsianWidth.txt, W and F, in blocks; UTS 51, Emoji_Presentation.
 */
const WIDE =
  /^(?:[\u1100-\u115f\u2e80-\u303e\u3041-\ua4cf\ua960-\ua97c\uac00-\ud7a3\uf900-\ufaff\ufe10-\ufe19\ufe30-\ufe6b\uff01-\uff60\uffe0-\uffe6\u{16fe0}-\u{18d08}\u{1aff0}-\u{1b2fb}\u{20000}-\u{3fffd}]|\p{Emoji_Presentation}|.\ufe0f)/u
/** What takes none where it stands alone. */
const WIDTHLESS = /^[\p{Mn}\p{Me}\p{Cf}]+$/u
const NARROW = /^[\x20-\x7e]*$/

/** Columns of a terminal that one character takes, as people see characters. */
function columnsOf(grapheme: string): number {
  if (WIDTHLESS.test(grapheme)) return 0
  return WIDE.test(grapheme) ? 2 : 1
}

/** Columns of a terminal that a text takes. */
export function widthOf(text: string): number {
  if (NARROW.test(text)) return text.length
  let width = 0
  for (const { segment } of graphemes.segment(text)) width += columnsOf(segment)
  return width
}

/** The text with spaces behind it, so that it takes this many columns. */
export function padEnd(text: string, width: number): string {
  return text + ' '.repeat(Math.max(width - widthOf(text), 0))
}

/** The text in at most `width` columns, its middle left out where it is longer. */
export function cutMiddle(text: string, width: number): string {
  if (widthOf(text) <= width) return text
  const characters = NARROW.test(text)
    ? text.split('')
    : Array.from(graphemes.segment(text), ({ segment }) => segment)
  const kept = Math.max(width - 3, 2)
  const head = fitting(characters, Math.ceil(kept / 2))
  const tail = fitting(characters.reverse(), kept - Math.ceil(kept / 2))
  return `${head.join('')}...${tail.reverse().join('')}`
}

/** As many of the first characters as take so many columns. */
function fitting(characters: readonly string[], width: number): string[] {
  let left = width
  let count = 0
  for (const character of characters) {
    left -= columnsOf(character)
    if (left < 0) break
    ++count
  }
  return characters.slice(0, count)
}
