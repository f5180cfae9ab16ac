/** The schema of results against their types, and the page of rules against their table. */
import { spawnSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, test } from '@jest/globals'
import type { Format } from '../lib/content'
import { DTYPES } from '../lib/dtype'
import type { Flavor } from '../lib/flavor/rules'
import type { Finding, NamedGlobal, Result, TensorDetail, ValueStatistics } from '../lib/zoo/result'
import { RULES } from '../lib/zoo/rules'
import { type Summary, summaryOf } from '../lib/zoo/summary'
import { FULL, HOSTILE_NAMES, hostile, zoo } from './support/results'
import { SCHEMA, schemaErrors } from './support/schema'

const root = join(__dirname, '..')
const ALL = [...zoo(300), FULL, ...HOSTILE_NAMES.map(hostile)]

describe('the schema', () => {
  test('fits results', () => {
    for (const result of ALL) expect([result.path, schemaErrors(result)]).toEqual([result.path, []])
    expect(schemaErrors(summaryOf(ALL), 'summary')).toEqual([])
  })

  test.each([
    ['another status', { status: 'fine' }],
    ['an unknown rule', { findings: [{ ...FULL.findings[0]!, rule: 'whole/none' }] }],
    ['a field that is not there', { colour: 'red' }],
    ['half a tensor', { tensors: 0.5 }],
    ['a digest that is none', { files: { a: 'zz' } }],
    ['no globals', { globals: undefined }],
  ])('refuses %s', (_, wrong) => {
    expect(schemaErrors({ ...FULL, ...wrong })).toHaveLength(1)
  })

  // Fields that a type must have, and no others: adding one to the types asks for it here.
  type Smallest<T> = {
    [Key in keyof T as undefined extends T[Key] ? never : Key]: T[Key]
  }
  const { path, status, integrity, safety, globals, tensors, bytes, ms, findings } = FULL
  const [{ rule, severity, message, remedy }] = FULL.findings as [Finding]
  const [{ name, verdict, isCalled, chain, offset }] = FULL.globals as [NamedGlobal]
  const [tensor] = FULL.details as [Required<TensorDetail>]
  const { nan, infinite, zero, histogram } = tensor.values
  const smallest: Record<string, object> = {
    result: {
      ...{ path, status, integrity, safety, globals, tensors, bytes, ms, findings },
    } satisfies Smallest<Result>,
    finding: { rule, severity, message, remedy } satisfies Smallest<Finding>,
    global: { name, verdict, isCalled, chain, offset } satisfies Smallest<NamedGlobal>,
    tensor: {
      ...{ name: tensor.name, dtype: tensor.dtype, shape: tensor.shape, bytes: tensor.bytes },
    } satisfies Smallest<TensorDetail>,
    values: { nan, infinite, zero, histogram } satisfies Smallest<ValueStatistics>,
    summary: summaryOf([]) satisfies Summary,
  }
  const full: Record<string, object> = {
    result: FULL,
    finding: FULL.findings[0]!,
    global: FULL.globals[0]!,
    tensor,
    values: tensor.values,
    summary: summaryOf([]),
  }

  test.each(Object.keys(full))('has the fields of the type: %s', (definition) => {
    const { properties, required } = SCHEMA.$defs[definition]!
    expect(Object.keys(properties as object).sort()).toEqual(Object.keys(full[definition]!).sort())
    expect([...(required as string[])].sort()).toEqual(Object.keys(smallest[definition]!).sort())
    expect(schemaErrors(full[definition], definition)).toEqual([])
    expect(schemaErrors(smallest[definition], definition)).toEqual([])
  })

  // A member that is added to the types does not compile without one here.
  const FORMATS: Record<Format, 0> = {
    ...{ zip: 0, legacy: 0, tar: 0, pickle: 0, torchscript: 0, package: 0, pt2: 0 },
    ...{ safetensors: 0, split: 0, dcp: 0, deepspeed: 0 },
  }
  const FLAVORS: Record<Flavor, 0> = {
    ...{ lightning: 0, darts: 0, ultralytics: 0, fairseq: 0, timm: 0, openmmlab: 0, espnet: 0 },
    ...{ megatron: 0, deepspeed: 0, accelerate: 0, huggingface: 0, peft: 0, bitsandbytes: 0 },
    ...{ gptq: 0, awq: 0, torchscript: 0, package: 0, pt2: 0, optimizer: 0, scheduler: 0 },
    ...{ scaler: 0, training: 0, module: 0, state_dict: 0, tensor: 0, tensors: 0, unknown: 0 },
  }
  const { status: statuses, integrity: integrities, safety: safeties } = summaryOf([])

  test.each([
    ['result', 'format', Object.keys(FORMATS)],
    ['result', 'flavor', Object.keys(FLAVORS)],
    ['result', 'status', Object.keys(statuses)],
    ['result', 'integrity', Object.keys(integrities)],
    ['result', 'safety', Object.keys(safeties)],
    ['tensor', 'dtype', DTYPES.map((dtype) => dtype.name)],
  ])('has the words of the type: %s.%s', (definition, field, words) => {
    const { properties } = SCHEMA.$defs[definition]!
    const { enum: listed } = (properties as Record<string, { enum: string[] }>)[field]!
    expect([...listed].sort()).toEqual([...words].sort())
  })
})

test('docs/rules.md and the schema have every rule', () => {
  const check = spawnSync(process.execPath, ['scripts/rules.mjs', '--check'], {
    cwd: root,
    encoding: 'utf8',
  })
  expect([check.stderr, check.status]).toEqual(['', 0])
  const page = readFileSync(join(root, 'docs/rules.md'), 'utf8')
  for (const id of Object.keys(RULES)) expect(page).toContain(`\n### \`${id}\`\n`)
  expect(SCHEMA.$defs.rule!.enum).toEqual(Object.keys(RULES))
})
