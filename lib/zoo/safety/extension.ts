/** What the name of a file says it is, beside what it is. */

/** What a file is, as its bytes say. */
export type ContentKind = 'zip' | 'tar' | 'pickle' | 'legacy' | 'npy' | 'safetensors' | ''

/** Formats by the end of a name; torch writes all of its own under any of the first. */
const EXPECTED: Readonly<Record<string, readonly ContentKind[]>> = {
  ...Object.fromEntries(
    [
      'pt',
      'pth',
      'bin',
      'ckpt',
      'pkl',
      'pickle',
      'tar',
      'mar',
      'model',
      'dump',
      'th',
      't7',
      'p',
    ].map((extension) => [extension, ['zip', 'legacy', 'pickle', 'tar'] as const]),
  ),
  pt2: ['zip'],
  zip: ['zip'],
  npz: ['zip'],
  npy: ['npy'],
  joblib: ['pickle', 'zip'],
  safetensors: ['safetensors'],
  json: [''],
  txt: [''],
  md: [''],
  yaml: [''],
  yml: [''],
  csv: [''],
  py: [''],
  onnx: [''],
  gguf: [''],
  h5: [''],
  png: [''],
  jpg: [''],
}

const WORDS: Readonly<Record<ContentKind, string>> = {
  zip: 'a zip archive',
  tar: 'a tar archive',
  pickle: 'a pickle',
  legacy: 'a checkpoint of the format before torch 1.6',
  npy: 'a NumPy array',
  safetensors: 'a safetensors file',
  '': 'no checkpoint',
}

/**
 * A sentence where the name promises something else; nothing where it promises nothing.
 *
 * @param foreign what it is, where that is no format of a checkpoint and known
 */
export function misnamed(path: string, kind: ContentKind, foreign: string): string | undefined {
  const extension = /\.([A-Za-z0-9]+)$/.exec(path)?.[1]?.toLowerCase()
  const expected = extension === undefined ? undefined : EXPECTED[extension]
  if (expected === undefined || expected.includes(kind)) return undefined
  // Nothing is known of it: that it is none of those it should be is for others to say.
  if (kind === '' && foreign === '') return undefined
  // joblib compresses as it is told to, and finds out when it loads.
  if (extension === 'joblib' && foreign.startsWith('a file compressed with')) return undefined
  return `the file is called .${extension} and is ${kind === '' ? foreign : WORDS[kind]}`
}
