/**
 * `torchmap inspect`: a table of the tensors, what they share, and what could not be given. Rows
 * are written as they are made, so that 100,000 of them start to appear at once.
 */
import { type Checkpoint, open, type Storage, type Tensor } from '../index'
import { printable } from '../printable'
import type { Output } from './output'
import { countText, cutMiddle, json, sizeText } from './text'

/** On a terminal longer tables show this many rows at each end. */
const ROWS_AT_EACH_END = 100
const GROUPS_SHOWN = 20
const NAMES_SHOWN = 4
const NARROWEST_NAME = 16
/** Characters of a value of the metadata. */
const METADATA_SHOWN = 60

export interface InspectOptions {
  json: boolean
  all: boolean
}

export async function inspectCommand(
  path: string,
  options: InspectOptions,
  output: Output,
): Promise<void> {
  const checkpoint = await open(path)
  try {
    const summary = summarize(checkpoint)
    const lines = options.json
      ? jsonLines(path, checkpoint, summary)
      : textLines(path, checkpoint, summary, { all: options.all, output })
    await output.writeAll(lines)
  } finally {
    checkpoint.close()
  }
}

interface Summary {
  tensors: number
  elements: number
  /** Of all tensors, counting what they share each time. */
  bytes: number
  /** Of all storages, each counted once. */
  storageBytes: number
  /** Names of the tensors over one storage, where there are several. */
  shared: { storage: Storage; names: string[] }[]
}

function summarize({ tensors }: Checkpoint): Summary {
  const names = new Map<Storage, string[]>()
  let elements = 0
  let bytes = 0
  let storageBytes = 0
  for (const [name, tensor] of tensors) {
    elements += tensor.size
    bytes += tensor.byteLength
    const own = tensor.storage
    const others = Object.values(tensor.parts).map((part) => part.storage)
    for (const storage of [own, ...others]) {
      if (storage === undefined) continue
      let known = names.get(storage)
      if (known === undefined) {
        known = []
        names.set(storage, known)
        storageBytes += storage.byteLength
      }
      if (storage === own) known.push(name)
    }
  }
  const shared = [...names]
    .filter(([storage, { length }]) => length > 1 && storage.byteLength > 0)
    .map(([storage, sharing]) => ({ storage, names: sharing }))
  return { tensors: tensors.size, elements, bytes, storageBytes, shared }
}

/** One document, a tensor on each line. */
function* jsonLines(path: string, checkpoint: Checkpoint, summary: Summary): Generator<string> {
  const { format, era, byteOrder, size } = checkpoint
  const metadata = checkpoint.metadata && Object.fromEntries(checkpoint.metadata)
  const { shared, ...totals } = summary
  const head = json({ file: path, format, era, byteOrder, size, metadata, totals })
  yield `${head.slice(0, -1)},\n"tensors":[`
  let separator = '\n'
  for (const tensor of checkpoint.tensors.values()) {
    yield `${separator}${json({ ...tensor.toJSON(), isContiguous: tensor.isContiguous })}`
    separator = ',\n'
  }
  const groups = shared.map(({ storage, names }) => ({
    storage: storage.key,
    bytes: storage.byteLength,
    names,
  }))
  yield `\n],\n"shared":${json(groups)},\n"skipped":${json(checkpoint.skipped)}}\n`
}

