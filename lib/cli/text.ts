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

/** The text in at most `width` characters, its middle left out where it is longer. */
export function cutMiddle(text: string, width: number): string {
  if (text.length <= width) return text
  const characters = Array.from(text)
  if (characters.length <= width) return text
  const kept = Math.max(width - 3, 2)
  const head = Math.ceil(kept / 2)
  const tail = characters.slice(characters.length - (kept - head))
  return `${characters.slice(0, head).join('')}...${tail.join('')}`
}
