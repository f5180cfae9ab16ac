/** What stands in a directory. */
import { readdirSync } from 'node:fs'

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
