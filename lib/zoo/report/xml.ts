/**
 * Text inside XML 1.0.
 */
import { printable } from '../../printable'

/** What XML 1.0 has no place for (2.2, Char), in UTF-16: lone surrogates and two more. */
const UNFIT = /\p{Surrogate}|[\ufffe\uffff]/gu

const ENTITIES: Record<string, string> = {
  '&': '&amp;',
  '<': '&lt;',
  '>': '&gt;',
  '"': '&quot;',
  "'": '&apos;',
}

/** One line, for an attribute in quotes or an element: what a terminal would act on is escaped. */
export function xmlText(text: string): string {
  return printable(text)
    .replace(UNFIT, '\ufffd')
    .replace(/[&<>"']/g, (character) => ENTITIES[character]!)
}
