/** The values of narrow floats, decoded the long way round, to compare with. */

interface Form {
  exponentBits: number
  mantissaBits: number
  bias: number
  /** What the largest exponent means: infinities and NaN, NaN where all bits are set, or nothing special. */
  top: 'ieee' | 'nan' | 'plain'
  /** Whether the pattern of -0 is NaN, the only one. */
  isUnsignedZero: boolean
}

export const FORMS: Record<string, Form> = {
  float16: { exponentBits: 5, mantissaBits: 10, bias: 15, top: 'ieee', isUnsignedZero: false },
  bfloat16: { exponentBits: 8, mantissaBits: 7, bias: 127, top: 'ieee', isUnsignedZero: false },
  float8_e5m2: { exponentBits: 5, mantissaBits: 2, bias: 15, top: 'ieee', isUnsignedZero: false },
  float8_e4m3fn: { exponentBits: 4, mantissaBits: 3, bias: 7, top: 'nan', isUnsignedZero: false },
  float8_e5m2fnuz: {
    exponentBits: 5,
    mantissaBits: 2,
    bias: 16,
    top: 'plain',
    isUnsignedZero: true,
  },
  float8_e4m3fnuz: {
    exponentBits: 4,
    mantissaBits: 3,
    bias: 8,
    top: 'plain',
    isUnsignedZero: true,
  },
}

/** The number a bit pattern stands for. */
export function decode(pattern: number, form: Form): number {
  const { exponentBits, mantissaBits, bias, top, isUnsignedZero } = form
  const sign = pattern >> (exponentBits + mantissaBits) === 0 ? 1 : -1
  const exponent = (pattern >> mantissaBits) & (2 ** exponentBits - 1)
  const mantissa = pattern & (2 ** mantissaBits - 1)
  const isTop = exponent === 2 ** exponentBits - 1
  if (isUnsignedZero && sign < 0 && exponent === 0 && mantissa === 0) return Number.NaN
  if (isTop && top === 'ieee') return mantissa === 0 ? sign * Number.POSITIVE_INFINITY : Number.NaN
  if (isTop && top === 'nan' && mantissa === 2 ** mantissaBits - 1) return Number.NaN
  const fraction = mantissa / 2 ** mantissaBits
  if (exponent === 0) return sign * fraction * 2 ** (1 - bias)
  return sign * (1 + fraction) * 2 ** (exponent - bias)
}

/** A whole number rounded once to float32, ties to even: through a double it would be rounded twice. */
export function roundInteger(value: bigint): number {
  const magnitude = value < 0n ? -value : value
  const extra = BigInt(Math.max(0, magnitude.toString(2).length - 24))
  const step = 1n << extra
  const rest = magnitude % step
  let rounded = magnitude - rest
  const isOdd = (rounded / step) % 2n === 1n
  if (rest * 2n > step || (rest * 2n === step && isOdd)) rounded += step
  return value < 0n ? -Number(rounded) : Number(rounded)
}

/** Where two arrays differ: bits, not values, but any NaN is any other. */
export function differences(found: Float32Array, wanted: Float32Array): string[] {
  const rows: string[] = []
  if (found.length !== wanted.length) rows.push(`${found.length} of ${wanted.length} elements`)
  for (let i = 0; i < wanted.length; ++i) {
    const bothNaN = Number.isNaN(found[i]) && Number.isNaN(wanted[i])
    if (!bothNaN && !Object.is(found[i], wanted[i])) {
      rows.push(`element ${i}: found ${found[i]}, wanted ${wanted[i]}`)
    }
  }
  return rows
}
