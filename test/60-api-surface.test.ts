/** What the package exports: a new name, or one that is gone, shows here. */
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from '@jest/globals'
import * as torchmap from '../lib/index'
import * as onnxruntime from '../lib/onnxruntime'

test('exports', () => {
  expect(Object.keys(torchmap).sort()).toMatchInlineSnapshot(`
[
  "Checkpoint",
  "CheckpointError",
  "FormatError",
  "LIMITS",
  "LimitError",
  "NumpyArray",
  "PyGlobal",
  "PyObject",
  "RemoteError",
  "StateError",
  "Storage",
  "Tensor",
  "UnsafeError",
  "UnsupportedError",
  "isCheckpointError",
  "open",
  "openHandle",
  "openSync",
]
`)
})

test("exports of 'torchmap/onnxruntime'", () => {
  expect(Object.keys(onnxruntime).sort()).toEqual(['feedsOf', 'toOrt'])
})

test.each([
  ['index', torchmap],
  ['onnxruntime', onnxruntime],
])('import gives the names that require gives: %s', (name, required) => {
  const source = readFileSync(join(__dirname, `../lib/${name}.mts`), 'utf8')
  const listed = /export \{([^}]*)\}/.exec(source)?.[1] ?? ''
  expect(listed.match(/\w+/g)?.sort()).toEqual(Object.keys(required).sort())
})

test.each([
  [
    'Tensor',
    torchmap.Tensor,
    `axis byteLength bytes ccolIndices colIndices crowIndices data dequantize device dtype indices
    isCoalesced isContiguous isLoaded isMeta isParameter isZeroCopy layout lengths load local name offsets parts qscheme
    readInto readIntoSync requiresGrad rowIndices rowOffsets rows scale scales shape size sizes storage storageOffset stride strides
    toDense toFloat32 toJSON values zeroPoint zeroPoints`,
  ],
  [
    'Checkpoint',
    torchmap.Checkpoint,
    `byteOrder close closed era flavor format handle identity isMapped isSalvaged load metadata parts path
    prefetch producer readAllInto readable root size skipped stateDict stream tensors training verify verifySync`,
  ],
  ['NumpyArray', torchmap.NumpyArray, 'byteLength data items size strings'],
])('members of %s', (_, { prototype }, members) => {
  const found = new Set<string>()
  for (let at = prototype; at !== Object.prototype; at = Object.getPrototypeOf(at))
    for (const name of Object.getOwnPropertyNames(at)) found.add(name)
  found.delete('constructor')
  expect([...found].sort()).toEqual(members.split(/\s+/))
})

test('nobody but open makes checkpoints, tensors and arrays', () => {
  for (const Class of [torchmap.Checkpoint, torchmap.Tensor, torchmap.NumpyArray] as unknown[]) {
    expect(() => new (Class as new () => unknown)()).toThrow('Illegal constructor')
  }
})
