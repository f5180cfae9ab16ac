/** Compares what torchmap reads with a row of a manifest: see test/fixtures/README.md. */
import { createHash } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Checkpoint, Tensor } from '../../lib/index'

export interface TensorRow {
  dtype: string
  shape: (number | null)[]
  stride: number[] | null
  offset: number | null
  requires_grad: boolean
  layout: string
  device?: string
  sha256: string | null
  storage?: number | null
  is_coalesced?: boolean
  indices?: TensorRow
  values?: TensorRow
  crow_indices?: TensorRow
  col_indices?: TensorRow
  ccol_indices?: TensorRow
  row_indices?: TensorRow
  offsets?: TensorRow
  lengths?: TensorRow | null
  local?: TensorRow
  nested?: { buffer: TensorRow; sizes: number[][]; strides: number[][]; offsets: number[] }
  qscheme?: string
  scale?: number
  zero_point?: number
  scales?: number[]
  zero_points?: number[]
  axis?: number
  dequantized_sha256?: string
}

export interface GoldenRow {
  file: string
  format: string | null
  note: string
  tensors: Record<string, TensorRow>
  order?: string[]
  state_dict: Record<string, string> | null
  /** Of TorchScript: those names of `state_dict` that are parameters. */
  parameters?: string[]
  skipped?: Record<string, string>
  constants?: Record<string, TensorRow>
  own_state_dict?: Record<string, TensorRow>
  root?: unknown
  error?: string
  message?: string
  /** Of safetensors: `__metadata__`. */
  metadata?: Record<string, string> | null
}

export const FIXTURES = join(__dirname, '..', 'fixtures')
export const SETS = [
  'torch-1.13',
  'torch-2.1',
  'torch-2.5',
  'torch-2.8',
  'torch-2.13',
  'crafted',
  'safetensors',
] as const

export function readManifest(set: string): GoldenRow[] {
  return (
    JSON.parse(readFileSync(join(FIXTURES, set, 'manifest.json'), 'utf8')) as { files: GoldenRow[] }
  ).files
}

export function sha256(bytes: Uint8Array): string {
  return createHash('sha256').update(bytes).digest('hex')
}

const PARTS = [
  ['indices', 'indices'],
  ['values', 'values'],
  ['crow_indices', 'crowIndices'],
  ['col_indices', 'colIndices'],
  ['ccol_indices', 'ccolIndices'],
  ['row_indices', 'rowIndices'],
  ['offsets', 'offsets'],
  ['lengths', 'lengths'],
  ['local', 'local'],
] as const

/** Collects differences as sentences; an empty list is equality. */
export class Comparison {
  readonly differences: string[] = []
  /** Storage numbers of the manifest and the buffers they must be the same as. */
  readonly #storages = new Map<number, unknown>()

  expect(what: string, found: unknown, wanted: unknown): void {
    const [left, right] = [JSON.stringify(found), JSON.stringify(wanted)]
    if (left !== right) this.differences.push(`${what}: found ${left}, wanted ${right}`)
  }

  names(checkpoint: Checkpoint, row: GoldenRow): void {
    const wanted = [...(row.order ?? Object.keys(row.tensors)), ...Object.keys(row.constants ?? {})]
    this.expect('names', [...checkpoint.tensors.keys()], wanted)
    const skipped = checkpoint.skipped.map(({ name }) => name)
    this.expect('skipped', skipped, Object.keys(row.skipped ?? {}))
    for (const { name, code } of checkpoint.skipped) {
      const reason = row.skipped?.[name]
      if (reason !== undefined && reason === reason.toUpperCase())
        this.expect(`skipped ${name}`, code, reason)
    }
  }

  stateDict(checkpoint: Checkpoint, wanted: Record<string, string>): void {
    const found = checkpoint.stateDict()
    this.expect('state dict', [...found.keys()].sort(), Object.keys(wanted).sort())
    for (const [name, source] of Object.entries(wanted)) {
      const [a, b] = [found.get(name), checkpoint.tensors.get(source)]
      if (a === undefined || b === undefined) continue
      this.expect(`state dict ${name}`, describe(a), describe(b))
    }
  }

