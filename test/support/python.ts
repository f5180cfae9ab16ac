/** JavaScript values of `root` in the canonical form of the manifests: see "root" in test/fixtures/README.md. */
import { NumpyArray, PyGlobal, PyObject, Tensor } from '../../lib/index'
import { sha256 } from './golden'

/** Types the manifest keeps apart and JavaScript does not. */
export function simplify(wanted: unknown): unknown {
  if (Array.isArray(wanted)) return wanted.map(simplify)
  if (wanted === null || typeof wanted !== 'object') return wanted
  const entries = Object.entries(wanted)
  const [key, value] = entries[0] as [string, unknown]
  if (key === 'scalar') return simplify(value)
  if (key === 'dtype' || key === 'device' || key === 'layout' || key === 'qscheme') return { str: value }
  if (key === 'int') return { number: value }
  if (key === 'float') return { number: canonicalReal(value as string) }
  return Object.fromEntries(entries.map(([name, item]) => [name, simplify(item)]))
}

function canonicalReal(text: string): string {
  const value = text === 'inf' ? Number.POSITIVE_INFINITY : text === '-inf' ? Number.NEGATIVE_INFINITY : Number(text)
  return text === 'nan' ? 'NaN' : Object.is(value, -0) ? '-0' : String(value)
}

/** `path` holds the containers above `value`, outermost first. */
export function canonical(value: unknown, nameOf: (tensor: Tensor) => string | null, path: unknown[] = []): unknown {
  const level = path.indexOf(value)
  if (level !== -1) return { cycle: level }
  const inner = [...path, value]
  const each = (items: Iterable<unknown>): unknown[] => Array.from(items, (item) => canonical(item, nameOf, inner))
  if (value === null || typeof value === 'boolean') return value
  if (typeof value === 'bigint') return { number: value.toString() }
  if (typeof value === 'number') return { number: Object.is(value, -0) ? '-0' : String(value) }
  if (typeof value === 'string') return { str: value }
  if (value instanceof Tensor) return { tensor: nameOf(value) }
  if (value instanceof PyGlobal) return { global: `${value.module}.${value.name}` }
  if (value instanceof NumpyArray) {
    const head = { dtype: value.dtype, shape: [...value.shape] }
    if (value.items !== undefined) return { ndarray: { ...head, items: each(value.items) } }
    const bytes = new Uint8Array(value.data.buffer, value.data.byteOffset, value.data.byteLength)
    return { ndarray: { ...head, sha256: sha256(bytes) } }
  }
  if (value instanceof PyObject) return canonicalObject(value, each, inner, nameOf)
  if (Array.isArray(value)) return { list: each(value) }
  if (value instanceof Map) return { dict: Array.from(value, (pair) => each(pair)) }
  if (value instanceof Set) return { set: each(value) }
  if (ArrayBuffer.isView(value)) return { bytes: Buffer.from(value.buffer, value.byteOffset, value.byteLength).toString('hex') }
  const { re, im } = value as { re: number; im: number }
  return { complex: [re, im].map((part) => canonicalReal(String(part))) }
}

function canonicalObject(
  value: PyObject,
  each: (items: Iterable<unknown>) => unknown[],
  path: unknown[],
  nameOf: (tensor: Tensor) => string | null,
): unknown {
  const row: Record<string, unknown> = { object: `${value.module}.${value.name}` }
  if (value.args !== undefined && value.args.length > 0) row.args = each(value.args)
  if (value.state !== undefined) row.state = canonical(value.state, nameOf, path)
  if (value.items !== undefined && value.items.length > 0) row.items = each(value.items)
  return row
}
