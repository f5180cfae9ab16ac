// The native tools of the suite: built into a tree of their own, since they are no part of the package.

import { closeSync, existsSync, openSync, readSync } from 'node:fs'
import { createRequire } from 'node:module'
import { join } from 'node:path'
import { buildNative, root } from '../scripts/run.mjs'

const TREE = 'build-bench'
const require = createRequire(import.meta.url)

export const paths = {
  addon: join(root, TREE, 'Release/bench_addon.node'),
  touch: join(root, TREE, 'Release/libtouch.so'),
  memoryBench: join(root, TREE, 'native/bench/memory_bench'),
}

/** Builds them; quick when nothing has changed. */
export function buildTools() {
  buildNative('bench_tools', ['--out', TREE, '--CDTORCHMAP_BENCH=ON'])
}

/** Sums of arrays, and what is in the page cache: native/bench/bench_addon.cc. */
export function tools() {
  return require(paths.addon)
}

/** Drops the file from the page cache and reads it from its start to its end: how the system keeps a file, in pages of
 * 4 KiB or of up to 2 MiB, is owed to how it came in, and changes what all sides take by half. */
export function readThrough(path) {
  tools().evict(path)
  const buffer = Buffer.allocUnsafe(1 << 20)
  const file = openSync(path)
  while (readSync(file, buffer) > 0);
  closeSync(file)
}

export const hasTools = () => existsSync(paths.addon)
