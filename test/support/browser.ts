/** A browser, where there is one: TORCHMAP_CHROMIUM, or Chromium on the PATH. */
import { existsSync } from 'node:fs'
import { delimiter, join } from 'node:path'
import { type Browser, chromium } from 'playwright-core'

const NAMES = ['chromium', 'chromium-browser', 'google-chrome']

/** Nothing where there is none. */
export const CHROMIUM =
  process.env.TORCHMAP_CHROMIUM ??
  (process.env.PATH ?? '')
    .split(delimiter)
    .flatMap((folder) => NAMES.map((name) => join(folder, name)))
    .find((path) => existsSync(path))

export function launch(executablePath: string): Promise<Browser> {
  // Its sandbox does not work for root, whom tests in containers run as.
  const args = process.getuid?.() === 0 ? ['--no-sandbox'] : []
  return chromium.launch({ executablePath, args })
}
