/**
 * Tensors as ONNX Runtime takes them: the export `torchmap/onnxruntime`. It imports no engine: the
 * caller hands over the module, onnxruntime-node, -web or another with the class `Tensor` of
 * onnxruntime-common. Facts: onnxruntime 1.30, js/common/lib/tensor-impl.ts; what the bindings
 * accept was tried with 1.30 of -node and -web.
 *
 * @example
 * ```ts
 * import * as ort from 'onnxruntime-node'
 * import { open } from 'torchmap'
 * import { feedsOf } from 'torchmap/onnxruntime'
 *
 * const session = await ort.InferenceSession.create('resnet18.onnx')
 * const checkpoint = await open('resnet18.pth')
 * const weights = feedsOf(checkpoint.stateDict(), session, ort, { except: ['image'] })
 * const { logits } = await session.run({ ...weights, image })
 * ```
 *
 * @packageDocumentation
 */
import { types } from 'node:util'
import { checkOptions, wrongType, wrongValue } from './arguments'
import type { DType, TensorData } from './dtype'
import { StateError, UnsupportedError } from './errors'
import { rowOf, Tensor } from './tensor'

/** What is used of an engine's module: its class of tensors. */
export interface OrtModule {
  readonly Tensor: abstract new (...args: never[]) => object
}

/** The tensors of an engine: `ort.Tensor`. */
export type OrtTensor<Ort extends OrtModule> = InstanceType<Ort['Tensor']>

export interface ToOrtOptions {
  /**
   * `float32`: every floating-point tensor becomes that; integers and booleans stay what they are.
   * By default float16 and float64 stay, too.
   */
  dtype?: 'float32' | undefined
}

export interface FeedsOptions extends ToOrtOptions {
  /** Inputs that the caller feeds: they need no tensor. */
  except?: Iterable<string> | undefined
}

/** What the engine has a type of the same name for, over the same elements. */
const SHARED: ReadonlySet<DType> = new Set([
  'float32',
  'float64',
  'float16',
  'int8',
  'int16',
  'int32',
  'int64',
  'uint8',
  'uint16',
  'uint32',
  'uint64',
  'bool',
])

/** What it has none for, and float32 holds without loss. */
const WIDENED: ReadonlySet<DType> = new Set([
  'bfloat16',
  'float8_e5m2',
  'float8_e4m3fn',
  'float8_e5m2fnuz',
  'float8_e4m3fnuz',
  'float8_e8m0fnu',
])

/**
 * A tensor of the engine over the memory of {@link Tensor.data}, which is not copied: of a
 * contiguous tensor the mapped file itself. bfloat16 and float8 become float32, and quantised
 * tensors what `dequantize()` gives.
 *
 * The memory has to live until the last run with it is done: {@link Checkpoint.close} takes it
 * away, and then asking for the `data` of what is returned throws `CLOSED`, which a run that
 * begins later is rejected with.
 *
 * @param ort the module of the engine
 * @throws {@link UnsupportedError} `UNSUPPORTED_DTYPE` for complex and bits dtypes
 * @throws what {@link Tensor.data} throws
 */
export function toOrt<Ort extends OrtModule>(
  tensor: Tensor,
  ort: Ort,
  options: ToOrtOptions = {},
): OrtTensor<Ort> {
  checkModule(ort)
  checkOptions('options', options, ['dtype'])
  return made(tensor, ort, checkDType(options.dtype))
}

/**
 * The tensors that a graph asks for by name, as the first argument of `session.run()` has them.
 *
 * @param tensors such as {@link Checkpoint.stateDict}; those that are no inputs are left out
 * @param inputs a session, all of whose inputs are meant, or names
 * @param ort the module of the engine
 * @throws {@link StateError} `NO_SUCH_TENSOR` for an input that neither has a tensor nor is named
 * in `except`
 * @throws what {@link toOrt} throws
 */
