/** How the integers of a quantised tensor stand for real numbers. */

import { UnsupportedError } from './errors'
import type { Tensor } from './tensor'
import type { Scaling } from './values'

/** One number for each index along the axis, from the part of a tensor that holds them. */
export function perChannel(part: Tensor): Float64Array {
  const isBits = part.dtype === 'float16' || part.dtype === 'bfloat16'
  return Float64Array.from(isBits ? part.toFloat32() : part.data, Number)
}

/** @throws {@link UnsupportedError} `UNSUPPORTED_DTYPE` for a tensor that is not quantised */
export function scalingOf(tensor: Tensor, path: string | undefined): Scaling {
  const { scale, zeroPoint, axis, dtype, name } = tensor
  // torch multiplies by one scale as float32, by many as they are (ATen/native/quantized, v2.13).
  const scales = scale === undefined ? tensor.scales : Float64Array.of(Math.fround(scale))
  const zeroPoints = scale === undefined ? tensor.zeroPoints : Float64Array.of(zeroPoint!)
  if (scales === undefined || zeroPoints === undefined) {
    const message = `tensor '${name}' is ${dtype}, which is not quantised`
    throw new UnsupportedError('UNSUPPORTED_DTYPE', message, { path }, dtype)
  }
  return { scales, zeroPoints, axis }
}
