/**
 * `torchmap diff`: which tensors two checkpoints have, and how far their values are apart. What is
 * the same is counted only, unless every row is asked for.
 */
import { type Checkpoint, open } from '../index'
import { printable } from '../printable'
import {
  type CheckpointDifference,
  diffCheckpoints,
  type LoneTensor,
  type TensorDifference,
} from '../zoo/diff'
import type { Output } from './output'
import { countText, cutMiddle, json, padEnd, widthOf } from './text'

/** On a terminal longer tables are cut after so many rows. */
const ROWS_SHOWN = 200
const NARROWEST_NAME = 16

export interface DiffCommandOptions {
  json: boolean
  all: boolean
  /** All tensors rather than the weights. */
  tensors: boolean
  tolerance: number
}

/** @returns whether they are the same */
export async function diffCommand(
  pathA: string,
  pathB: string,
  { json: isJson, all, tensors, tolerance }: DiffCommandOptions,
  output: Output,
): Promise<boolean> {
  const a = await open(pathA)
  try {
    const b = await open(pathB)
    try {
      const of = tensors ? 'tensors' : 'stateDict'
      const difference = await diffCheckpoints(a, b, { of, tolerance })
      const lines = isJson
        ? jsonLines([pathA, pathB], difference, { of, tolerance })
        : textLines([pathA, pathB], [a, b], difference, { all, output })
      await output.writeAll(lines)
      return difference.isSame
    } finally {
      b.close()
    }
  } finally {
    a.close()
  }
}

/** One document, a tensor on each line. */
function* jsonLines(
  files: readonly string[],
  { isSame, tensors, onlyA, onlyB }: CheckpointDifference,
  options: { of: string; tolerance: number },
): Generator<string> {
  yield `${json({ files, ...options, isSame }).slice(0, -1)},\n"tensors":[`
  let separator = '\n'
  for (const tensor of tensors) {
    yield `${separator}${json(tensor)}`
    separator = ',\n'
  }
  yield `\n],\n"onlyA":${json(onlyA)},\n"onlyB":${json(onlyB)}}\n`
}

interface Painting {
  all: boolean
  output: Output
}

function* textLines(
  paths: readonly [string, string],
  checkpoints: readonly [Checkpoint, Checkpoint],
  { tensors, onlyA, onlyB }: CheckpointDifference,
  painting: Painting,
): Generator<string> {
  const { all, output } = painting
  const paint = (code: number, text: string) =>
    output.hasColours ? `\x1b[${code}m${text}\x1b[0m` : text
  const bold = (text: string) => paint(1, text)
  const faint = (text: string) => paint(2, text)
  for (const [i, path] of paths.entries()) {
    const { format } = checkpoints[i]!
    yield `${'AB'[i]}  ${bold(printable(path))}${faint(`  ${format}`)}\n`
  }
  const differing = tensors.filter(({ isSame }) => !isSame)
  const shown = all ? tensors : differing
  if (shown.length > 0) {
    yield `\n${bold(all ? 'In both' : 'Different')}\n`
    yield* table(shown.map(cellsOf), painting, faint)
  }
  for (const [own, other, lone] of [
    ['A', 'B', onlyA],
    ['B', 'A', onlyB],
  ] as const) {
    if (lone.length === 0) continue
    yield `\n${bold(`Only in ${own}`)}\n`
    const rows = lone.map((tensor) => cellsOfLone(tensor, other))
    yield* table(rows, painting, faint)
  }
  const counts = [
    `${countText(tensors.length - differing.length)} the same`,
    `${countText(differing.length)} different`,
    `${countText(onlyA.length)} only in A`,
    `${countText(onlyB.length)} only in B`,
  ]
  yield `\n${counts.join(', ')}\n`
}

/** Rows of which the first column gives way where a terminal is narrow. */
function* table(
  rows: readonly (readonly string[])[],
  { all, output }: Painting,
  faint: (text: string) => string,
): Generator<string> {
  const shown = output.isTerminal && !all ? rows.slice(0, ROWS_SHOWN) : rows
  const widths: number[] = []
  for (const row of shown) {
    for (const [i, cell] of row.entries()) widths[i] = Math.max(widths[i] ?? 0, widthOf(cell))
  }
  const others = widths.slice(1).reduce((sum, width) => sum + width + 2, 2)
  widths[0] = Math.min(widths[0] ?? 0, Math.max(output.columns - others - 1, NARROWEST_NAME))
  for (const row of shown) {
    const cells = row.map((cell, i) =>
      padEnd(i === 0 ? cutMiddle(cell, widths[0]!) : cell, widths[i]!),
    )
    yield `  ${cells.join('  ').trimEnd()}\n`
  }
  const hidden = rows.length - shown.length
  if (hidden > 0) yield `${faint(`  ... ${countText(hidden)} more; --all shows every row`)}\n`
}

function cellsOf({ name, dtypes, shapes, ...tensor }: TensorDifference): string[] {
  const [shapeA, shapeB] = shapes.map(shapeText)
  const dtype = dtypes[0] === dtypes[1] ? dtypes[0] : `${dtypes[0]} -> ${dtypes[1]}`
  const shape = shapeA === shapeB ? shapeA! : `${shapeA} -> ${shapeB}`
  return [printable(name), dtype, shape, valuesText(tensor, shapes[0])]
}

function valuesText(
  { isSame, values, why }: Pick<TensorDifference, 'isSame' | 'values' | 'why'>,
  shape: readonly number[],
): string {
  if (values === undefined) {
    const text = isSame ? 'the same' : 'different'
    return why === undefined ? '' : `${text} (${printable(why)})`
  }
  const { differing, notFinite, absolute, relative } = values
  if (differing === 0) return 'the same values'
  const count = shape.reduce((a, b) => a * b, 1)
  const odd = notFinite === 0 ? '' : `, ${countText(notFinite)} of them not finite`
  const most =
    absolute === 0 ? '' : `, by ${numberText(absolute)} at most, relatively ${numberText(relative)}`
  return `${countText(differing)} of ${countText(count)} differ${odd}${most}`
}

function cellsOfLone({ name, dtype, shape, perhaps }: LoneTensor, other: string): string[] {
  const isCalled = perhaps?.isSame ? 'the same as' : 'perhaps'
  const hint = perhaps === undefined ? '' : `${isCalled} ${printable(perhaps.name)} of ${other}`
  return [printable(name), dtype, shapeText(shape), hint]
}

const shapeText = (shape: readonly number[]) => `[${shape.join(', ')}]`

/** Three digits are what a person looks at. */
const numberText = (value: number) => String(Number(value.toPrecision(3)))