function* textLines(
  path: string,
  checkpoint: Checkpoint,
  summary: Summary,
  { all, output }: { all: boolean; output: Output },
): Generator<string> {
  const paint = (code: number, text: string) =>
    output.hasColours ? `\x1b[${code}m${text}\x1b[0m` : text
  const bold = (text: string) => paint(1, text)
  const faint = (text: string) => paint(2, text)

  const { format, era, byteOrder, size, skipped, metadata } = checkpoint
  yield `${bold(printable(path))}\n`
  const sizes = `${sizeText(size)} (${countText(size)} bytes)`
  const writer = era === '' ? '' : `torch ${era}, `
  yield `${format}, ${writer}${byteOrder}-endian, ${sizes}\n`
  for (const [key, value] of metadata ?? []) {
    yield faint(`  ${printable(key)}: ${cutMiddle(printable(value), METADATA_SHOWN)}\n`)
  }
  yield '\n'

  if (summary.tensors > 0) {
    yield* table(checkpoint, summary, { all, output, bold, faint })
    yield '\n'
  }
  yield `${countText(summary.tensors)} tensors, ${countText(summary.elements)} elements, ` +
    `${sizeText(summary.bytes)} in ${sizeText(summary.storageBytes)} of storages\n`

  if (summary.shared.length > 0) {
    yield `\n${bold('Shared storages')}\n`
    const shown = all ? summary.shared : summary.shared.slice(0, GROUPS_SHOWN)
    for (const { storage, names } of shown) {
      const first = all ? names : names.slice(0, NAMES_SHOWN)
      const rest = names.length - first.length
      const more = rest > 0 ? faint(` and ${countText(rest)} more`) : ''
      const bytes = sizeText(storage.byteLength).padStart(10)
      yield `  ${bytes}  ${printable(first.join(', '))}${more}\n`
    }
    const hidden = summary.shared.length - shown.length
    if (hidden > 0) yield `${faint(`  ... ${countText(hidden)} more; --all shows every one`)}\n`
  }
  if (skipped.length > 0) {
    yield `\n${bold('Skipped')}\n`
    for (const { name, code, message } of skipped) {
      yield `  ${printable(name)}: ${printable(message)} (${code})\n`
    }
  }
}

interface Painting {
  all: boolean
  output: Output
  bold(text: string): string
  faint(text: string): string
}

function* table(
  { tensors }: Checkpoint,
  { shared, tensors: count }: Summary,
  { all, output, bold, faint }: Painting,
): Generator<string> {
  const isCut = output.isTerminal && !all && count > 2 * ROWS_AT_EACH_END
  const isShown = (i: number) => !isCut || i < ROWS_AT_EACH_END || i >= count - ROWS_AT_EACH_END
  const sharing = new Set(shared.map(({ storage }) => storage))

  const heads = ['name', 'dtype', 'shape', 'bytes']
  const widths = heads.map(({ length }) => length)
  let position = 0
  for (const tensor of tensors.values()) {
    if (!isShown(position++)) continue
    for (const [column, cell] of cells(tensor).entries()) {
      widths[column] = Math.max(widths[column]!, cell.length)
    }
  }
  // The name gives way first: the other columns and the gaps between them stay.
  const others = widths.slice(1).reduce((sum, width) => sum + width + 2, 0)
  const room = Math.max(output.columns - others - 1, NARROWEST_NAME)
  widths[0] = Math.min(widths[0]!, room)

  const line = (row: string[]) =>
    [
      cutMiddle(row[0]!, widths[0]!).padEnd(widths[0]!),
      row[1]!.padEnd(widths[1]!),
      row[2]!.padEnd(widths[2]!),
      row[3]!.padStart(widths[3]!),
    ].join('  ')

  yield `${bold(line(heads))}\n`
  position = 0
  for (const tensor of tensors.values()) {
    if (isShown(position)) {
      const marks = marksOf(tensor, sharing)
      yield `${line(cells(tensor))}${marks === '' ? '' : faint(`  ${marks}`)}\n`
    } else if (position === ROWS_AT_EACH_END) {
      const hidden = count - 2 * ROWS_AT_EACH_END
      yield `${faint(`... ${countText(hidden)} more; --all shows every row`)}\n`
    }
    ++position
  }
}

function cells({ name, dtype, shape, byteLength }: Tensor): string[] {
  return [printable(name), dtype, `[${shape.join(', ')}]`, sizeText(byteLength)]
}

/** What is out of the ordinary about a tensor. */
function marksOf(tensor: Tensor, sharing: ReadonlySet<Storage>): string {
  const { storage, layout, qscheme } = tensor
  const marks: string[] = []
  if (layout !== 'strided') marks.push(layout)
  else if (tensor.sizes !== undefined) marks.push('nested')
  else if (tensor.local !== undefined) marks.push('shard')
  else if (tensor.isMeta) marks.push('meta')
  else if (!tensor.isContiguous) marks.push('non-contiguous')
  if (qscheme !== undefined) marks.push(qscheme)
  if (storage !== undefined && sharing.has(storage)) marks.push('shared')
  return marks.join(', ')
}
