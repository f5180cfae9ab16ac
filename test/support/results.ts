/**
 * Results made up: of ordinary models, of one that has every field, and of models whose names try
 * to get out of the document that they stand in.
 */
import { finding } from '../../lib/zoo/finding'
import type { Finding, Result, Status, TensorDetail } from '../../lib/zoo/result'

/** Names that mean something in HTML, XML, SARIF, JSON, terminals and URIs. */
export const HOSTILE_NAMES = [
  '<img src=x onerror="document.title=1">',
  '</script><script>document.title=1</script>',
  '<!--<script>',
  ']]></failure></testcase>&amp;"\'',
  '[click](https://example.com) {0}',
  'a\u202egnp.exe',
  'line\nbreak\u2028and\u0000null\u001b[31m',
  'lone\ud800surrogate\uffff',
  'javascript:alert(1)',
  '%2e%2e/#?é€😀',
]

/** Numbers from 0 to 1, the same in every run. */
export function randomFrom(seed: number): () => number {
  let state = seed
  return () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0
    return state / 2 ** 32
  }
}

const CHANNELS = [64, 128, 256, 512]

/** As of a ResNet, with values. */
export function tensorsOfNet(blocks: number, seed = 1): TensorDetail[] {
  const random = randomFrom(seed)
  const tensors: TensorDetail[] = []
  for (let i = 0; i < blocks; ++i) {
    const stage = Math.floor((4 * i) / blocks)
    const channels = CHANNELS[stage]!
    const name = `layer${stage + 1}.${i}`
    const conv = [channels, channels, 3, 3]
    tensors.push(detail(`${name}.conv.weight`, conv, random))
    for (const part of ['weight', 'bias', 'running_mean', 'running_var'])
      tensors.push(detail(`${name}.bn.${part}`, [channels], random))
  }
  return tensors
}

function detail(name: string, shape: number[], random: () => number): TensorDetail {
  const size = shape.reduce((product, each) => product * each, 1)
  const width = 0.02 + random() / 10
  const histogram = Array.from({ length: 64 }, (_, i) => {
    const at = (i - 31.5) / 12
    return Math.round(size * 0.08 * Math.exp(-at * at) * (0.8 + 0.4 * random()))
  })
  const values = { min: -width, max: width, mean: width / 50, nan: 0, infinite: 0, zero: 3 }
  const digest = Math.floor(random() * 2 ** 32)
    .toString(16)
    .padStart(64, '0')
  const common = { name, dtype: 'float32' as const, shape, bytes: size * 4, digest }
  return { ...common, values: { ...values, histogram } }
}

/** An ordinary model. */
export function model(path: string, more: Partial<Result> = {}): Result {
  const findings = more.findings ?? []
  return {
    path,
    format: 'zip',
    flavor: 'state_dict',
    producer: 'torch 2.1',
    status: statusOf(findings),
    integrity: 'ok',
    safety: 'safe',
    globals: [],
    tensors: more.details?.length ?? 0,
    bytes: 1_000_000,
    ms: 12.5,
    findings,
    ...more,
  }
}

export function statusOf(findings: readonly Finding[]): Status {
  const severities = new Set(findings.map(({ severity }) => severity))
  return severities.has('error') ? 'error' : severities.has('warning') ? 'warning' : 'ok'
}

/** Nothing in it is absent: a field that is added to the types does not compile without one here. */
export const FULL: DeepRequired<Result> = {
  path: 'zoo/full.pth',
  format: 'zip',
  flavor: 'lightning',
  producer: 'pytorch-lightning 2.1.0',
  status: 'error',
  integrity: 'mismatch',
  safety: 'dangerous',
  globals: [
    {
      name: 'os.system',
      verdict: 'dangerous',
      isCalled: true,
      chain: ['builtins.map', 'os.system'],
      record: 'archive/data.pkl',
      offset: 17,
    },
  ],
  tensors: 1,
  bytes: 4096,
  ms: 3.25,
  findings: [
    {
      rule: 'whole/checksum',
      severity: 'error',
      message: 'Record archive/data/0 has the CRC-32 00000001 and should have 00000002.',
      path: 'zoo/full-2.pth',
      record: 'archive/data/0',
      tensor: 'weight',
      offset: 640,
      remedy: 'Fetch the file again.',
    },
  ],
  files: { 'zoo/full.pth': 'ab'.repeat(32), 'zoo/full-2.pth': 'cd'.repeat(32) },
  details: [
    {
      name: 'weight',
      dtype: 'float32',
      shape: [2, 3],
      bytes: 24,
      digest: 'ef'.repeat(32),
      values: { min: -1, max: 1, mean: 0, nan: 0, infinite: 0, zero: 2, histogram: [3, 0, 3] },
    },
  ],
}

