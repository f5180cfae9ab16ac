/** Finds and loads the native addon. */
import { closeSync, existsSync, openSync, readSync } from 'node:fs'
import { createRequire } from 'node:module'
import { join } from 'node:path'

const load = createRequire(__filename)

/** Where the addon may lie, best first: a local build, then what the package brought. */
function candidates(): string[] {
  const root = join(__dirname, '..')
  const platform = `${process.platform}-${process.arch}${isMusl() ? '-musl' : ''}`
  return [
    join(root, 'build', 'Release', 'torchmap.node'),
    join(root, 'prebuilds', platform, 'torchmap.node'),
  ]
}

/**
 * Whether this Node needs musl: the name of its dynamic linker stands near the start of the
 * executable. Asking `process.report` would take longer than opening most checkpoints.
 */
function isMusl(): boolean {
  if (process.platform !== 'linux') return false
  try {
    const head = Buffer.alloc(4096)
    const file = openSync(process.execPath, 'r')
    try {
      readSync(file, head, 0, head.length, 0)
    } finally {
      closeSync(file)
    }
    return head.includes('/ld-musl-')
  } catch {
    return false
  }
}

/** The addon, as native/addon/binding.cc exports it. */
export function loadAddon(): unknown {
  const override = process.env.TORCHMAP_BINARY
  const paths = override === undefined ? candidates() : [override]
  const found = paths.find((path) => existsSync(path))
  if (found !== undefined) return load(found)
  throw new Error(
    `torchmap has no addon for ${process.platform}-${process.arch} (Node ${process.versions.node}). Looked for:\n` +
      paths.map((path) => `  ${path}\n`).join('') +
      'Build it where torchmap is installed, with a C++20 compiler and cmake:\n' +
      '  npm install cmake-js node-addon-api node-api-headers\n' +
      '  npm explore torchmap -- npm run build:native',
  )
}
