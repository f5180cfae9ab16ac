// Installs the packed package in an empty project and uses it as users do: required, imported, type
// checked, from its command, and last built from source. Needs a build; npm may ask its registry for
// fflate and for the build tools.

import assert from 'node:assert/strict'
import { existsSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { inTemporaryFolder, prebuiltAddon, root, run } from './run.mjs'

const consumer = {
  'package.json': '{ "private": true }',

  'use.cjs': `
    const assert = require('node:assert/strict')
    const torchmap = require('torchmap')
    const adapter = require('torchmap/onnxruntime')
    const zoo = require('torchmap/zoo')
    assert.equal(require('torchmap/result.schema.json').$id, 'urn:torchmap:result')
    const same = (imported, required) => {
      assert.deepEqual(Object.keys(imported).sort(), Object.keys(required).sort())
      for (const name of Object.keys(required)) assert.equal(imported[name], required[name])
    }
    Promise.all([
      import('torchmap'), import('torchmap/onnxruntime'), import('torchmap/zoo'),
    ]).then((imported) => {
      same(imported[0], torchmap)
      same(imported[1], adapter)
      same(imported[2], zoo)
      if (!process.argv[2]) return
      const checkpoint = torchmap.openSync(process.argv[2])
      assert(checkpoint.tensors.size > 0)
      for (const tensor of checkpoint.tensors.values()) assert(tensor.data.length >= 0)
      checkpoint.close()
    })`,

  'use.mjs': `
    import assert from 'node:assert/strict'
    import { open } from 'torchmap'
    import { feedsOf } from 'torchmap/onnxruntime'
    // No engine is installed here: anything with such a class is one.
    class Tensor {
      constructor(type, data, dims) { Object.assign(this, { type, data, dims }) }
    }
    if (process.argv[2]) {
      const checkpoint = await open(process.argv[2])
      const weights = checkpoint.stateDict()
      assert(weights.size > 0)
      const feeds = feedsOf(weights, weights.keys(), { Tensor })
      for (const [name, { data }] of weights) assert.equal(feeds[name].data, data)
      checkpoint.close()
    }`,

  'types.ts': `
    import { type Checkpoint, open, openSync, type Tensor } from 'torchmap'
    import { feedsOf, type OrtTensor, toOrt } from 'torchmap/onnxruntime'
    declare class Fed {
      constructor(type: 'float32', data: Float32Array, dims?: readonly number[])
      constructor(data: Float32Array, dims?: readonly number[])
      readonly dims: readonly number[]
    }
    export function fed(weights: ReadonlyMap<string, Tensor>): readonly number[] | undefined {
      const feeds: Record<string, Fed> = feedsOf(weights, { inputNames: ['weight'] }, { Tensor: Fed })
      const one: OrtTensor<{ Tensor: typeof Fed }> = toOrt(weights.get('weight')!, { Tensor: Fed })
      return feeds.weight?.dims ?? one.dims
    }
    export async function first(path: string): Promise<Tensor | undefined> {
      await using checkpoint: Checkpoint = await open(path)
      using again = openSync(path)
      return checkpoint.tensors.get('weight') ?? again.stateDict().get('weight')
    }`,

  // package.json says which module kind types.ts is. skipLibCheck stays off: our declarations count.
  'tsconfig.json': JSON.stringify({
    compilerOptions: {
      target: 'es2023',
      lib: ['es2023', 'esnext.disposable'],
      module: 'node16',
      strict: true,
      noEmit: true,
      types: ['node'],
      typeRoots: [join(root, 'node_modules/@types')],
    },
    files: ['types.ts'],
  }),
}

function pack(folder) {
  const report = JSON.parse(
    run('npm', ['pack', '--ignore-scripts', '--json', '--pack-destination', folder], {
      stdio: ['ignore', 'pipe', 'inherit'],
    }),
  )
  const [{ filename, files }] = Object.values(report)
  const paths = files.map((file) => file.path)
  for (const path of [
    prebuiltAddon,
    'LICENSE',
    'README.md',
    'CMakeLists.txt',
    'assets/report/page.html',
    'assets/report/page.js',
    'dist/index.d.mts',
    'dist/onnxruntime.d.mts',
    'dist/zoo/index.d.mts',
  ]) {
    assert(paths.includes(path), `${path} is not packed`)
  }
  const strays = paths.filter((path) => /^(build|lib|test|scripts|native\/(test|fuzz))/.test(path))
  assert.deepEqual(strays, [], 'packed by mistake')
  return join(folder, filename)
}

function use(folder) {
  const example = join(root, 'examples/tcn.pth')
  const paths = existsSync(example) ? [example] : []
  run(process.execPath, ['use.cjs', ...paths], { cwd: folder })
  run(process.execPath, ['use.mjs', ...paths], { cwd: folder })
  run('npx', ['--no-install', 'torchmap', '--help'], { cwd: folder })
  for (const path of paths) {
    const printed = run('npx', ['--no-install', 'torchmap', 'inspect', '--json', path], {
      cwd: folder,
      stdio: ['ignore', 'pipe', 'inherit'],
    })
    JSON.parse(printed)
  }
}

function checkTypes(folder) {
  const tsc = join(root, 'node_modules/typescript/bin/tsc')
  const manifest = join(folder, 'package.json')
  for (const type of ['commonjs', 'module']) {
    const current = JSON.parse(readFileSync(manifest, 'utf8'))
    writeFileSync(manifest, JSON.stringify({ ...current, type }))
    run(process.execPath, [tsc, '--project', folder])
  }
}

// What the message of lib/binding.ts tells users of a platform without a prebuilt addon to do.
function buildFromSource(folder) {
  const { devDependencies } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'))
  const tools = ['cmake-js', 'node-addon-api', 'node-api-headers']
  const versions = tools.map((name) => `${name}@${devDependencies[name]}`)
  rmSync(join(folder, 'node_modules/torchmap/prebuilds'), { recursive: true })
  run('npm', ['install', '--prefer-offline', ...versions], { cwd: folder })
  // A compiler cache that was told where the checkout is knows the same sources here.
  const env = { CCACHE_BASEDIR: folder }
  run('npm', ['explore', 'torchmap', '--', 'npm', 'run', 'build:native'], { cwd: folder, env })
}

inTemporaryFolder((folder) => {
  run('npm', ['run', '--silent', 'prebuilds'])
  for (const [name, text] of Object.entries(consumer)) writeFileSync(join(folder, name), text)
  run('npm', ['install', '--prefer-offline', pack(folder)], { cwd: folder })
  use(folder)
  checkTypes(folder)
  buildFromSource(folder)
  use(folder)
  console.log('pack-check: imported, required, type checked, run and built from source')
})
