// onnxruntime-child.mjs TASK [ARGUMENTS]: work with the real engine in a process of its own, because an addon makes its
// arrays outside of jest's realm. Prints what the task returns, as JSON.
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import * as ort from 'onnxruntime-node'
import { open, openSync } from 'torchmap'
import { feedsOf, toOrt } from 'torchmap/onnxruntime'
import { classify, weightsOf } from '../../examples/onnx/classify.mjs'

const bytesOf = ({ buffer, byteOffset, byteLength }) => Buffer.from(buffer, byteOffset, byteLength)

const largest = (a, b) => Math.max(...a.map((value, i) => Math.abs(value - b[i])))

const outcome = (promise) =>
  promise.then(
    () => 'done',
    ({ name, code, message }) => ({ name, code, message }),
  )

/** Bytes that only this process holds, where the system tells; else 0. */
function anonymous() {
  try {
    return (
      Number(/^RssAnon:\s*(\d+)/m.exec(readFileSync('/proc/self/status', 'utf8'))?.[1] ?? 0) * 1024
    )
  } catch {
    return 0
  }
}

const tasks = {
  /** Every tensor the engine has a type for through a graph of one node: how many of each type came back as they were. */
  async types(folder, ...files) {
    const sessions = new Map()
    const same = {}
    for (const file of files) {
      const checkpoint = openSync(file)
      for (const tensor of checkpoint.tensors.values()) {
        let x
        try {
          x = toOrt(tensor, ort)
        } catch (error) {
          if (!/^UNSUPPORTED_(DTYPE|LAYOUT)$/.test(error.code)) throw error
          continue
        }
        const graph = join(folder, `${x.type}.onnx`)
        if (!sessions.has(graph)) sessions.set(graph, await ort.InferenceSession.create(graph))
        const { y } = await sessions.get(graph).run({ x })
        const isSame = bytesOf(y.data).equals(bytesOf(x.data)) && `${y.dims}` === `${tensor.shape}`
        same[x.type] ??= { same: 0, other: 0 }
        ++same[x.type][isSame ? 'same' : 'other']
      }
      checkpoint.close()
    }
    return same
  },

  /** The example, and what feeding its weights took. */
  async classify(folder) {
    const example = await classify(folder)
    const session = await ort.InferenceSession.create(join(folder, 'resnet18.onnx'))
    const checkpoint = await open(join(folder, 'resnet18.pth'))
    const sample = await open(join(folder, 'sample.pth'))
    const image = toOrt(sample.tensors.get('image'), ort)
    gc()
    const [before, held] = [process.memoryUsage(), anonymous()]
    const feeds = weightsOf(checkpoint, session)
    gc()
    const [after, holds] = [process.memoryUsage(), anonymous()]
    const dict = checkpoint.stateDict()
    const inputs = Object.entries(feeds)
    const run = async () => (await session.run({ ...feeds, image })).logits.data
    const logits = await run()
    // What is written to a tensor is what the engine reads: they are the same memory.
    dict.get('fc.bias').data.fill(1000)
    const changed = await run()
    const result = {
      difference: largest(example.logits, example.wanted),
      scale: Math.max(...example.wanted.map(Math.abs)),
      classes: example.logits.length,
      again: largest(logits, example.logits),
      changed: Math.min(...changed),
      tensors: dict.size,
      inputs: inputs.length,
      views: inputs.filter(
        ([name, { data }]) => data === dict.get(name).data && dict.get(name).isZeroCopy,
      ).length,
      buffers: new Set(inputs.map(([, { data }]) => data.buffer)).size,
      bytes: inputs.reduce((sum, [, { data }]) => sum + data.byteLength, 0),
      arrayBuffers: after.arrayBuffers - before.arrayBuffers,
      heap: after.heapUsed - before.heapUsed,
      external: after.external - before.external,
      anonymous: holds - held,
    }
    const late = session.run({ ...feeds, image })
    checkpoint.close()
    result.closedBefore = await outcome(late)
    result.closed = await outcome(session.run({ ...feeds, image }))
    return result
  },

  /** What the engine itself says of memory that is gone: why tensors look for that on their own. */
  async detached(folder) {
    const session = await ort.InferenceSession.create(join(folder, 'float32.onnx'))
    const data = Float32Array.of(1, 2, 3)
    const x = new ort.Tensor('float32', data, [3])
    structuredClone(data, { transfer: [data.buffer] })
    return outcome(session.run({ x }))
  },

  /** Inputs by name, some fed by the caller. */
  async feeds(folder) {
    const session = await ort.InferenceSession.create(join(folder, 'resnet18.onnx'))
    const checkpoint = await open(join(folder, 'resnet18.pth'))
    return outcome((async () => feedsOf(checkpoint.stateDict(), session, ort))())
  },
}

const [task, ...args] = process.argv.slice(2)
console.log(JSON.stringify(await tasks[task](...args)))