  tensor(name: string, tensor: Tensor | undefined, row: TensorRow): void {
    if (tensor === undefined) {
      this.differences.push(`${name}: missing`)
      return
    }
    this.expect(`${name} dtype`, tensor.dtype, row.dtype)
    this.expect(
      `${name} shape`,
      tensor.shape,
      row.shape.map((size) => size ?? -1),
    )
    this.expect(`${name} layout`, tensor.layout, row.layout)
    this.expect(`${name} requiresGrad`, tensor.requiresGrad, row.requires_grad)
    if (row.stride !== null && row.stride !== undefined)
      this.expect(`${name} stride`, tensor.stride, row.stride)
    if (row.offset !== null && row.offset !== undefined)
      this.expect(`${name} offset`, tensor.storageOffset, row.offset)
    if (row.device !== undefined && row.stride != null)
      this.expect(`${name} device`, tensor.device, row.device)
    if (row.is_coalesced) this.expect(`${name} isCoalesced`, tensor.isCoalesced, true)
    this.quantised(name, tensor, row)
    for (const [key, property] of PARTS) {
      const part = row[key]
      if (part === undefined) continue
      if (part === null) this.expect(`${name}.${key}`, tensor[property], undefined)
      else this.tensor(`${name}.${key}`, tensor[property] as Tensor, part)
    }
    if (row.nested !== undefined) this.nested(name, tensor, row, row.nested)
    else if (row.sha256 !== null) this.bytes(name, tensor, row)
    if (row.storage !== undefined && row.storage !== null && tensor.size > 0)
      this.sharing(name, tensor, row.storage)
  }

  private bytes(name: string, tensor: Tensor, row: TensorRow): void {
    const sparse = tensor.layout.startsWith('sparse')
    const data = sparse ? tensor.toDense() : tensor.data
    const bytes = new Uint8Array(data.buffer, data.byteOffset, data.byteLength)
    this.expect(`${name} bytes`, sha256(bytes), row.sha256)
    if (!sparse) this.expect(`${name} bytes()`, sha256(tensor.bytes()), row.sha256)
  }

  private quantised(name: string, tensor: Tensor, row: TensorRow): void {
    this.expect(`${name} qscheme`, tensor.qscheme, row.qscheme)
    if (row.qscheme === undefined) return
    if (row.scales === undefined) {
      this.expect(`${name} scale`, tensor.scale, row.scale)
      this.expect(`${name} zeroPoint`, tensor.zeroPoint, row.zero_point)
    } else {
      this.expect(`${name} scales`, [...(tensor.scales ?? [])], row.scales)
      this.expect(`${name} zeroPoints`, [...(tensor.zeroPoints ?? [])], row.zero_points)
      this.expect(`${name} axis`, tensor.axis, row.axis)
    }
    const values = tensor.dequantize()
    const bytes = new Uint8Array(values.buffer, values.byteOffset, values.byteLength)
    this.expect(`${name} dequantize()`, sha256(bytes), row.dequantized_sha256)
  }

  private nested(
    name: string,
    tensor: Tensor,
    row: TensorRow,
    nested: NonNullable<TensorRow['nested']>,
  ): void {
    this.tensor(`${name}.values`, tensor.values, nested.buffer)
    const numbers = (part: Tensor | undefined): number[] =>
      Array.from(part?.data as BigInt64Array, Number)
    this.expect(`${name}.sizes`, numbers(tensor.sizes), nested.sizes.flat())
    this.expect(`${name}.strides`, numbers(tensor.strides), nested.strides.flat())
    this.expect(`${name}.offsets`, tensor.rowOffsets, nested.offsets)
    this.expect(
      `${name} rows`,
      sha256(Buffer.concat(tensor.rows().map((part) => part.bytes()))),
      row.sha256,
    )
  }

  /** Tensors on one storage have one buffer, and equal places in it. */
  private sharing(name: string, tensor: Tensor, storage: number): void {
    const known = this.#storages.get(storage)
    if (known === undefined) this.#storages.set(storage, tensor.storage)
    else if (known !== tensor.storage) this.differences.push(`${name}: does not share its storage`)
  }
}

function describe(tensor: Tensor): unknown {
  const parts =
    tensor.layout === 'strided' && !tensor.isMeta && tensor.local === undefined && tensor.size < 1e6
  return {
    dtype: tensor.dtype,
    shape: tensor.shape,
    stride: tensor.stride,
    offset: tensor.storageOffset,
    bytes: parts && !tensor.shape.includes(-1) ? sha256(tensor.bytes()) : null,
  }
}
