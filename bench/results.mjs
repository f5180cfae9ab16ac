// bench/RESULTS.md: the same text that is printed.

import { LOADERS, MAPPING } from './contestants.mjs'
import { PACES } from './rounds.mjs'
import { markdown, section } from './table.mjs'

const CLOCKS = [
  ['names', 'Names and shapes'],
  ['bytes', 'Every byte touched'],
  ['verified', 'Every byte touched and its CRC-32 verified'],
]

function rules() {
  const { warmups, warming, turn, budget, least, limit } = PACES.full
  const words = CLOCKS.map(([clock, title]) => {
    const rows = [...LOADERS, MAPPING]
      .filter((loader) => loader[clock] !== undefined)
      .map((loader) => [loader.label, loader[clock]])
    return `**${title}**\n\n${markdown({ header: ['loader', 'what it does'], rows })}`
  })
  return [
    '## What each side did',
    `Each loader has a process of its own, which is started before and stays; what a run has loaded is freed after the clock has stopped, and garbage is collected then. Rounds go A B C, A B C; ${warmups} rounds to warm up, of ${warming} ms each, are not counted ("first run" is the very first). Before each group of rows its files are dropped from the page cache and read from start to end: that is "warm". A turn begins with a run that is told apart, "after a pause", since the process stood still while the others had their turns; behind it are as many runs as fit into ${turn} ms, one at least, and their median is its figure. Figures are the median and, in brackets, the first and last decile; "times torchmap" is the median of the ratios of single rounds. A peer that is not installed is \`absent\`, with what installs it. A loader that has used ${budget / 1000} s sits out the other rounds once it has ${least}; no run may last longer than ${limit / 1000} s.`,
    'To touch every byte is to sum up all bytes of each tensor as 64-bit words, one tensor behind the other, on one thread: the same loop in C for Node.js and Python (`native/bench/touch.cc`), the same in Rust.',
    ...words,
  ].join('\n\n')
}

/** All of it, from the head and the tables in their order. */
export function resultsText({ head, summary, targets, tables }) {
  return [
    '# Results of the benchmark',
    'Written by `npm run bench`; [README.md](README.md) says how it works.',
    markdown({ header: ['', ''], rows: head }),
    '![Bars of all loaders](results.svg)',
    '![Cost of opening against size and number](growth.svg)',
    summary,
    `## Targets\n\n${targets.about}\n\n${markdown(targets)}`,
    rules(),
    '## All figures',
    ...tables.map(section),
    '',
  ].join('\n\n')
}
