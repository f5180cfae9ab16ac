// How much memory this process has, as Linux counts it.

import { readFileSync } from 'node:fs'

/** MiB resident, and of it anonymous and of files; with `before`, what came on top of that. */
export function memory(before = { resident: 0, anonymous: 0, file: 0 }) {
  const status = readFileSync('/proc/self/status', 'utf8')
  const mebibytes = (key) => Number(new RegExp(`^${key}:\\s*(\\d+) kB`, 'm').exec(status)[1]) / 1024
  return {
    resident: mebibytes('VmRSS') - before.resident,
    anonymous: mebibytes('RssAnon') - before.anonymous,
    file: mebibytes('RssFile') - before.file,
  }
}
