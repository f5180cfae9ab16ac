// Who takes part: how each is started, whether it is installed, and what it does for each clock.

import { spawnSync } from 'node:child_process'
import { existsSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { paths } from './tools.mjs'

const here = dirname(fileURLToPath(import.meta.url))
export const peers = join(here, 'peers')

/** A Python with what peers/python/requirements.txt names: TORCHMAP_PYTHON, or the one that bench:peers makes. */
export const venv = join(peers, 'python/.venv/bin/python')
export const python = process.env.TORCHMAP_PYTHON ?? venv

/** What cargo builds; outside the checkout where CARGO_TARGET_DIR says so. */
export const rust = join(
  process.env.CARGO_TARGET_DIR ?? join(peers, 'rust/target'),
  'release/torchmap-bench-peers',
)

const INSTALL = 'npm run bench:peers'
const pythonLoader = join(peers, 'python/loaders.py')

function hasPython() {
  const imports = 'import numpy, safetensors, torch'
  hasPython.known ??= spawnSync(python, ['-c', imports]).status === 0
  return hasPython.known
}

const kinds = {
  torchmap: {
    command: (job) => [process.execPath, '--expose-gc', join(here, 'loaders/torchmap.mjs'), job],
    isThere: () => existsSync(join(here, '../dist/index.js')),
    install: 'npm run build',
  },
  native: {
    command: (job) => [paths.memoryBench, job],
    isThere: () => existsSync(paths.memoryBench),
    install: 'npm run bench',
  },
  python: {
    command: (loader) => [python, '-B', pythonLoader, loader],
    isThere: hasPython,
    install: `${INSTALL}, or TORCHMAP_PYTHON`,
  },
  rust: {
    command: (loader) => [rust, loader],
    isThere: () => existsSync(rust),
    install: INSTALL,
  },
  node: {
    command: () => [process.execPath, '--expose-gc', join(peers, 'node/loader.mjs')],
    isThere: () => existsSync(join(peers, 'node/node_modules/pickleparser')),
    install: INSTALL,
  },
}

/** The loaders of the three clocks. `format`: the file it is given. No words for a clock: it has nothing for that. */
export const LOADERS = [
  {
    id: 'torchmap',
    kind: 'torchmap',
    label: 'torchmap',
    names: '`openSync()`; name, `dtype` and `shape` of every entry of `checkpoint.tensors`',
    bytes: 'the same, and `tensor.bytes()` of every tensor through the loop: views, no copies',
    verified:
      '`openSync()` and `await checkpoint.verify()`: every record against its CRC-32, on all cores',
  },
  {
    id: 'torchmap-safetensors',
    kind: 'torchmap',
    label: 'torchmap, the .safetensors file',
    format: 'safetensors',
    names: 'as torchmap',
    bytes: 'as torchmap',
  },
  {
    id: 'torch',
    kind: 'python',
    label: '`torch.load()`',
    names: '`torch.load(path)`; key, `dtype` and `shape` of every tensor',
    bytes: 'the same, and every tensor through the loop',
  },
  {
    id: 'torch-mmap',
    kind: 'python',
    label: '`torch.load(mmap=True)`',
    names: '`torch.load(path, mmap=True)`; key, `dtype` and `shape` of every tensor',
    bytes: 'the same, and every tensor through the loop: views, no copies',
  },
  {
    id: 'torch-mmap-full',
    kind: 'python',
    label: '`torch.load(mmap=True, weights_only=False)`',
    names: 'as above with the pickle module of CPython instead of the safe one of torch',
    bytes: 'the same, and every tensor through the loop: views, no copies',
  },
  {
    id: 'testzip',
    kind: 'python',
    label: '`zipfile.testzip()`',
    verified: '`ZipFile(path).testzip()`: every record against its CRC-32; torch compares none',
  },
  {
    id: 'safetensors',
    kind: 'python',
    label: 'safetensors, Python `safe_open`',
    format: 'safetensors',
    names: '`safe_open(path, "pt")`; `keys()`, and of each `get_slice(key)` dtype and shape',
    bytes: '`safe_open(path, "pt")`; `get_tensor(key)` of each through the loop: views, no copies',
  },
  {
    id: 'safetensors-load-file',
    kind: 'python',
    label: 'safetensors, Python `load_file`',
    format: 'safetensors',
    names: '`load_file(path)`; key, `dtype` and `shape` of every tensor',
    bytes: 'the same, and every tensor through the loop: views, no copies',
  },
  {
    id: 'safetensors-rust',
    kind: 'rust',
    label: 'safetensors, Rust',
    format: 'safetensors',
    names:
      'the file mapped with memmap2, `SafeTensors::deserialize`; name, dtype and shape of `iter()`',
    bytes: 'the same, and `data()` of each through the loop: views, no copies',
  },
  {
    id: 'candle',
    kind: 'rust',
    label: 'candle',
    names:
      '`read_pth_tensor_info`; name, dtype and dims of each; of the Adam checkpoint only what is below `model`',
    bytes: '`PthTensors::new`, `get()` of every name, its storage through the loop',
  },
  {
    id: 'pytorch-reader',
    kind: 'rust',
    label: 'pytorch-reader (burn)',
    names: '`PytorchReader::new`; name, dtype and shape of `tensors()`',
    bytes: 'the same, `read()` of each (which compares the CRC-32) through the loop',
    verified:
      'the same, `read()` of each, which compares the CRC-32; the bytes are dropped at once',
  },
  {
    id: 'pytorch-reader-threads',
    kind: 'rust',
    label: 'pytorch-reader, all cores',
    names: 'as above; opening has no threads',
    bytes: 'the same, tensors handed out to one thread for each core',
    verified: 'the same, tensors handed out to one thread for each core',
  },
  {
    id: 'pickleparser',
    kind: 'node',
    label: 'pickleparser + fflate',
    names:
      'directory and `data.pkl` with node:fs, `Parser.parse()` with Maps; name, class and shape of every tensor',
    bytes: 'the same, each storage read into a Buffer and through the loop',
  },
]

/** The floor: no loader can touch bytes faster. */
export const MAPPING = {
  id: 'mapping',
  kind: 'native',
  job: 'mapping',
  label: 'the C loop over a fresh mapping',
  bytes:
    'open, fstat, mmap as torchmap maps, and the loop over the whole file: no names, nothing decoded',
  verified: 'the same: no checksum, a floor',
}

/** Starts with one core to run on, whatever it uses threads for. */
export const pinned = (loader) => ({
  ...loader,
  id: `${loader.id}-pinned`,
  isPinned: true,
  label: `${loader.label}, one core`,
})

const hasTaskset = spawnSync('taskset', ['--version']).status === 0

/** { command, env }, or { absent } with the command that installs it. */
export function starting({ id, kind, job = id, isPinned = false }) {
  const { command, isThere, install } = kinds[kind]
  if (!isThere()) return { absent: install }
  if (isPinned && !hasTaskset) return { absent: 'taskset of util-linux' }
  const plain = command(job.replace('-pinned', ''))
  return {
    command: isPinned ? ['taskset', '-c', '0', ...plain] : plain,
    env: kind === 'python' ? { TORCHMAP_BENCH_TOUCH: paths.touch } : {},
  }
}
