// The files that are loaded: written once by real torch, kept in a folder of their own.

import { spawnSync } from 'node:child_process'
import { existsSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { python } from './contestants.mjs'

const script = join(dirname(fileURLToPath(import.meta.url)), 'inputs.py')
export const folder = process.env.TORCHMAP_BENCH_DATA ?? join(tmpdir(), 'torchmap-bench-data')

export const pathOf = (name, extension = 'pth') => join(folder, `${name}.${extension}`)

const isThere = (name) => existsSync(pathOf(name)) && existsSync(pathOf(name, 'pkl'))

/** Writes what is missing of `names`; returns those that are there afterwards. Says on stderr what could not be written. */
export function ensure(names) {
  for (const name of names) {
    if (isThere(name)) continue
    console.error(`writing ${pathOf(name)}`)
    const { status, error, stderr } = spawnSync(python, ['-B', script, folder, name], {
      encoding: 'utf8',
    })
    if (status !== 0) console.error(`  not written: ${error?.message ?? stderr.trim()}`)
  }
  return names.filter(isThere)
}

/** All files of these inputs that loaders read. */
export const filesOf = (names) =>
  names
    .flatMap((name) => ['pth', 'safetensors'].map((extension) => pathOf(name, extension)))
    .filter(existsSync)

/** Takes all of them away. */
export function clean() {
  rmSync(folder, { recursive: true, force: true })
}
