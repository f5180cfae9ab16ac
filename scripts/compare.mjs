// compare.mjs FOLDER...: opens every file of a folder that holds a manifest.json (test/fixtures/README.md; such as
// test/fixtures/resnet18.py writes) and compares names, dtypes, shapes, strides, offsets and bytes with what torch read.
// Needs a build. Exits with 1 when anything differs.

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

let failed = false
for (const folder of process.argv.slice(2)) {
  const { torch, files } = JSON.parse(readFileSync(join(folder, 'manifest.json'), 'utf8'))
  for (const { file, tensors, state_dict } of files) {
    const checkpoint = openSync(join(folder, file))
    const wanted = { tensors: Object.entries(tensors), stateDict: [] }
    for (const [name, source] of Object.entries(state_dict ?? {}))
      wanted.stateDict.push([name, tensors[source]])
    const counts = Object.entries(wanted).map(([what, rows]) => {
      const found = what === 'tensors' ? checkpoint.tensors : checkpoint.stateDict()
      const wrong = rows.filter(([name, row]) => differs(found.get(name), row))
      for (const [name, row] of wrong)
        console.log(`  ${file} ${name}: ${differs(found.get(name), row)}`)
      failed ||= wrong.length > 0 || found.size !== rows.length
      return `${what} ${rows.length - wrong.length} of ${rows.length} equal, ${found.size} found`
    })
    console.log(`torch ${torch} ${file}: ${counts.join('; ')}`)
    checkpoint.close()
  }
}
process.exitCode = failed ? 1 : 0
