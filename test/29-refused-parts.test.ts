/** Parts that the system refuses to open: an entry of `skipped` with its code, an error at use. */
import { cpSync, mkdirSync, rmSync, symlinkSync } from 'node:fs'
import { basename, join } from 'node:path'
import { describe, expect, test } from '@jest/globals'
import { isFileError, isLoss, StateError } from '../lib/errors'
import { type Checkpoint, type OpenOptions, openSync } from '../lib/index'
import { FIXTURES } from './support/golden'
import { temporaryFolder } from './support/samples'

const folder = temporaryFolder('refused')
let copies = 0

function copied(name: string): string {
  const path = join(folder, `copy-${++copies}`)
  cpSync(join(FIXTURES, name), path, { recursive: true })
  return path
}

/** By the code that opening such a part fails with. */
const REFUSALS: Record<string, (path: string) => void> = {
  EISDIR: (path) => {
    rmSync(path)
    mkdirSync(path)
  },
  ELOOP: (path) => {
    rmSync(path)
    symlinkSync(basename(path), path)
  },
  ENOTDIR: (path) => {
    rmSync(path)
    symlinkSync(join(__filename, 'below'), path)
  },
}

const codeOf = (use: () => unknown): unknown => {
  try {
    use()
  } catch (error) {
    return (error as { code: unknown }).code
  }
  return undefined
}

/** Everything that can be asked for but one tensor. */
function look(checkpoint: Checkpoint): void {
  expect(checkpoint.flavor).toEqual(expect.any(String))
  expect(checkpoint.producer).toBeDefined()
  expect(checkpoint.metadata).toBeUndefined()
  expect(checkpoint.tensors.size).toBeGreaterThan(0)
}

interface Kind {
  name: string
  part: string
  /** In which the part is not looked at by opening. */
  options: OpenOptions[]
}
const HUB = 'pytorch_model-0000'
const KINDS: Record<string, Kind> = {
  'the first part of an index': {
    name: 'split/hub-bin',
    part: `${HUB}1-of-00003.bin`,
    options: [{ parts: 'lazy' }, { parts: 'lazy', mmap: false }],
  },
  'the last part of an index': {
    name: 'split/hub-bin',
    part: `${HUB}3-of-00003.bin`,
    options: [{ parts: 'lazy' }],
  },
  chunks: { name: 'dcp/fsdp', part: '__1_0.distcp', options: [{}, { parts: 'lazy' }] },
  objects: { name: 'dcp/files', part: '__0_1.distcp', options: [{}, { parts: 'lazy' }] },
  'partitions of ZeRO 2': {
    name: 'deepspeed/zero2',
    part: 'global_step1/zero_pp_rank_1_mp_rank_00_optim_states.pt',
    options: [{ parts: 'lazy' }],
  },
  'partitions of ZeRO 3': {
    name: 'deepspeed/zero3',
    part: 'global_step1/zero_pp_rank_1_mp_rank_00_optim_states.pt',
    options: [{ parts: 'lazy' }],
  },
}

describe.each(Object.keys(KINDS))('%s', (kind) => {
  const { name, part, options: all } = KINDS[kind]!
  test.each(Object.keys(REFUSALS))('%s', async (code) => {
    const path = copied(name)
    using whole = openSync(path)
    const data = new Map([...whole.tensors].map(([own, tensor]) => [own, tensor.data]))
    REFUSALS[code]!(join(path, part))
    for (const options of all) {
      using checkpoint = openSync(path, options)
      const { skipped } = checkpoint
      expect(skipped.length).toBeGreaterThan(0)
      expect(skipped).toBe(checkpoint.skipped)
      for (const entry of skipped) {
        expect(entry).toEqual({ name: expect.any(String), code, message: expect.any(String) })
        expect(entry.message).toContain(`${code}: `)
        expect(entry.message).toContain(part)
      }
      look(checkpoint)
      // Each tensor is as it was, or is listed with the code it fails with.
      const listed = new Set(skipped.map((entry) => entry.name))
      let failed = 0
      for (const own of checkpoint.tensors.keys()) {
        const fault = codeOf(() => checkpoint.tensors.get(own)!.data)
        expect([own, fault]).toEqual([own, listed.has(own) ? code : undefined])
        if (fault === undefined) expect(checkpoint.tensors.get(own)!.data).toEqual(data.get(own))
        else ++failed
      }
      // Objects are listed too.
      if (name.startsWith('dcp')) expect(failed).toBeLessThanOrEqual(skipped.length)
      else expect(failed).toBe(skipped.length)
      expect(failed).toBeGreaterThan(0)
      const damaged = (await checkpoint.verify()).filter(({ verdict }) => verdict !== 'ok')
      expect(damaged.some((row) => row.message?.startsWith(code) === true)).toBe(true)
    }
  })
})

test('what a process has run out of is no loss of a checkpoint', () => {
  const made = (code: string) =>
    Object.assign(new Error(code), { code, errno: -1, syscall: 'open' })
  for (const code of ['EACCES', 'EPERM', 'EISDIR', 'ELOOP', 'EIO', 'ENOTDIR', 'ESTALE', 'ENOENT'])
    expect([code, isFileError(made(code)), isLoss(made(code))]).toEqual([code, true, true])
  for (const code of ['EMFILE', 'ENFILE', 'ENOMEM', 'EAGAIN', 'EINTR'])
    expect([code, isFileError(made(code)), isLoss(made(code))]).toEqual([code, false, false])
  expect(isLoss(new StateError('CLOSED', 'closed'))).toBe(true)
  for (const other of [undefined, null, 3, new Error('no'), { code: 'EACCES' }, new TypeError()])
    expect([isFileError(other), isLoss(other)]).toEqual([false, false])
})
