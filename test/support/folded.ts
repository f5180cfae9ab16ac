/** Goldens whose weights are computed from others. */
import { join } from 'node:path'
import { type DType, openSync } from '../../lib/index'
import { FIXTURES, type GoldenRow, readManifest } from './golden'

/** What rows of these goldens say beside their content: see fixtures/generate/reparametrized.py. */
export interface FoldedRow extends GoldenRow {
  /** The weights as torch computes them: the bytes in base64. */
  folded: Record<string, { dtype: DType; shape: number[]; data: string }>
  /** The weights that are reported. */
  unfolded: string[]
  /** The names without the levels of wrappers. */
  plain?: string[]
}

export const ROWS = ['torch-1.13', 'torch-2.13'].flatMap((set) =>
  (readManifest(set) as FoldedRow[])
    .filter(({ folded }) => folded !== undefined)
    .map((row) => ({ path: join(FIXTURES, set, row.file), set, ...row })),
)

export function golden(file: string, set = 'torch-2.13') {
  const row = ROWS.find((candidate) => candidate.file === file && candidate.set === set)!
  return { row, checkpoint: openSync(row.path) }
}
