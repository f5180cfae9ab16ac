/** Graphs of one node, byte by byte. Source: onnx/onnx.proto, ONNX 1.23. */

/** TensorProto.DataType. */
export const ONNX_TYPES = {
  float32: 1,
  uint8: 2,
  int8: 3,
  uint16: 4,
  int16: 5,
  int32: 6,
  int64: 7,
  bool: 9,
  float16: 10,
  float64: 11,
  uint32: 12,
  uint64: 13,
} as const

export type OnnxType = keyof typeof ONNX_TYPES

/** A field of a message: a number, a text or a message. All are below 128 bytes. */
function field(number: number, value: number | string | Buffer): Buffer {
  if (typeof value === 'number') return Buffer.from([number << 3, value])
  const bytes = Buffer.from(value)
  return Buffer.concat([Buffer.from([(number << 3) | 2, bytes.length]), bytes])
}

const message = (...fields: Buffer[]) => Buffer.concat(fields)

/** A model that gives its input `x` of a type, of any shape, as `y`. */
export function identityModel(type: OnnxType): Buffer {
  const tensor = message(field(1, ONNX_TYPES[type]))
  const value = (name: string) => message(field(1, name), field(2, message(field(1, tensor))))
  const node = message(field(1, 'x'), field(2, 'y'), field(4, 'Identity'))
  const graph = message(field(1, node), field(2, 'g'), field(11, value('x')), field(12, value('y')))
  return message(field(1, 8), field(7, graph), field(8, message(field(2, 17))))
}
