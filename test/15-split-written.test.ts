/** Checkpoints of several files as huggingface_hub and Darts write them. */
import { copyFileSync, existsSync, mkdtempSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, test } from '@jest/globals'
import { type Checkpoint, openSync } from '../lib/index'
import { sha256 } from './support/golden'
import { maps } from './support/memory'
import { both, refusal, temporaryFolder, tensorOf } from './support/samples'

const folder = temporaryFolder('split-written')

/** What test/fixtures/split.py wrote, with what was in it. */
const fixtures = join(__dirname, 'fixtures', 'split')
interface Row {
  index: string
  files: string[]
  tensors: Record<string, { dtype: string; shape: number[]; sha256: string }>
  part: Record<string, string>
}
const written = JSON.parse(readFileSync(join(fixtures, 'manifest.json'), 'utf8')) as {
  'hub-bin': Row
  'hub-safetensors': Row
  darts: Row
}

/** Every tensor, as the manifest describes them. */
function contents(tensors: Checkpoint['tensors']): Row['tensors'] {
  const rows = [...tensors].map(([name, { dtype, shape, data }]) => {
    const bytes = new Uint8Array(data.buffer, data.byteOffset, data.byteLength)
    return [name, { dtype, shape: [...shape], sha256: sha256(bytes) }]
  })
  return Object.fromEntries(rows)
}

describe.each(['hub-bin', 'hub-safetensors'] as const)('%s, sharded by huggingface_hub', (name) => {
  const { index, files, tensors, part } = written[name]

  test.each<[string, string | string[]]>([
    ['its index', index],
    ['its directory', name],
    ['its parts', files],
  ])('%s', async (_, source) => {
    const paths = [source].flat().map((file) => join(fixtures, file))
    for (const parts of ['check', 'lazy', 'open'] as const) {
      for (const mmap of [true, false]) {
        const given = typeof source === 'string' ? paths[0]! : paths
        for (const checkpoint of await both(given, { parts, mmap })) {
          expect(contents(checkpoint.tensors)).toEqual(tensors)
          expect(contents(checkpoint.stateDict())).toEqual(tensors)
          expect([...(checkpoint.root as Map<string, unknown>).keys()].sort()).toEqual(
            Object.keys(tensors).sort(),
          )
          expect(checkpoint.skipped).toEqual([])
          expect(checkpoint.isMapped).toBe(mmap)
          const isSafe = name === 'hub-safetensors'
          expect(checkpoint.flavor).toBe(isSafe ? 'huggingface' : 'state_dict')
          expect(checkpoint.metadata?.get('format')).toBe(isSafe ? 'pt' : undefined)
          checkpoint.close()
        }
      }
    }
  })

  test('each tensor is in the part that the index says', () => {
    for (const [tensor, file] of Object.entries(part)) {
      const checkpoint = openSync(join(fixtures, index))
      tensorOf(checkpoint, tensor)
      const open = checkpoint.parts.filter(({ isOpen }) => isOpen)
      expect(open.map(({ path }) => path)).toEqual([join(fixtures, file)])
      checkpoint.close()
    }
  })
})

describe('what Darts saves', () => {
  test('the wrapper and its checkpoint are one model', async () => {
    for (const checkpoint of await both(join(fixtures, 'darts/model.pt'))) {
      expect(contents(checkpoint.stateDict())).toEqual(written.darts.tensors)
      expect([...checkpoint.tensors.keys()].every((name) => name.startsWith('state_dict.'))).toBe(
        true,
      )
      expect(checkpoint.root).toMatchObject({ name: 'TCNModel' })
      expect(checkpoint.parts).toHaveLength(2)
      expect(checkpoint.flavor).toBe('darts')
      expect(checkpoint.skipped).toEqual([])
      const tensor = [...checkpoint.tensors.values()][0]!
      checkpoint.close()
      expect(() => tensor.data).toThrow(/CLOSED/)
    }
  })

  test('a wrapper alone says that its weights are missing', () => {
    const path = join(fixtures, 'darts-alone.pt')
    const checkpoint = openSync(path)
    expect(checkpoint.tensors.size).toBe(0)
    expect(checkpoint.skipped).toMatchObject([{ name: 'state_dict', code: 'MISSING_SHARD' }])
    expect(checkpoint.skipped[0]!.message).toContain(`'${path}.ckpt'`)
    checkpoint.close()
  })

  test('a checkpoint that is damaged leaves nothing open', () => {
    const path = join(mkdtempSync(join(folder, 'darts-')), 'model.pt')
    copyFileSync(join(fixtures, 'darts/model.pt'), path)
    writeFileSync(`${path}.ckpt`, 'no checkpoint')
    expect(refusal(() => openSync(path))).toMatchObject({ path: `${path}.ckpt` })
    expect(maps()).not.toContain(path)
  })

  test('what a failed save leaves is named as that', () => {
    const error = refusal(() => openSync(join(fixtures, 'darts-aborted.pt')))
    expect(error.code).toBe('NOT_A_CHECKPOINT')
    expect(error.message).toContain('an aborted torch.save')
  })

  const real = process.env.TORCHMAP_FIXTURES ?? join(__dirname, '..', '..', 'shared', 'fixtures')
  const pair = join(real, 'darts', 'darts-0.46.1.pt')
  ;(existsSync(pair) ? test : test.skip)('a pair that Darts 0.46.1 wrote', () => {
    const checkpoint = openSync(pair)
    const names = [...checkpoint.stateDict().keys()]
    expect(names.length).toBeGreaterThan(0)
    expect(names.some((name) => name.includes('parametrizations.weight.original0'))).toBe(true)
    expect(checkpoint.root).toMatchObject({ name: 'TCNModel' })
    for (const tensor of checkpoint.stateDict().values())
      expect(tensor.data.length).toBe(tensor.size)
    checkpoint.close()
    const aborted = join(real, 'darts', 'darts-0.46.1-aborted-save.pt')
    expect(refusal(() => openSync(aborted)).message).toContain('an aborted torch.save')
  })
})
