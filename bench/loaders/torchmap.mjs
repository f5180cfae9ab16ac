// torchmap as a contestant, through what the package exports.

import { createRequire } from 'node:module'
import { tools } from '../tools.mjs'
import { memory } from './memory.mjs'
import { serve } from './protocol.mjs'

const require = createRequire(import.meta.url)
const torchmap = require('../../dist/index.js')
const { version } = require('../../package.json')

// The strategy this process is about, if it is about one.
const io = ['mmap', 'pread'].find((name) => name === process.argv[2])
const openSync = (path) => torchmap.openSync(path, { io })

/** Every name, dtype and shape as JavaScript has them. */
function names(path) {
  const held = openSync(path)
  let [tensors, told] = [0, 0]
  for (const [name, tensor] of held.tensors) {
    told += name.length + tensor.dtype.length + tensor.shape.length
    ++tensors
  }
  return { tensors, told, held }
}

/** The same, and every tensor's bytes through the C loop; nothing is copied. */
function bytes(path) {
  const addon = tools()
  const held = openSync(path)
  let tensors = 0
  for (const tensor of held.tensors.values()) {
    addon.touch(tensor.bytes())
    ++tensors
  }
  return { tensors, sum: addon.takeSum(), held }
}

async function verified(path) {
  const held = openSync(path)
  const verdicts = await held.verify()
  const wrong = verdicts.filter(({ verdict }) => verdict !== 'ok')
  if (wrong.length > 0) throw new Error(`${wrong.length} records are ${wrong[0].verdict}`)
  return { tensors: held.tensors.size, held }
}

/** Names and shapes of a large file, and how much more memory the process has then. */
function resident(path) {
  const before = memory()
  const loaded = names(path)
  return { ...loaded, ...memory(before) }
}

let converted
/** `subject`: the dtype, which is a tensor's name, and the file. The clock is around toFloat32() alone. */
function convert(subject) {
  const [dtype, path] = subject.split(' ')
  converted ??= openSync(path)
  const tensor = converted.tensors.get(dtype)
  tensor.bytes()
  const start = performance.now()
  const floats = tensor.toFloat32()
  return { ms: performance.now() - start, tensors: floats.length }
}

await serve(`torchmap ${version}`, {
  names,
  bytes,
  verified,
  resident,
  convert,
  open(path) {
    const held = openSync(path)
    return { tensors: held.tensors.size, held }
  },
  keys(path) {
    const held = openSync(path)
    return { tensors: [...held.tensors.keys()].length, held }
  },
  root(path) {
    const held = openSync(path)
    return { tensors: held.root.size, held }
  },
})
