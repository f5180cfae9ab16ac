/**
 * Finds the weights that a module computes from other ones before each use, by the names these have
 * in a state dict:
 *
 *   weight norm    weight_g, weight_v              parametrizations.weight.original0, .original1
 *   spectral norm  weight_orig, _u, _v             parametrizations.weight.original, .0._u, .0._v
 *   ... of vectors                                 parametrizations.weight.original
 *   pruning        weight_orig, _mask
 *
 * Source: torch/nn/utils/weight_norm.py, spectral_norm.py, prune.py, parametrize.py and
 * parametrizations.py (v2.13).
 */

/** What has to be known of a tensor to fold it. */
export interface Factor {
  readonly dtype: string
  readonly shape: readonly number[]
  /** Whether it is dense, and no part of a tensor that lies elsewhere. */
  readonly isPlain: boolean
}

/** How to compute a weight; the strings are names of tensors. */
export type Formula =
  /** v * (g / |v|) with a norm for each index of `dim`, or one over all elements. */
  | { kind: 'weightNorm'; g: string; v: string; dim: number | undefined }
  /** weight / (u . W v). `other`: another dimension that the sizes of u and v fit. */
  | {
      kind: 'spectralNorm'
      weight: string
      u: string
      v: string
      dim: number
      other: number | undefined
    }
  /** weight / |weight| */
  | { kind: 'unitNorm'; weight: string }
  | { kind: 'mask'; weight: string; mask: string }

/** A weight that stays as it is stored. */
export interface Unfolded {
  /** The name it has in the plain module. */
  readonly name: string
  /** What is there in its place. */
  readonly parts: readonly string[]
  readonly reason: string
}

export interface Folds {
  /** What to compute, by the name in the plain module. */
  readonly formulas: ReadonlyMap<string, Formula>
  readonly unfolded: readonly Unfolded[]
}

/** Names that belong together, before their tensors are looked at. */
interface Group {
  readonly name: string
  readonly parts: readonly string[]
  /** What they say to be; a string: why that is nothing that can be computed. */
  readonly kind: Formula['kind'] | string
}

/** dtypes the kernels compute in. */
const DTYPES = ['float16', 'bfloat16', 'float32', 'float64']
const MASK_DTYPES = [...DTYPES, 'bool', 'uint8', 'int8', 'int16', 'int32', 'int64']

/**
 * @param names all names of a state dict, in order
 * @param factor the tensor of one of them
 */
export function findFolds(names: Iterable<string>, factor: (name: string) => Factor): Folds {
  const all = new Set(names)
  const groups = [...parametrized(all), ...hooked(all)]
  const uses = new Map<string, number>()
  for (const { name, parts } of groups) {
    for (const used of [name, ...parts]) uses.set(used, (uses.get(used) ?? 0) + 1)
  }
  const isTaken = (name: string) => all.has(name) || (uses.get(name) ?? 0) > 1
  const hasSpectral = groups.some(({ kind, parts }) => kind === 'spectralNorm' && isNew(parts[0]!))
  const formulas = new Map<string, Formula>()
  const unfolded: Unfolded[] = []
  for (const group of groups) {
    const { name, parts } = group
    const isChained = parts.some((part) => uses.get(part)! > 1) || isFactor(name, all)
    let formula: Formula | string
    if (isTaken(name)) formula = `there is another '${name}'`
    else if (isChained) formula = 'one reparametrization is on top of another'
    else formula = formulaOf(group, factor, hasSpectral)
    if (typeof formula !== 'string') formulas.set(name, formula)
    else unfolded.push(Object.freeze({ name, parts: Object.freeze([...parts]), reason: formula }))
  }
  return { formulas, unfolded: Object.freeze(unfolded) }
}

/** Whether a tensor of this name would itself belong to a group. */
function isFactor(name: string, names: ReadonlySet<string>): boolean {
  const base = /^(.+)_(?:g|v|orig|u)$/s.exec(name)?.[1]
  return (
    isNew(name) ||
    (base !== undefined && ['g', 'v', 'orig', 'u'].some((part) => names.has(`${base}_${part}`)))
  )
}

