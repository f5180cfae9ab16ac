/** A checkpoint against all that a row of a manifest says of it. */
import type { Checkpoint, Tensor } from '../../lib/index'
import { Comparison, type GoldenRow } from './golden'
import { canonical, simplify } from './python'

/** Differences from what the manifest says; the checkpoint is closed then. */
export function compare(checkpoint: Checkpoint, row: GoldenRow): string[] {
  const comparison = new Comparison()
  comparison.expect('format', checkpoint.format, row.format)
  comparison.names(checkpoint, row)
  for (const [name, tensor] of Object.entries({ ...row.tensors, ...row.constants })) {
    comparison.tensor(name, checkpoint.tensors.get(name), tensor)
  }
  if (row.parameters !== undefined) {
    const found = [...checkpoint.stateDict()].filter(([, tensor]) => tensor.isParameter)
    const names = found.map(([name]) => name)
    comparison.expect('parameters', names.sort(), row.parameters.sort())
  }
  if (row.own_state_dict !== undefined) {
    const found = checkpoint.stateDict()
    comparison.expect('own state dict', [...found.keys()], Object.keys(row.own_state_dict))
    for (const [name, tensor] of Object.entries(row.own_state_dict)) {
      comparison.tensor(name, found.get(name), tensor)
    }
  }
  if (row.state_dict !== null) comparison.stateDict(checkpoint, row.state_dict)
  if (row.root !== undefined) {
    const wanted = simplify(row.root, (name) => identity(checkpoint.tensors.get(name) as Tensor))
    comparison.expect('root', canonical(checkpoint.root, identity), wanted)
  }
  checkpoint.close()
  return comparison.differences
}

/** A tensor in `root` and the same one in `tensors` are different objects over one view. */
function identity({ dtype, shape, stride, storageOffset, storage }: Tensor): string {
  return JSON.stringify([dtype, shape, stride, storageOffset, storage?.key])
}
