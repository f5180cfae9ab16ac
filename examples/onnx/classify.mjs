// Classifies an image with ONNX Runtime: a graph without weights, which come from a PyTorch checkpoint.
//
//   node examples/onnx/classify.mjs [FOLDER]
//
// FOLDER has what make_resnet18.py writes; `narrow`, a ResNet-18 of an eighth of the width, lies beside this file.
// The engine reads the weights where they are: in the pages of the mapped checkpoint.

import { join } from 'node:path'
import { fileURLToPath, pathToFileURL } from 'node:url'
import * as ort from 'onnxruntime-node'
import { open } from 'torchmap'
import { feedsOf, toOrt } from 'torchmap/onnxruntime'

/** The weights of a checkpoint as inputs of a graph, by name. */
export function weightsOf(checkpoint, session) {
  // The state dict has 122 tensors and the graph 102 inputs beside the image: the `num_batches_tracked` of 20 batch
  // norms only count steps of training. What the graph does not ask for is left out, and so not even looked at.
  return feedsOf(checkpoint.stateDict(), session, ort, { except: ['image'] })
}

/** The logits of an image as the engine computes them, and as torch did when the files were written. */
export async function classify(folder) {
  const session = await ort.InferenceSession.create(join(folder, 'resnet18.onnx'))
  const checkpoint = await open(join(folder, 'resnet18.pth'))
  const sample = await open(join(folder, 'sample.pth'))
  try {
    const weights = weightsOf(checkpoint, session)
    const image = toOrt(sample.tensors.get('image'), ort)
    const { logits } = await session.run({ ...weights, image }) // any number of images with the same weights
    return { logits: logits.data, wanted: sample.tensors.get('logits').data.slice() }
  } finally {
    // Only now: the engine reads the checkpoint's memory until the run is done.
    checkpoint.close()
    sample.close()
    await session.release()
  }
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? '').href) {
  const { logits, wanted } = await classify(process.argv[2] ?? fileURLToPath(new URL('narrow', import.meta.url)))
  const difference = Math.max(...logits.map((value, i) => Math.abs(value - wanted[i])))
  console.log(`class ${logits.indexOf(Math.max(...logits))} of ${logits.length}`)
  console.log(`largest difference from torch's logits: ${difference.toExponential(1)}`)
}
