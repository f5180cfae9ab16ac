/** JavaScript values of `root` in the canonical form of the manifests: see "root" in test/fixtures/README.md. */
import { NumpyArray, PyGlobal, PyObject, Tensor } from '../../lib/index'
import { sha256 } from './golden'

/** Forgets the types the manifest keeps apart and JavaScript does not; `identify` turns the name of a tensor into what it is. */
export function simplify(wanted: unknown, identify: (name: string) => string): unknown {
  const inner = (value: unknown): unknown => simplify(value, identify)
  if (Array.isArray(wanted)) return wanted.map(inner)
  if (wanted === null || typeof wanted !== 'object') return wanted
  const entries = Object.entries(wanted)
  const [key, value] = entries[0] as [string, unknown]
  if (key === 'scalar') return inner(value)
  if (key === 'tensor' && typeof value === 'string') return { tensor: identify(value) }
  if (key === 'ndarray') return { ndarray: simplifyArray(value as Record<string, unknown>, inner) }
  if (key === 'complex')
    return { complex: (value as unknown[]).map((part) => canonicalReal(String(part))) }
  if (key === 'dtype' || key === 'device' || key === 'layout' || key === 'qscheme')
    return { str: value }
  if (key === 'int') return { number: value }
  if (key === 'float') return { number: canonicalReal(value as string) }
  return Object.fromEntries(entries.map(([name, item]) => [name, inner(item)]))
}

function simplifyArray(row: Record<string, unknown>, inner: (value: unknown) => unknown): unknown {
  if (row.items !== undefined) return { ...row, items: inner(row.items) }
  return { ...row, dtype: Array.isArray(row.dtype) ? fields(row.dtype) : row.dtype }
}

/** numpy's description of a record as numpy itself prints it. */
function fields(rows: unknown[]): string {
  const field = (row: unknown): string => {
    const [name, type, shape] = row as [string, string | unknown[], number[] | undefined]
    const dtype = Array.isArray(type) ? fields(type) : `'${type}'`
    return `('${name}', ${dtype}${shape === undefined ? '' : `, (${shape.map((size) => `${size},`).join('')})`})`
  }
  return `[${rows.map(field).join(', ')}]`
}

function canonicalReal(text: string): string {
  const value =
    text === 'inf'
      ? Number.POSITIVE_INFINITY
      : text === '-inf'
        ? Number.NEGATIVE_INFINITY
        : Number(text)
  return text === 'nan' ? 'NaN' : Object.is(value, -0) ? '-0' : String(value)
}

/** `path` holds the containers above `value`, outermost first. */
export function canonical(
  value: unknown,
  identity: (tensor: Tensor) => string,
  path: unknown[] = [],
): unknown {
  const level = path.indexOf(value)
  if (level !== -1) return { cycle: level }
  const inner = [...path, value]
  const each = (items: Iterable<unknown>): unknown[] =>
    Array.from(items, (item) => canonical(item, identity, inner))
  if (value === null || typeof value === 'boolean') return value
  if (typeof value === 'bigint') return { number: value.toString() }
  if (typeof value === 'number') return { number: Object.is(value, -0) ? '-0' : String(value) }
  if (typeof value === 'string') return { str: value }
  if (value instanceof Tensor) return { tensor: identity(value) }
  if (value instanceof PyGlobal) return { global: `${value.module}.${value.name}` }
  if (value instanceof NumpyArray) {
    const head = { dtype: value.dtype, shape: [...value.shape] }
    if (value.items !== undefined) return { ndarray: { ...head, items: each(value.items) } }
    const bytes = new Uint8Array(value.data.buffer, value.data.byteOffset, value.data.byteLength)
    return { ndarray: { ...head, sha256: sha256(bytes) } }
  }
  if (value instanceof PyObject) return canonicalObject(value, each, inner, identity)
  if (Array.isArray(value)) return { list: each(value) }
  if (value instanceof Map) return { dict: Array.from(value, (pair) => each(pair)) }
  if (value instanceof Set) return { set: each(value) }
  if (ArrayBuffer.isView(value))
    return { bytes: Buffer.from(value.buffer, value.byteOffset, value.byteLength).toString('hex') }
  const { re, im } = value as { re: number; im: number }
  return { complex: [re, im].map((part) => canonicalReal(String(part))) }
}

function canonicalObject(
  value: PyObject,
  each: (items: Iterable<unknown>) => unknown[],
  path: unknown[],
  identity: (tensor: Tensor) => string,
): unknown {
  const row: Record<string, unknown> = { object: `${value.module}.${value.name}` }
  if (value.args !== undefined && value.args.length > 0) row.args = each(value.args)
  if (value.kwargs !== undefined) row.kwargs = canonical(value.kwargs, identity, path)
  if (value.state !== undefined) row.state = canonical(value.state, identity, path)
  if (value.items !== undefined && value.items.length > 0) row.items = { list: each(value.items) }
  if (value.entries !== undefined && value.entries.size > 0) {
    row.items = { dict: Array.from(value.entries, (pair) => each(pair)) }
  }
  return row
}