/** `<module>.parametrizations.<name>.<rest>` */
const PARAMETRIZED = /^((?:.*?\.)?)parametrizations\.([^.]+)\.(.+)$/s

function isNew(name: string): boolean {
  return PARAMETRIZED.test(name)
}

/** Groups in the spelling of torch.nn.utils.parametrize. */
function* parametrized(names: Iterable<string>): Generator<Group> {
  const lists = new Map<string, Map<string, string>>()
  for (const name of names) {
    const match = PARAMETRIZED.exec(name)
    if (match === null) continue
    const weight = `${match[1]}${match[2]}`
    const parts = lists.get(weight) ?? new Map<string, string>()
    lists.set(weight, parts.set(match[3]!, name))
  }
  for (const [name, parts] of lists) {
    const rests = [...parts.keys()]
    // A module that is only called so has no originals.
    if (!rests.some((rest) => /^original\d*$/.test(rest))) continue
    const ordered = (...wanted: string[]) =>
      rests.length === wanted.length && wanted.every((rest) => parts.has(rest))
        ? wanted.map((rest) => parts.get(rest)!)
        : undefined
    const weightNorm = ordered('original0', 'original1')
    const spectralNorm = ordered('original', '0._u', '0._v')
    if (weightNorm !== undefined) yield { name, parts: weightNorm, kind: 'weightNorm' }
    else if (spectralNorm !== undefined) yield { name, parts: spectralNorm, kind: 'spectralNorm' }
    else if (rests.length === 1) yield { name, parts: [...parts.values()], kind: 'unitNorm' }
    else {
      const others = rests.filter((rest) => !/^original\d*$/.test(rest))
      const kind = others.some((rest) => !rest.startsWith('0.'))
        ? `it has several parametrizations (${others.join(', ')})`
        : `its parametrization is none of torch's norms (${rests.join(', ')})`
      yield { name, parts: [...parts.values()], kind }
    }
  }
}

/** Groups in the spelling of the older functions, which add hooks to a module. */
function* hooked(names: ReadonlySet<string>): Generator<Group> {
  for (const first of names) {
    const base = first.replace(/_(?:g|orig)$/, '')
    // A name ends with the '_' when nothing stands before it.
    if (base === first || base === '' || base.endsWith('.') || isNew(first)) continue
    const [g, v, orig, u, mask] = ['g', 'v', 'orig', 'u', 'mask'].map(
      (part) => `${base}_${part}`,
    ) as [string, string, string, string, string]
    const parts = [g, orig, u, v, mask].filter((name) => names.has(name))
    const has = (...wanted: string[]) =>
      parts.length === wanted.length && wanted.every((name) => names.has(name))
    if (first === orig && names.has(g)) continue
    if (has(g, v)) yield { name: base, parts: [g, v], kind: 'weightNorm' }
    else if (has(orig, u, v)) yield { name: base, parts: [orig, u, v], kind: 'spectralNorm' }
    else if (has(orig, mask)) yield { name: base, parts: [orig, mask], kind: 'mask' }
    else if (has(orig, u)) {
      const kind = 'it is spectral norm of torch 0.4, which did not save v'
      yield { name: base, parts, kind }
    } else if (names.has(orig) && (names.has(u) || names.has(mask))) {
      yield { name: base, parts, kind: 'it has several reparametrizations' }
    } else if (names.has(g) && names.has(v)) {
      yield { name: base, parts, kind: 'it has several reparametrizations' }
    }
  }
}

