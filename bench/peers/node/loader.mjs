// What plain JavaScript can do: a directory of the archive read with node:fs, fflate where a record is deflated, and
// pickleparser for the pickle, with stand-ins for the classes a state dict names.

import { readFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { serve } from '../../loaders/protocol.mjs'
import { tools } from '../../tools.mjs'
import { Archive } from './archive.mjs'

const require = createRequire(import.meta.url)
const { Parser } = require('pickleparser')
const versionOf = (name) => `${name} ${require(`./node_modules/${name}/package.json`).version}`

const ITEM_SIZES = { FloatStorage: 4, LongStorage: 8 }

class Tensor {
  constructor(storage, offset, shape) {
    Object.assign(this, { storage, offset, shape })
  }
}

/** A storage class: only its name counts. Called and constructed like any class the pickle names. */
const storageClass = (name) => Object.assign(() => undefined, { storage: name })

const CLASSES = {
  'collections.OrderedDict': () => new Map(),
  'torch._utils._rebuild_tensor_v2': (storage, offset, shape) => new Tensor(storage, offset, shape),
}

function parse(bytes) {
  return new Parser({
    unpicklingTypeOfDictionary: 'Map',
    nameResolver: { resolve: (module, name) => CLASSES[`${module}.${name}`] ?? storageClass(name) },
    persistentResolver: { resolve: ([, { storage: dtype }, key]) => ({ dtype, key }) },
  }).parse(bytes)
}

function tensorsOf(value, found = []) {
  for (const [name, item] of value instanceof Map ? value : Object.entries(value)) {
    if (item instanceof Tensor) found.push([name, item.storage.dtype, item.shape, item])
    else if (typeof item === 'object' && item !== null) tensorsOf(item, found)
  }
  return found
}

function opened(path) {
  const archive = new Archive(path)
  const pickle = [...archive.records.keys()].find((name) => name.endsWith('/data.pkl'))
  const folder = pickle.slice(0, -'data.pkl'.length)
  return { archive, folder, found: tensorsOf(parse(archive.read(pickle))) }
}

function names(path) {
  const { archive, found } = opened(path)
  return { tensors: found.length, held: Object.assign(archive, { found }) }
}

function bytes(path) {
  const addon = tools()
  const { archive, folder, found } = opened(path)
  const held = []
  for (const [, , shape, { storage, offset }] of found) {
    const size = ITEM_SIZES[storage.dtype]
    const count = shape.reduce((product, n) => product * n, 1)
    const all = archive.read(`${folder}data/${storage.key}`)
    const part = all.subarray(offset * size, (offset + count) * size)
    addon.touch(new Uint8Array(part.buffer, part.byteOffset, part.length))
    held.push(part)
  }
  return { tensors: found.length, sum: addon.takeSum(), held: Object.assign(archive, { held }) }
}

/** The pickle alone, out of memory. */
function decode(path) {
  const data = readFileSync(path)
  const start = performance.now()
  const value = parse(data)
  return { ms: performance.now() - start, tensors: value.size }
}

await serve(`${versionOf('pickleparser')}, ${versionOf('fflate')}`, { names, bytes, decode })
