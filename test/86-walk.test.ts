/** Which models a tree has. */
import { cpSync, mkdirSync, symlinkSync, writeFileSync } from 'node:fs'
import { dirname, join, relative } from 'node:path'
import { expect, test } from '@jest/globals'
import { type Result, verifyZoo } from '../lib/zoo/index'
import { type Model, modelsOf } from '../lib/zoo/walk'
import { FIXTURES } from './support/golden'
import { temporaryFolder, writeSample } from './support/samples'

const folder = temporaryFolder('walk')

function tree(name: string, files: Record<string, string>): string {
  const root = join(folder, name)
  for (const [path, content] of Object.entries(files)) {
    mkdirSync(dirname(join(root, path)), { recursive: true })
    if (content === 'model') writeSample(join(root, path))
    else writeFileSync(join(root, path), content)
  }
  return root
}

/** Paths below `root`: of the model, and of its files. */
function found(root: string, ignore: readonly string[] = []): Record<string, string[]> {
  const names = (model: Model) => model.files.map((file) => relative(root, file))
  return Object.fromEntries(
    Array.from(modelsOf(root, { ignore }), (model) => [relative(root, model.path), names(model)]),
  )
}

test('files by their names, and by what they begin with', () => {
  const root = tree('files', {
    'a.pth': 'model',
    'b/c.safetensors': 'not one, but called so',
    'b/readme.md': '# text',
    'b/config.json': '{}',
    'b/weights.txt': 'model',
    'b/empty': '',
  })
  expect(found(root)).toEqual({
    'a.pth': ['a.pth'],
    'b/c.safetensors': ['b/c.safetensors'],
    'b/weights.txt': ['b/weights.txt'],
  })
})

test('what is compressed counts where its name says what it is', () => {
  const names = ['a.pt.gz', 'b.pkl.xz', 'c.joblib.lzma', 'd.npy.z', 'e.7z']
  const others = ['words.bin.gz', 'code.tar.gz', 'table.csv.xz', 'x.gz', 'model.pt.zip']
  const root = tree('packed', Object.fromEntries([...names, ...others].map((name) => [name, ''])))
  expect(Object.keys(found(root))).toEqual(names)
})

test('arrays and packed files are looked at for what they hold, not opened', async () => {
  const array = (descr: string) => {
    const header = `{'descr': '${descr}', 'fortran_order': False, 'shape': (1,), }`.padEnd(117)
    return Buffer.concat([
      Buffer.from('\x93NUMPY\x01\x00\x76\x00', 'latin1'),
      Buffer.from(`${header}\n`),
    ])
  }
  const root = tree('others', { 'a.pth': 'model' })
  writeFileSync(join(root, 'plain.npy'), Buffer.concat([array('<f4'), Buffer.alloc(4)]))
  const call = Buffer.from('cos\nsystem\n(S"true"\ntR.', 'latin1')
  writeFileSync(join(root, 'object.npy'), Buffer.concat([array('|O'), call]))
  writeFileSync(join(root, 'packed.7z'), Buffer.from('377abcaf271c0004', 'hex'))
  const results: Result[] = []
  for await (const result of verifyZoo(root)) results.push(result)
  const brief = results.map(({ path, safety, integrity, status }) => [
    relative(root, path),
    safety,
    integrity,
    status,
  ])
  expect(brief).toEqual([
    ['a.pth', 'safe', 'absent', 'ok'],
    ['object.npy', 'dangerous', 'none', 'error'],
    // What cannot be looked into is never clean.
    ['packed.7z', 'incomplete', 'none', 'error'],
    ['plain.npy', 'safe', 'none', 'ok'],
  ])
})

test('parts with an index, counted shards, pairs', () => {
  const root = tree('parts', {
    'x/model.safetensors.index.json':
      '{"weight_map":{"a":"one.safetensors","b":"two.safetensors"}}',
    'x/one.safetensors': '',
    'x/two.safetensors': '',
    'x/other.safetensors': '',
    'y/model-00001-of-00002.bin': 'model',
    'y/model-00002-of-00002.bin': 'model',
    'z/darts.pt': 'model',
    'z/darts.pt.ckpt': 'model',
    'z/alone.ckpt': 'model',
  })
  expect(found(root)).toEqual({
    'x/model.safetensors.index.json': [
      'x/model.safetensors.index.json',
      'x/one.safetensors',
      'x/two.safetensors',
    ],
    'x/other.safetensors': ['x/other.safetensors'],
    'y/model-00001-of-00002.bin': ['y/model-00001-of-00002.bin', 'y/model-00002-of-00002.bin'],
    'z/alone.ckpt': ['z/alone.ckpt'],
    'z/darts.pt': ['z/darts.pt', 'z/darts.pt.ckpt'],
  })
  const [shards] = [...modelsOf(join(root, 'y'))]
  expect(shards!.source).toEqual(shards!.files)
})

test('directories that are one checkpoint', () => {
  const root = join(folder, 'whole')
  cpSync(join(FIXTURES, 'dcp/uneven'), join(root, 'dcp'), { recursive: true })
  writeSample(join(root, 'last.pth'))
  const models = found(root)
  expect(Object.keys(models)).toEqual(['last.pth', 'dcp'].sort((a) => (a === 'last.pth' ? -1 : 1)))
  expect(models.dcp).toContain('dcp/.metadata')
})

test('what is ignored', () => {
  const root = tree('ignored', {
    'a.pth': 'model',
    'old/a.pth': 'model',
    'old/deep/b.pth': 'model',
    'new/b.pth': 'model',
    'new/b.tmp.pth': 'model',
  })
  expect(Object.keys(found(root, ['old']))).toEqual(['a.pth', 'new/b.pth', 'new/b.tmp.pth'])
  expect(Object.keys(found(root, ['*.tmp.pth', 'old/**']))).toEqual(['a.pth', 'new/b.pth'])
  expect(Object.keys(found(root, ['new/?.pth']))).not.toContain('new/b.pth')
  expect(Object.keys(found(root, ['**/b.pth', 'a.pth']))).toEqual(['new/b.tmp.pth'])
})

test('links are followed inside the tree, once, and not out of it', () => {
  const root = tree('links', { 'blobs/abc': 'model', 'snapshots/x/readme.md': '' })
  const outside = tree('outside', { 'secret.pth': 'model' })
  symlinkSync('../../blobs/abc', join(root, 'snapshots/x/model.pth'))
  symlinkSync(join(outside, 'secret.pth'), join(root, 'out.pth'))
  symlinkSync(outside, join(root, 'outside'))
  symlinkSync('..', join(root, 'snapshots/loop'))
  symlinkSync('nowhere', join(root, 'dangling.pth'))
  expect(Object.keys(found(root))).toEqual(['blobs/abc', 'snapshots/x/model.pth'])
})

test('a file, and what is not there', () => {
  const root = tree('single', { 'a.bin': 'anything' })
  expect([...modelsOf(join(root, 'a.bin'))]).toMatchObject([{ path: join(root, 'a.bin') }])
  const [missing] = [...modelsOf(join(root, 'none.pth'))]
  expect(missing).toMatchObject({ path: join(root, 'none.pth'), error: { code: 'ENOENT' } })
})
