/** Which release this is. */
import { readFileSync } from 'node:fs'
import { join } from 'node:path'

/** As package.json says it, from `lib` and from `dist`. */
export function packageVersion(): string {
  const manifest = readFileSync(join(__dirname, '..', 'package.json'), 'utf8')
  return (JSON.parse(manifest) as { version: string }).version
}
