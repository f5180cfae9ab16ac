/**
 * Tensors for ONNX Runtime. Its own class of tensors is used here; what computes with them runs in
 * processes of its own.
 */
import { spawnSync } from 'node:child_process'
import { readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { types } from 'node:util'
import { afterEach, describe, expect, test } from '@jest/globals'
import * as ort from 'onnxruntime-common'
import { openSync, type Tensor } from '../lib/index'
import { feedsOf, toOrt } from '../lib/onnxruntime'
import { FIXTURES } from './support/golden'
import { identityModel, ONNX_TYPES, type OnnxType } from './support/onnx-writer'
import { refusal, temporaryFolder, tensorOf, writeSample } from './support/samples'

const folder = temporaryFolder('onnxruntime')
const path = writeSample(join(folder, 'sample.pth'))
const golden = (name: string) => join(FIXTURES, 'torch-2.13', name)

const GOLDENS = ['torch-1.13', 'torch-2.13', 'safetensors'].flatMap((set) =>
  readdirSync(join(FIXTURES, set))
    .filter((file) => /\.(pt|safetensors)$/.test(file))
    .map((file) => join(FIXTURES, set, file)),
)

const bytesOf = (view: ArrayBufferView) =>
  Buffer.from(view.buffer, view.byteOffset, view.byteLength)

function child<T>(task: string, ...args: string[]): T {
  const { status, stdout, stderr } = spawnSync(
    process.execPath,
    ['--expose-gc', join(__dirname, 'support/onnxruntime-child.mjs'), task, ...args],
    { encoding: 'utf8', cwd: join(__dirname, '..') },
  )
  if (status !== 0) throw new Error(stderr)
  return JSON.parse(stdout) as T
}

/** An error that a wrong argument must have. */
const argumentError = (use: () => unknown) => {
  try {
    use()
  } catch (error) {
    return { code: (error as { code: string }).code, message: (error as Error).message }
  }
  throw new Error('nothing was thrown')
}

describe('every golden', () => {
  const TO_FLOAT32 = /^(bfloat16|float8_.*|qu?int.*)$/

  function check(tensor: Tensor): string {
    const { dtype, shape } = tensor
    let made: ort.Tensor
    try {
      made = toOrt(tensor, ort)
    } catch (error) {
      const { code, message } = error as { code: string; message: string }
      const isNumber = dtype in ONNX_TYPES || TO_FLOAT32.test(dtype)
      if (code === 'UNSUPPORTED_DTYPE') {
        expect([dtype, isNumber]).toEqual([dtype, false])
        expect(message).toContain(dtype)
      } else {
        expect(code).toBe('UNSUPPORTED_LAYOUT')
      }
      return code
    }
    expect(made.dims).toEqual(shape)
    expect(made.location).toBe('cpu')
    if (TO_FLOAT32.test(dtype)) {
      expect(made.type).toBe('float32')
      expect(bytesOf(made.data as Float32Array).equals(bytesOf(tensor.toFloat32()))).toBe(true)
      return 'converted'
    }
    expect(made.type).toBe(dtype)
    expect(made.data).toBe(tensor.data)
    const wide = toOrt(tensor, ort, { dtype: 'float32' })
    const isFloat = dtype.startsWith('float')
    expect(wide.type).toBe(isFloat ? 'float32' : dtype)
    if (!isFloat || dtype === 'float32') expect(wide.data).toBe(tensor.data)
    else expect(bytesOf(wide.data as Float32Array).equals(bytesOf(tensor.toFloat32()))).toBe(true)
    return dtype
  }

  test('has the elements of data, or of toFloat32()', () => {
    const counts: Record<string, number> = {}
    for (const file of GOLDENS) {
      let checkpoint: ReturnType<typeof openSync>
      try {
        checkpoint = openSync(file)
      } catch {
        continue
      }
      for (const tensor of checkpoint.tensors.values()) {
        const kind = check(tensor)
        counts[kind] = (counts[kind] ?? 0) + 1
      }
      checkpoint.close()
    }
    for (const type of Object.keys(ONNX_TYPES))
      expect([type, counts[type]! > 2]).toEqual([type, true])
    expect(counts.converted).toBeGreaterThan(50)
    expect(counts.UNSUPPORTED_DTYPE).toBeGreaterThan(20)
    expect(counts.UNSUPPORTED_LAYOUT).toBeGreaterThan(10)
  })

  test('goes through the engine unchanged, every type of it', () => {
    for (const type of Object.keys(ONNX_TYPES) as OnnxType[])
      writeFileSync(join(folder, `${type}.onnx`), identityModel(type))
    const files = GOLDENS.filter((file) =>
      /(dtypes|scalar|empty|views|strides|high)[^/]*\.pt$/.test(file),
    )
    const same = child<Record<string, { same: number; other: number }>>('types', folder, ...files)
    expect(Object.keys(same).sort()).toEqual(Object.keys(ONNX_TYPES).sort())
    for (const [type, { other }] of Object.entries(same)) expect([type, other]).toEqual([type, 0])
  })
})

describe('memory', () => {
  test('a contiguous tensor is the mapped file, a scalar has no dims', () => {
    using checkpoint = openSync(path)
    const tensor = tensorOf(checkpoint, 'weight')
    const made: ort.Tensor = toOrt(tensor, ort)
    expect(tensor.isZeroCopy).toBe(true)
    expect((made.data as Float32Array).buffer).toBe(tensor.data.buffer)
    expect((toOrt(tensorOf(checkpoint, 'tied'), ort).data as Float32Array).buffer).toBe(
      tensor.data.buffer,
    )
    using scalars = openSync(golden('scalars.pt'))
    const dims = [...scalars.tensors.values()].map((scalar) => toOrt(scalar, ort).dims)
    expect(dims.filter(({ length }) => length === 0).length).toBeGreaterThan(2)
  })

  test('memory that threads share is copied', () => {
    const file = readFileSync(path)
    const shared = new Uint8Array(new SharedArrayBuffer(file.length))
    shared.set(file)
    using checkpoint = openSync(shared)
    const tensor = tensorOf(checkpoint, 'weight')
    expect(tensor.data.buffer).toBe(shared.buffer)
    const data = toOrt(tensor, ort).data as Float32Array
    expect(types.isSharedArrayBuffer(data.buffer)).toBe(false)
    expect([...data]).toEqual([0, 1, 2, 3, 4, 5])
  })

  test('is gone after close()', () => {
    const checkpoint = openSync(path)
    const tensor = tensorOf(checkpoint, 'weight')
    const empty = openSync(golden('empty.pt'))
    const none = [...empty.tensors.values()].map((each) => toOrt(each, ort))
    const made = toOrt(tensor, ort)
    expect(made.data).toBe(tensor.data)
    checkpoint.close()
    empty.close()
    const error = refusal(() => made.data)
    expect(error).toMatchObject({ name: 'StateError', code: 'CLOSED', path })
    expect(error.message).toContain("the memory of tensor 'weight' is gone")
    expect(refusal(() => toOrt(tensor, ort))).toMatchObject({ code: 'CLOSED' })
    // Where nothing was, nothing is gone.
    for (const each of none) if (each.size === 0) expect((each.data as Float32Array).length).toBe(0)
  })

  test("is gone after transfer(), and a disposed tensor is the engine's to refuse", () => {
    const bytes = Uint8Array.from(readFileSync(path))
    using checkpoint = openSync(bytes)
    const made = toOrt(tensorOf(checkpoint, 'weight'), ort)
    const other = toOrt(tensorOf(checkpoint, 'other'), ort)
    other.dispose()
    expect(() => other.data).toThrow('disposed')
    structuredClone(bytes.buffer, { transfer: [bytes.buffer] })
    expect(refusal(() => made.data)).toMatchObject({ code: 'CLOSED' })
  })
})

describe('float16 where the runtime has Float16Array', () => {
  const runtime = globalThis as { Float16Array?: unknown }
  const own = runtime.Float16Array
  afterEach(() => {
    if (own === undefined) delete runtime.Float16Array
    else runtime.Float16Array = own
  })

  /** As releases 1.17 to 1.20 are. */
  class Strict {
    readonly given: Uint16Array
    constructor(type: string, data: Uint16Array, _dims: readonly number[]) {
      const Halves = runtime.Float16Array as typeof Uint16Array
      if (type === 'float16' && !(data instanceof Halves))
        throw new TypeError('must be Float16Array')
      this.given = data
    }
  }

  test('an engine that wants that gets one over the same memory', () => {
    runtime.Float16Array = class extends Uint16Array {}
    using checkpoint = openSync(golden('dtypes-float.pt'))
    const tensor = tensorOf(checkpoint, 'float16')
    const made = toOrt(tensor, { Tensor: Strict }) as Strict & { data: Uint16Array }
    expect(made.given).toBeInstanceOf(runtime.Float16Array as never)
    expect(bytesOf(made.given).equals(bytesOf(tensor.data))).toBe(true)
    expect(made.given.buffer).toBe(tensor.data.buffer)
    expect(made.data).toBe(tensor.data)
  })

  test('what an engine says of its own is passed on', () => {
    class Refusing {
      constructor(type: string, _data: unknown, _dims: unknown) {
        throw new TypeError(`no ${type} today`)
      }
    }
    using checkpoint = openSync(golden('dtypes-float.pt'))
    for (const name of ['float16', 'float32']) {
      const use = () => toOrt(tensorOf(checkpoint, name), { Tensor: Refusing })
      expect(use).toThrow(`no ${name} today`)
    }
  })
})

describe('feeds', () => {
  test('are what the graph asks for, by name', () => {
    using checkpoint = openSync(path)
    const { tensors } = checkpoint
    const session = { inputNames: ['weight', 'image', 'other'] }
    const feeds: Record<string, ort.Tensor> = feedsOf(tensors, session, ort, { except: ['image'] })
    expect(Object.keys(feeds)).toEqual(['weight', 'other'])
    expect(feeds.weight!.data).toBe(tensorOf(checkpoint, 'weight').data)
    expect(Object.keys(feedsOf(tensors, new Set(['tied']), ort))).toEqual(['tied'])
    expect(feedsOf(tensors, [], ort)).toEqual({})
    using halves = openSync(golden('dtypes-float.pt'))
    const wide = feedsOf(halves.tensors, ['float16', 'float64'], ort, { dtype: 'float32' })
    expect(Object.values(wide).map(({ type }) => type)).toEqual(['float32', 'float32'])
  })

  test('an input without a tensor is an error', () => {
    using checkpoint = openSync(path)
    const error = refusal(() => feedsOf(checkpoint.tensors, ['weight', 'wieght'], ort))
    expect(error).toMatchObject({ name: 'StateError', code: 'NO_SUCH_TENSOR' })
    expect(error.message).toContain("'wieght'")
  })

  test('wrong arguments', () => {
    using checkpoint = openSync(path)
    const { tensors } = checkpoint
    const weight = tensorOf(checkpoint, 'weight')
    const any = (value: unknown) => value as never
    const cases: [() => unknown, string, string][] = [
      [() => toOrt(weight, any({})), 'ERR_INVALID_ARG_TYPE', 'onnxruntime-node'],
      [() => toOrt(any({ dtype: 'float32' }), ort), 'ERR_INVALID_ARG_TYPE', 'a Tensor'],
      [() => toOrt(weight, ort, any({ dtyp: 'float32' })), 'ERR_INVALID_ARG_VALUE', 'dtype'],
      [() => toOrt(weight, ort, any({ dtype: 'int8' })), 'ERR_INVALID_ARG_VALUE', "'float32'"],
      [() => feedsOf(tensors, any('weight'), ort), 'ERR_INVALID_ARG_TYPE', 'inputs'],
      [() => feedsOf(tensors, any(undefined), ort), 'ERR_INVALID_ARG_TYPE', 'inputs'],
      [() => feedsOf(any({}), ['weight'], ort), 'ERR_INVALID_ARG_TYPE', 'tensors'],
      [() => feedsOf(tensors, ['weight'], any(7)), 'ERR_INVALID_ARG_TYPE', 'ort'],
      [() => feedsOf(tensors, [], ort, any({ except: 'x' })), 'ERR_INVALID_ARG_TYPE', 'except'],
    ]
    for (const [use, code, text] of cases) {
      const error = argumentError(use)
      expect(error).toMatchObject({ code })
      expect(error.message).toContain(text)
    }
  })
})

interface Classified {
  difference: number
  scale: number
  again: number
  changed: number
  anonymous: number
  [name: string]: unknown
}

describe('examples/onnx', () => {
  const closed = { name: 'StateError', code: 'CLOSED' }

  function check(
    files: string,
    { classes, bytes }: { classes: number; bytes: number },
  ): Classified {
    const result = child<Classified>('classify', files)
    expect(result).toMatchObject({ classes, bytes, again: 0 })
    // 122 entries of the state dict, 20 of which count batches and are no inputs.
    expect(result).toMatchObject({ tensors: 122, inputs: 102, views: 102, buffers: 1 })
    expect(result.difference).toBeLessThan(1e-5)
    expect(result.scale).toBeGreaterThan(0.1)
    expect(result.changed).toBeGreaterThan(900)
    expect(result).toMatchObject({ closed, closedBefore: closed })
    return result
  }

  test('classifies as torch does, with the weights in the mapped file', () => {
    check('examples/onnx/narrow', { classes: 10, bytes: 714_248 })
  })

  test('its command', () => {
    const { status, stdout } = spawnSync(process.execPath, ['examples/onnx/classify.mjs'], {
      cwd: join(__dirname, '..'),
      encoding: 'utf8',
    })
    expect(status).toBe(0)
    expect(stdout).toMatch(
      /^class \d of 10\nlargest difference from torch's logits: \d\.\de-\d+\n$/,
    )
  })

  test('an input that the caller forgot to name', () => {
    const error = child<object>('feeds', 'examples/onnx/narrow')
    expect(error).toMatchObject({ code: 'NO_SUCH_TENSOR' })
  })

  test('the engine alone refuses memory that is gone, in other words', () => {
    writeFileSync(join(folder, 'float32.onnx'), identityModel('float32'))
    const error = child<{ code?: string; message: string }>('detached', folder)
    expect(error.code).toBeUndefined()
    expect(error.message).toContain('not enough space')
  })

  // With a Python that has torch, onnx and onnxscript: the whole ResNet-18, 45 MB of weights.
  const python = process.env.TORCHMAP_PYTHON
  if (python !== undefined) {
    test('the full width', () => {
      const full = join(folder, 'full')
      const script = join(__dirname, '../examples/onnx/make_resnet18.py')
      const { status, stderr } = spawnSync(python, [script, full], { encoding: 'utf8' })
      expect([status, status === 0 ? '' : stderr]).toEqual([0, ''])
      const result = check(full, { classes: 1000, bytes: 46_796_448 })
      expect(Number(result.arrayBuffers)).toBeLessThan(1e6)
      expect(Number(result.heap)).toBeLessThan(1e6)
      expect(result.anonymous).toBeLessThan(4e6)
    }, 300_000)
  }
})
