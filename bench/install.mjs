// npm run bench:peers: installs and builds everybody that can take part, as bench/peers/ pins them. Who cannot be is left
// out and told; nothing outside bench/peers is changed but what the installers keep for themselves.

import { spawnSync } from 'node:child_process'
import { join } from 'node:path'
import { peers, python, venv } from './contestants.mjs'

const [PYTHON, NODE, RUST] = ['python', 'node', 'rust'].map((name) => join(peers, name))

function run(name, command, args, { cwd, env = {} }) {
  console.log(`${name}: ${command} ${args.join(' ')}`)
  const { status, error } = spawnSync(command, args, {
    cwd,
    env: { ...process.env, ...env },
    stdio: 'inherit',
  })
  if (status === 0) return true
  console.error(`${name}: not installed (${error?.message ?? `exit code ${status}`})`)
  return false
}

const install = {
  python() {
    if (python !== venv) return console.log(`python: TORCHMAP_PYTHON is ${python}`)
    const pip = ['-m', 'pip', 'install', '--requirement', 'requirements.txt']
    if (run('python', 'python3', ['-m', 'venv', '.venv'], { cwd: PYTHON }))
      run('python', venv, pip, { cwd: PYTHON })
  },
  node() {
    run('node', 'npm', ['ci', '--no-audit', '--no-fund'], { cwd: NODE })
  },
  rust() {
    // Built for the processor at hand: what a user who wants speed would do.
    const env = { RUSTFLAGS: '-C target-cpu=native' }
    run('rust', 'cargo', ['build', '--release', '--locked'], { cwd: RUST, env })
  },
}

for (const name of process.argv.length > 2 ? process.argv.slice(2) : Object.keys(install))
  install[name]()
