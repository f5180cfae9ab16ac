/** What stands in a directory. */
import { readdirSync, readFileSync, statSync } from 'node:fs'

export interface Folder {
  path: string
  files: ReadonlySet<string>
  folders: ReadonlySet<string>
}

export function readFolder(path: string): Folder {
  const entries = readdirSync(path, { withFileTypes: true })
  // What links point to is found out when it is opened.
  const folders = entries.filter((entry) => entry.isDirectory()).map(({ name }) => name)
  const files = entries.filter((entry) => !entry.isDirectory()).map(({ name }) => name)
  return { path, files: new Set(files.sort()), folders: new Set(folders.sort()) }
}

/** The index of parts, with or without a variant such as `fp16`. */
export const INDEX = /\.index(\.[^.]+)?\.json$/

/** `model-00001-of-00003.safetensors` and its kin. */
export const SHARD = /^(.*?)-?(\d+)-of-(\d+)(\.[^.]+)?\.(safetensors|bin|pt|pth|ckpt)$/

/** The text of a regular file of at most so many bytes; nothing where there is something else. */
export function shortText(path: string, longest: number): string | undefined {
  const found = statSync(path, { throwIfNoEntry: false })
  // Opening a pipe would wait for its writer.
  if (!found?.isFile() || found.size > longest) return undefined
  return readFileSync(path, 'utf8')
}

/** Whether a file of this name may hold weights. */
export function isWeights(name: string): boolean {
  return /\.(safetensors|bin|pt|pth|ckpt)$/.test(name)
}
