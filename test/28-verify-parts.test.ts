/** Checksums of checkpoints of several files. */
import { cpSync, mkdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { basename, join } from 'node:path'
import { crc32 } from 'node:zlib'
import { describe, expect, test } from '@jest/globals'
import {
  type Checkpoint,
  type OpenOptions,
  open,
  openSync,
  type RecordVerdict,
  type VerifyProgress,
} from '../lib/index'
import { copyOf, flip, listed } from './support/archives'
import { checkpointOf, global, pickle } from './support/bytes'
import * as dcp from './support/dcp-index'
import { FIXTURES } from './support/golden'
import * as p from './support/pickle-writer'
import { refusal, rejection, temporaryFolder } from './support/samples'

const folder = temporaryFolder('verify-parts')

describe('several files', () => {
  test('every part is checked', async () => {
    const paths = ['torch-2.13/tied.pt', 'torch-2.13/strides.pt'].map(
      (name) => copyOf(name, folder).path,
    )
    using checkpoint = openSync(paths)
    const whole = await checkpoint.verify()
    expect([...new Set(whole.map(({ path }) => path))]).toEqual(paths)
    expect(new Set(whole.map(({ verdict }) => verdict))).toEqual(new Set(['ok']))
    const second = listed(readFileSync(paths[1]!)).find(({ name }) => name.endsWith('/data/0'))!
    flip(paths[1]!, second.at)
    const damaged = (await checkpoint.verify()).filter(({ verdict }) => verdict !== 'ok')
    expect(damaged).toMatchObject([
      { path: paths[1]!, record: second.name, verdict: 'mismatch', expected: second.crc },
    ])
    for (const name of damaged[0]!.tensors) expect(checkpoint.tensors.has(name)).toBe(true)
    expect(damaged[0]!.tensors.length).toBeGreaterThan(0)
    expect(damaged[0]!.actual).not.toBe(second.crc)
  })

  test('parts behind an index are opened', async () => {
    const path = join(FIXTURES, 'split/hub-bin')
    using checkpoint = openSync(path)
    const verdicts = await checkpoint.verify()
    expect(new Set(verdicts.map((row) => row.path))).toEqual(
      new Set(checkpoint.parts.map((part) => part.path)),
    )
    expect(verdicts.every(({ verdict }) => verdict === 'ok')).toBe(true)
    expect(checkpoint.parts.every(({ isOpen }) => isOpen)).toBe(true)
    using safe = openSync(join(FIXTURES, 'split/hub-safetensors'))
    for (const { verdict } of await safe.verify()) expect(verdict).toBe('none')
  })

  test('a part that is missing or cannot be opened has a verdict', async () => {
    const path = join(folder, 'hub-bin')
    cpSync(join(FIXTURES, 'split/hub-bin'), path, { recursive: true })
    using first = openSync(path)
    const [one, two] = first.parts.map((part) => part.path)
    writeFileSync(one!, 'no checkpoint')
    using checkpoint = openSync(path)
    const verdicts = await checkpoint.verify()
    expect(verdicts[0]).toMatchObject({ record: '', verdict: 'mismatch', path: one, tensors: [] })
    expect(verdicts[0]!.message).toContain('NOT_A_CHECKPOINT')
    expect(verdicts.slice(1).every((row) => row.path !== one && row.verdict === 'ok')).toBe(true)
    expect(verdicts.slice(1).some((row) => row.path === two)).toBe(true)
    expect(refusal(() => openSync(path, { verify: true })).code).toBe('NOT_A_CHECKPOINT')
  })

  test.each(['files', 'flat', 'fsdp', 'plain', 'uneven', 'megatron', 'torch-2.5'])(
    'the items of dcp/%s are archives',
    async (name) => {
      using checkpoint = openSync(join(FIXTURES, 'dcp', name))
      const events: VerifyProgress[] = []
      const verdicts = await checkpoint.verify({ onProgress: (event) => events.push(event) })
      expect(verdicts.filter(({ verdict }) => verdict === 'mismatch')).toEqual([])
      const index = verdicts.filter(({ verdict }) => verdict === 'none')
      expect(index.map(({ path }) => basename(path!))).toEqual([
        expect.stringMatching(/\.metadata$/),
      ])
      const named = new Set(verdicts.flatMap(({ tensors }) => tensors))
      for (const [tensor, { size }] of checkpoint.tensors)
        if (size > 0) expect([tensor, named.has(tensor)]).toEqual([tensor, true])
      expect(events.at(-1)!.loaded).toBe(events[0]!.total)
      openSync(join(FIXTURES, 'dcp', name), { verify: true }).close()
    },
  )

  test('a flipped byte of an item is found', async () => {
    const path = join(folder, 'dcp')
    cpSync(join(FIXTURES, 'dcp/plain'), path, { recursive: true })
    using whole = openSync(path)
    const rows = await whole.verify()
    const target = rows.find(({ record, bytes }) => /\/data\/0$/.test(record) && bytes > 0)!
    const file = readFileSync(target.path!)
    // The payload is the one run of bytes with this checksum.
    let at = 0
    while (crc32(file.subarray(at, at + target.bytes)) !== target.expected) ++at
    flip(target.path!, at)
    using checkpoint = openSync(path)
    const damaged = (await checkpoint.verify()).filter(({ verdict }) => verdict === 'mismatch')
    expect(damaged).toMatchObject([{ record: target.record, item: target.item, path: target.path }])
    expect(damaged[0]!.tensors).toEqual([target.item])
    expect(refusal(() => openSync(path, { verify: true })).code).toBe('CHECKSUM_MISMATCH')
  })

  test.each(['zero1-bf16', 'zero2', 'zero3'])('deepspeed/%s', async (name) => {
    using checkpoint = openSync(join(FIXTURES, 'deepspeed', name))
    const verdicts = await checkpoint.verify()
    expect(new Set(verdicts.map(({ path }) => path)).size).toBe(checkpoint.parts.length)
    expect(verdicts.filter(({ verdict }) => verdict !== 'ok')).toEqual([])
  })
})

let copies = 0

/** A copy in a folder of its own. */
function copied(name: string): string {
  const path = join(folder, `copy-${++copies}`)
  cpSync(join(FIXTURES, name), path, { recursive: true })
  return path
}

describe('a part that cannot be opened', () => {
  const BIN = 'pytorch_model-00003-of-00003.bin'
  const ZERO = 'global_step1/zero_pp_rank_1_mp_rank_00_optim_states.pt'
  const KINDS: readonly [string, string, string][] = [
    ['an index', 'split/hub-bin', BIN],
    ['items', 'dcp/fsdp', '__1_0.distcp'],
    ['a file of objects', 'dcp/files', '__0_1.distcp'],
    ['partitions', 'deepspeed/zero2', ZERO],
    ['partitions of stage 3', 'deepspeed/zero3', ZERO],
    [
      'a universal checkpoint',
      'deepspeed/universal2',
      'global_step1_universal/zero/head.weight/fp32.pt',
    ],
    ['what Darts saves', 'split/darts', 'model.pt.ckpt'],
  ]
  const DAMAGES: Record<string, (path: string) => void> = {
    missing: (path) => rmSync(path),
    'no checkpoint': (path) => writeFileSync(path, 'no checkpoint'),
    empty: (path) => writeFileSync(path, ''),
    'cut off': (path) => {
      const whole = readFileSync(path)
      writeFileSync(path, whole.subarray(0, whole.length >> 1))
    },
    'without a directory': (path) => writeFileSync(path, readFileSync(path).subarray(0, -22)),
    'a folder': (path) => {
      rmSync(path)
      mkdirSync(path)
    },
    'a link to itself': (path) => {
      rmSync(path)
      symlinkSync(basename(path), path)
    },
  }
  const OPTIONS: readonly OpenOptions[] = [{}, { parts: 'lazy' }, { mmap: false, parts: 'lazy' }]

  describe.each(KINDS)('of %s', (_, name, part) => {
    test.each(Object.keys(DAMAGES))('%s: the same error, at once and not', async (damage) => {
      const path = copied(name)
      const source = name === 'split/darts' ? join(path, 'model.pt') : path
      openSync(source, { verify: true }).close()
      DAMAGES[damage]!(join(path, part))
      for (const options of OPTIONS) {
        // A model of Darts whose weights are missing opens; those of a universal checkpoint are
        // found by looking, or else in the model states.
        const opens =
          (name === 'split/darts' && /missing|link/.test(damage)) ||
          (name.endsWith('universal2') && /missing|folder/.test(damage))
        let error: unknown
        try {
          openSync(source, { ...options, verify: true }).close()
        } catch (caught) {
          error = caught
        }
        if (opens) {
          expect(error).toBeUndefined()
          await (await open(source, { ...options, verify: true })).close()
          continue
        }
        expect(error).toBeDefined()
        const { code } = error as { code: string }
        const promised = await rejection(open(source, { ...options, verify: true }))
        expect({ ...promised, message: promised.message }).toEqual({
          ...(error as Error),
          message: (error as Error).message,
        })
        expect(promised.constructor.name).toBe((error as Error).constructor.name)
        expect(code).not.toBe('CHECKSUM_MISMATCH')
        if (damage === 'missing') expect(code).toMatch(/MISSING_SHARD|ENOENT/)
        if (damage === 'a link to itself') expect(code).toBe('ELOOP')
        if (damage === 'no checkpoint' && name.startsWith('split'))
          expect(code).toBe('NOT_A_CHECKPOINT')
      }
    })
  })

  test('a mismatch before it is the error', async () => {
    const path = copied('split/hub-bin')
    const [first] = openSync(path).parts.map((part) => part.path)
    rmSync(join(path, BIN))
    const record = listed(readFileSync(first!)).find((row) => /\/data\//.test(row.name))!
    flip(first!, record.at)
    const error = refusal(() => openSync(path, { parts: 'lazy', verify: true }))
    expect(error).toMatchObject({ code: 'CHECKSUM_MISMATCH', path: first })
    expect(await rejection(open(path, { parts: 'lazy', verify: true }))).toEqual(error)
  })

  test.each(['a folder', 'a link to itself', 'missing'])('%s has a verdict', async (damage) => {
    for (const [, name, part] of KINDS.slice(0, 3)) {
      const path = copied(name)
      using whole = openSync(path)
      const before = await whole.verify()
      DAMAGES[damage]!(join(path, part))
      using checkpoint = openSync(path, { parts: 'lazy' })
      const verdicts = await checkpoint.verify()
      const of = (rows: typeof verdicts, isPart: boolean) =>
        rows.filter((row) => row.path!.endsWith(part) === isPart)
      expect(of(verdicts, false)).toEqual(of(before, false))
      const judged = of(verdicts, true)
      expect(judged.length).toBeGreaterThan(0)
      for (const row of judged) expect(row).toMatchObject({ record: '', verdict: 'mismatch' })
      for (const { message } of judged) expect(message).toMatch(/missing|EISDIR|ELOOP|has \d+/)
    }
  })

  test('one that is refused says nothing of its records', async () => {
    const path = copied('split/hub-bin')
    const part = join(path, BIN)
    writeFileSync(part, checkpointOf(pickle(global('some.package', 'Thing'))))
    const options = { globals: 'strict', parts: 'lazy' } as const
    using checkpoint = openSync(path, options)
    const last = (await checkpoint.verify()).at(-1)!
    const error = await rejection(open(path, { ...options, verify: true }))
    expect(error).toMatchObject({ name: 'UnsafeError', code: 'UNSAFE_GLOBAL', path: part })
    const { message } = error
    expect(last).toMatchObject({ record: '', verdict: 'none', path: part, tensors: [], message })
  })
})

/** Where the payload of a record is, by its local header and checksum. */
function payloadOf(file: Buffer, { record, bytes, expected }: RecordVerdict): number {
  for (let at = -1; ; ) {
    at = file.indexOf('PK\x03\x04', at + 1, 'latin1')
    if (at === -1) throw new Error(`there is no record '${record}'`)
    const payload = at + 30 + file.readUInt16LE(at + 26) + file.readUInt16LE(at + 28)
    if (
      !file
        .subarray(at + 30, payload)
        .toString('latin1')
        .startsWith(record)
    )
      continue
    if (crc32(file.subarray(payload, payload + bytes)) === expected) return payload
  }
}

/** Changes every byte, so that every tensor over them changes. */
function flipAll(path: string, at: number, bytes: number): void {
  const file = readFileSync(path)
  for (let i = at; i < at + bytes; ++i) file[i]! ^= 0x10
  writeFileSync(path, file)
}

/** The elements of every tensor that can be had. */
function elements(checkpoint: Checkpoint): Map<string, string> {
  const all = new Map<string, string>()
  for (const [name, { data }] of checkpoint.tensors) {
    const bytes = Buffer.from(data.buffer, data.byteOffset, data.byteLength)
    all.set(name, bytes.toString('latin1'))
  }
  return all
}

test.each([
  'split/hub-bin',
  'dcp/fsdp',
  'dcp/uneven',
  'dcp/files',
  'dcp/lightning-fsdp',
  'deepspeed/zero1-bf16',
  'deepspeed/zero2-three-ranks',
  'deepspeed/zero3',
  'deepspeed/universal2',
])('%s: a mismatch names every tensor that it spoils', async (name) => {
  const path = copied(name)
  using whole = openSync(path)
  const before = elements(whole)
  const verdicts = await whole.verify()
  const known = new Set(verdicts.flatMap(({ tensors }) => tensors))
  const unnamed = [...before].filter(([own, data]) => data.length > 0 && !known.has(own))
  expect(unnamed.map(([own]) => own)).toEqual([])
  let [spoiled, exact] = [0, 0]
  for (const row of verdicts) {
    if (row.verdict !== 'ok' || !/\/data\/\d+$/.test(row.record) || row.bytes === 0) continue
    const at = payloadOf(readFileSync(row.path!), row)
    flipAll(row.path!, at, row.bytes)
    using checkpoint = openSync(path)
    const changed = [...elements(checkpoint)].filter(([own, data]) => before.get(own) !== data)
    const damaged = (await checkpoint.verify()).filter(({ verdict }) => verdict === 'mismatch')
    expect(damaged).toMatchObject([{ record: row.record, path: row.path, tensors: row.tensors }])
    const wanted = changed.map(([own]) => own).sort()
    const named = damaged[0]!.tensors.filter((own) => before.has(own)).sort()
    // Shares of a flat vector lie over it in part.
    expect(named).toEqual(expect.arrayContaining(wanted))
    spoiled += wanted.length
    exact += named.length - wanted.length
    flipAll(row.path!, at, row.bytes)
  }
  expect(spoiled).toBeGreaterThan(2)
  expect(exact).toBe(0)
})

test('a record that is two items names both', async () => {
  const path = copied('dcp/uneven')
  const { file, offset, length } = dcp.placeOf(path, 'ten', [0, 0])
  const place = dcp.place(p.str(file), p.int(offset), p.int(length))
  const shape = dcp.size(3, 3)
  const index = dcp.metadata({
    items: ['a', 'b'].map((item) => [
      item,
      dcp.tensor(shape, p.list(dcp.chunk(dcp.size(0, 0), shape))),
    ]),
    stored: ['a', 'b'].map((item) => [dcp.index(item, dcp.size(0, 0)), place]),
  })
  writeFileSync(join(path, '.metadata'), index)
  using checkpoint = openSync(path)
  const verdicts = await checkpoint.verify()
  const named = verdicts.flatMap(({ tensors }) => [...tensors].sort())
  expect(named).toEqual(['a', 'b'])
})
