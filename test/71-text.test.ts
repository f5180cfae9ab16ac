/** Widths of text in columns of a terminal. */
import { expect, test } from '@jest/globals'
import { cutMiddle, padEnd, widthOf } from '../lib/cli/text'

test.each<[string, number]>([
  ['', 0],
  ['weight', 6],
  ['größe', 5],
  ['gro\u0308\u00dfe', 5],
  ['重み', 4],
  ['가중치', 6],
  ['ｗ', 2],
  ['ｱ', 1],
  ['、', 2],
  ['𠀀', 2],
  ['🔥', 2],
  ['👩‍👩‍👧', 2],
  ['🇩🇪', 2],
  ['❤️', 2],
  ['❤', 1],
  ['αβγ', 3],
  ['\u0301', 0],
  ['a\u200db', 2],
])('widthOf(%j) is %i', (text, width) => {
  expect(widthOf(text)).toBe(width)
  expect(padEnd(text, 10)).toBe(text + ' '.repeat(10 - width))
})

test.each<[string, number, string]>([
  ['weight', 6, 'weight'],
  ['a.long.name', 8, 'a.l...me'],
  ['重み重み重み', 12, '重み重み重み'],
  ['重み重み重み', 11, '重み...重み'],
  ['重み重み重み', 10, '重み...み'],
  ['a重み重み重みz', 9, 'a重...みz'],
  ['👩‍👩‍👧👩‍👩‍👧👩‍👩‍👧👩‍👩‍👧', 7, '👩‍👩‍👧...👩‍👩‍👧'],
  ['abcdefgh', 4, 'a...h'],
])('cutMiddle(%j, %i)', (text, width, wanted) => {
  expect(cutMiddle(text, width)).toBe(wanted)
  expect(widthOf(wanted)).toBeLessThanOrEqual(Math.max(width, 5))
})