export function feedsOf<Ort extends OrtModule>(
  tensors: ReadonlyMap<string, Tensor>,
  inputs: Iterable<string> | { readonly inputNames: readonly string[] },
  ort: Ort,
  options: FeedsOptions = {},
): Record<string, OrtTensor<Ort>> {
  checkModule(ort)
  checkOptions('options', options, ['dtype', 'except'])
  const dtype = checkDType(options.dtype)
  if (typeof tensors?.get !== 'function') throw wrongType('tensors', 'a map of tensors', tensors)
  const except = new Set(namesOf('options.except', options.except ?? []))
  const { inputNames = inputs } = (inputs ?? {}) as { inputNames?: unknown }
  const feeds: [string, OrtTensor<Ort>][] = []
  for (const name of namesOf('inputs', inputNames)) {
    if (except.has(name)) continue
    const tensor = tensors.get(name)
    if (tensor === undefined) {
      const message = `the graph has the input '${name}', which no tensor has the name of`
      throw new StateError('NO_SUCH_TENSOR', message)
    }
    feeds.push([name, made(tensor, ort, dtype)])
  }
  return Object.fromEntries(feeds)
}

function checkModule(ort: OrtModule): void {
  if (typeof ort?.Tensor === 'function') return
  throw wrongType('ort', 'the module of an engine, such as onnxruntime-node', ort)
}

function checkDType(dtype: unknown): 'float32' | undefined {
  if (dtype === undefined || dtype === 'float32') return dtype
  throw wrongValue('options.dtype', "'float32'", dtype)
}

function namesOf(argument: string, names: unknown): Iterable<string> {
  const isIterable = typeof names === 'object' && names !== null && Symbol.iterator in names
  if (!isIterable) throw wrongType(argument, 'an iterable of names', names)
  return names as Iterable<string>
}

function made<Ort extends OrtModule>(
  tensor: Tensor,
  ort: Ort,
  wanted: 'float32' | undefined,
): OrtTensor<Ort> {
  if (!(tensor instanceof Tensor)) throw wrongType('tensor', 'a Tensor', tensor)
  const { type, data } = elementsFor(tensor, wanted)
  const { path } = rowOf(tensor).session
  return guarded(construct(ort, type, data, [...tensor.shape]), data, tensor.name, path)
}

function elementsFor(
  tensor: Tensor,
  wanted: 'float32' | undefined,
): { type: DType; data: TensorData } {
  const { dtype } = tensor
  const isWide = WIDENED.has(dtype) || tensor.qscheme !== undefined
  const isOther = wanted === 'float32' && (dtype === 'float16' || dtype === 'float64')
  if (isWide || isOther) return { type: 'float32', data: tensor.toFloat32() }
  if (!SHARED.has(dtype)) {
    const message = `tensor '${tensor.name}' is ${dtype}, which onnxruntime has no type for`
    const { path } = rowOf(tensor).session
    throw new UnsupportedError('UNSUPPORTED_DTYPE', message, { path }, dtype)
  }
  const { data } = tensor
  // onnxruntime-node on Node 20 takes no shared memory ("Invalid argument").
  return { type: dtype, data: types.isSharedArrayBuffer(data.buffer) ? data.slice() : data }
}

type Maker = new (type: DType, data: ArrayBufferView, dims: number[]) => object

/**
 * Where a runtime has Float16Array, releases 1.17 to 1.20 want that for float16 and nothing else;
 * newer ones, and all where it has none, take a Uint16Array.
 */
function construct(ort: OrtModule, type: DType, data: TensorData, dims: number[]): object {
  const Maker = ort.Tensor as unknown as Maker
  const { Float16Array } = globalThis as { Float16Array?: typeof Uint16Array }
  try {
    return new Maker(type, data, dims)
  } catch (error) {
    if (type !== 'float16' || Float16Array === undefined) throw error
    const { buffer, byteOffset, length } = data
    return new Maker(type, new Float16Array(buffer, byteOffset, length), dims)
  }
}

/**
 * Gives `data` at every request, or says that it is gone: an engine would say "not enough space:
 * expected 6144, got 0" (-node) or "Cannot perform Construct on a detached ArrayBuffer" (-web).
 *
 * float16 is given as the Uint16Array it is, also where the engine's class keeps a Float16Array:
 * from that one onnxruntime-node 1.30 reads 0 bytes on Node 24 and 26.
 */
function guarded<T>(tensor: object, data: TensorData, name: string, path: string | undefined): T {
  const { length } = data
  const get = () => {
    // A disposed tensor is the engine's to refuse.
    Reflect.get(Object.getPrototypeOf(tensor), 'data', tensor)
    if (data.length === length) return data
    const message = `the memory of tensor '${name}' is gone: close() or transfer() took it away`
    throw new StateError('CLOSED', message, { path })
  }
  return Object.defineProperty(tensor, 'data', { get, enumerable: true, configurable: true }) as T
}