/** A formula, or why there is none. */
function formulaOf(
  { name, parts, kind }: Group,
  factor: (name: string) => Factor,
  hasSpectral: boolean,
): Formula | string {
  if (!isFormula(kind)) return kind
  const factors = parts.map(factor)
  for (const [i, { dtype, isPlain }] of factors.entries()) {
    const isMask = kind === 'mask' && i === 1
    if (!isPlain) return `'${parts[i]}' is not a plain dense tensor`
    if (!(isMask ? MASK_DTYPES : DTYPES).includes(dtype)) return `'${parts[i]}' is ${dtype}`
    if (!isMask && dtype !== factors[0]!.dtype) {
      return `'${parts[0]}' is ${factors[0]!.dtype}, '${parts[i]}' is ${dtype}`
    }
  }
  const shapes = factors.map(({ shape }) => shape)
  switch (kind) {
    case 'weightNorm':
      return weightNorm(name, parts, shapes)
    case 'spectralNorm':
      return spectralNorm(parts, shapes)
    case 'unitNorm':
      return unitNorm(parts, shapes, hasSpectral)
    case 'mask':
      if (!isSame(shapes[0]!, shapes[1]!)) return unfitting(parts, shapes)
      return { kind, weight: parts[0]!, mask: parts[1]! }
  }
}

function isFormula(kind: string): kind is Formula['kind'] {
  return ['weightNorm', 'spectralNorm', 'unitNorm', 'mask'].includes(kind)
}

/** The shape of g says which dimension has a norm for each index: all others are 1. */
function weightNorm(
  name: string,
  parts: readonly string[],
  shapes: readonly (readonly number[])[],
): Formula | string {
  const [g, v] = parts as [string, string]
  const [norms, weight] = shapes as [readonly number[], readonly number[]]
  const formula = (dim: number | undefined): Formula => ({ kind: 'weightNorm', g, v, dim })
  // Of vectors only what is called weight or bias: 'w_g' and 'w_v' can be anything.
  const isNamed = /(?:^|\.)(?:weight|bias)[^.]*$/s.test(name) || isNew(g)
  if (weight.length < 2 && !isNamed) return unfitting(parts, shapes)
  if (norms.length !== weight.length) {
    return product(norms) === 1 ? formula(undefined) : unfitting(parts, shapes)
  }
  const kept = norms.flatMap((size, dim) => (size === 1 ? [] : [dim]))
  if (kept.length > 1) return unfitting(parts, shapes)
  const dim = kept[0] ?? weight.indexOf(1)
  if (dim === -1) return norms.length === 0 ? formula(undefined) : unfitting(parts, shapes)
  return norms[dim] === weight[dim] ? formula(dim) : unfitting(parts, shapes)
}

/**
 * The names do not say which dimension comes first in the matrix, which is 1 for transposed
 * convolutions and 0 else: the sizes of u and v do. Where both fit, the kernel looks at the values.
 */
function spectralNorm(
  parts: readonly string[],
  shapes: readonly (readonly number[])[],
): Formula | string {
  const [weight, u, v] = parts as [string, string, string]
  const [sizes, rows, columns] = shapes as [readonly number[], readonly number[], readonly number[]]
  const dims = sizes.flatMap((size, dim) => (size === rows[0] ? [dim] : []))
  const fits =
    rows.length === 1 && columns.length === 1 && rows[0]! * columns[0]! === product(sizes)
  if (!fits || dims.length === 0 || rows[0] === 0) return unfitting(parts, shapes)
  // A matrix is that of a linear layer or an embedding.
  const other = sizes.length > 2 && dims[0] === 0 && dims[1] === 1 ? 1 : undefined
  return { kind: 'spectralNorm', weight, u, v, dim: dims[0]!, other }
}

function unitNorm(
  parts: readonly string[],
  shapes: readonly (readonly number[])[],
  hasSpectral: boolean,
): Formula | string {
  if (shapes[0]!.length !== 1) return 'its parametrization has no buffers: it can be any function'
  if (!hasSpectral) {
    return 'its parametrization can be any function: no other weight here has spectral norm'
  }
  return { kind: 'unitNorm', weight: parts[0]! }
}

function unfitting(parts: readonly string[], shapes: readonly (readonly number[])[]): string {
  const shown = parts.map((part, i) => `'${part}' is [${shapes[i]!.join(', ')}]`)
  return `the shapes do not fit: ${shown.join(', ')}`
}

function isSame(a: readonly number[], b: readonly number[]): boolean {
  return a.length === b.length && a.every((size, i) => size === b[i])
}

function product(sizes: readonly number[]): number {
  return sizes.reduce((a, b) => a * b, 1)
}
