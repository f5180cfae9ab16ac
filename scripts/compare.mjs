// compare.mjs FOLDER...: opens every file of a folder that holds a manifest.json (test/fixtures/README.md; such as
// test/fixtures/resnet18.py and nets.py write) and compares names, dtypes, shapes, strides, offsets and bytes with what
// torch read, and which tensors of a TorchScript module are parameters. Needs a build. Exits with 1 when anything differs.

import { createHash } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { join } from 'node:path'

const { openSync } = createRequire(import.meta.url)('../dist/index.js')

const sha256 = (bytes) => createHash('sha256').update(bytes).digest('hex')

function differs(tensor, row) {
  if (tensor === undefined) return 'missing'
  const { dtype, shape, stride, storageOffset: offset, requiresGrad: requires_grad } = tensor
  const found = { dtype, shape, stride, offset, requires_grad, sha256: sha256(tensor.bytes()) }
  return Object.keys(found).find((key) => JSON.stringify(found[key]) !== JSON.stringify(row[key]))
}

/** How many of the rows are equal, and whether nothing else was found. */
function compare(file, what, found, rows) {
  const wrong = rows.filter(([name, row]) => differs(found.get(name), row))
  for (const [name, row] of wrong)
    console.log(`  ${file} ${name}: ${differs(found.get(name), row)}`)
  const count = `${what} ${rows.length - wrong.length} of ${rows.length} equal, ${found.size} found`
  return [count, wrong.length === 0 && found.size === rows.length]
}

let failed = false
for (const folder of process.argv.slice(2)) {
  const { torch, files } = JSON.parse(readFileSync(join(folder, 'manifest.json'), 'utf8'))
  for (const { file, tensors, constants, state_dict, own_state_dict, parameters } of files) {
    const checkpoint = openSync(join(folder, file))
    const all = Object.entries({ ...tensors, ...constants })
    const results = [compare(file, 'tensors', checkpoint.tensors, all)]
    if (state_dict !== null) {
      const rows = Object.entries(state_dict).map(([name, source]) => [name, tensors[source]])
      results.push(compare(file, 'stateDict', checkpoint.stateDict(), rows))
    }
    if (own_state_dict !== undefined) {
      const rows = Object.entries(own_state_dict)
      results.push(compare(file, 'stateDict', checkpoint.stateDict(), rows))
    }
    if (parameters !== undefined) {
      const found = [...checkpoint.stateDict()].filter(([, tensor]) => tensor.isParameter)
      const names = found.map(([name]) => name).sort()
      const isEqual = JSON.stringify(names) === JSON.stringify(parameters.sort())
      results.push([`parameters ${isEqual ? 'equal' : 'differ'}`, isEqual])
    }
    failed ||= results.some(([, isEqual]) => !isEqual)
    console.log(`torch ${torch} ${file}: ${results.map(([count]) => count).join('; ')}`)
    checkpoint.close()
  }
}
process.exitCode = failed ? 1 : 0
