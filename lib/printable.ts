/**
 * Names come from files and may hold anything, terminal commands included.
 */

/** Characters that move the cursor, change colours or turn the writing direction. */
// biome-ignore lint/suspicious/noControlCharactersInRegex: these are what it looks for
export const UNPRINTABLE = /[\x00-\x1f\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff]/g

/** The text with what a terminal would act on written as escapes. */
export function printable(text: string): string {
  return text.replace(UNPRINTABLE, (character) => {
    const code = character.charCodeAt(0)
    return code < 0x100
      ? `\\x${code.toString(16).padStart(2, '0')}`
      : `\\u${code.toString(16).padStart(4, '0')}`
  })
}