type DeepRequired<T> = T extends readonly (infer Item)[]
  ? readonly DeepRequired<Item>[]
  : T extends object
    ? { readonly [Key in keyof T]-?: DeepRequired<T[Key]> }
    : T

/** A model where every name that a file can choose is hostile. */
export function hostile(name: string): Result {
  return model(`zoo/${name}`, {
    producer: name,
    safety: 'dangerous',
    globals: [{ name, verdict: 'dangerous', isCalled: true, chain: [name, name], offset: 2 }],
    details: [{ ...detail(name, [2, 2], randomFrom(3)) }],
    files: { [name]: 'ab'.repeat(32) },
    findings: [
      finding('safe/dangerous-global', `A pickle calls ${name}.`, { record: name, tensor: name }),
    ],
  })
}

const FOLDERS = ['detection', 'vision/resnet', 'vision/vit', 'text', 'speech', 'archive/2019']

/** A zoo as there are: most models well, some not. */
export function zoo(count: number, seed = 7): Result[] {
  const random = randomFrom(seed)
  return Array.from({ length: count }, (_, i) => {
    const folder = FOLDERS[Math.floor(random() * FOLDERS.length)]!
    const path = `zoo/${folder}/model-${String(i).padStart(4, '0')}.${random() < 0.3 ? 'safetensors' : 'pth'}`
    return model(path, { ...troubleOf(path, random()), ...sizeOf(random) })
  })
}

function sizeOf(random: () => number): Partial<Result> {
  const bytes = Math.round(10 ** (5 + 4.5 * random() * random()))
  return { bytes, tensors: 20 + Math.round(400 * random()), ms: bytes / 2e6 }
}

function troubleOf(path: string, chance: number): Partial<Result> {
  if (path.endsWith('safetensors'))
    return {
      format: 'safetensors',
      flavor: 'huggingface',
      producer: 'safetensors',
      integrity: 'none',
    }
  if (chance < 0.02) {
    const name = 'posix.system'
    const place = { record: 'archive/data.pkl', offset: 131 }
    const findings = [
      finding('safe/dangerous-global', `The pickle calls ${name}, which runs a command.`, place),
      finding('portable/weights-only', 'torch.load refuses 1 class: posix.system.'),
    ]
    const globals = [
      { name, verdict: 'dangerous' as const, isCalled: true, chain: [name], ...place },
      {
        name: 'torch._utils._rebuild_tensor_v2',
        verdict: 'safe' as const,
        isCalled: true,
        chain: ['torch._utils._rebuild_tensor_v2'],
        record: 'archive/data.pkl',
        offset: 44,
      },
    ]
    return { safety: 'dangerous', globals, findings, status: 'error' }
  }
  if (chance < 0.04) {
    const message = '3 tensors lie in 1 record whose CRC-32 is 5e1fb7d2 and should be 09bc41aa.'
    const findings = [finding('whole/checksum', message, { record: 'archive/data/17' })]
    return { integrity: 'mismatch', findings, status: 'error' }
  }
  if (chance < 0.14) {
    const findings = Array.from({ length: 24 }, (_, i) =>
      finding('complete/norm', 'Of 5 tensors num_batches_tracked is absent.', {
        tensor: `layer${1 + (i % 4)}.${i}.bn`,
      }),
    )
    findings.push(
      finding('whole/tied', '2 tensors share 4,096 elements.', { tensor: 'head.weight' }),
    )
    return { findings, status: 'warning', safety: 'needs-review' }
  }
  if (chance < 0.3) {
    const message = 'None of 122 records has a checksum.'
    return { findings: [finding('whole/no-checksum', message)], integrity: 'absent' }
  }
  return {}
}
