/** Running commands as users do: bin/torchmap over dist/, in a pipe or on a terminal. */
import { spawnSync } from 'node:child_process'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'

export const root = join(__dirname, '..', '..')
export const bin = join(root, 'bin/torchmap')

export interface Run {
  code: number | string | null
  stdout: string
  stderr: string
}

export function run(command: string, args: string[], env: NodeJS.ProcessEnv = {}): Run {
  const { status, signal, stdout, stderr, error } = spawnSync(command, args, {
    cwd: root,
    encoding: 'utf8',
    env: { ...process.env, ...env },
    maxBuffer: 2 ** 28,
    stdio: ['ignore', 'pipe', 'pipe'],
    timeout: 50_000,
  })
  if (error) throw error
  return { code: signal ?? status, stdout, stderr }
}

export const torchmap = (...args: string[]) => run(process.execPath, [bin, ...args])

const quoted = (text: string) => `'${text.replaceAll("'", "'\\''")}'`
const hasPseudoTerminals = /util-linux/.test(
  spawnSync('script', ['--version'], { encoding: 'utf8' }).stdout ?? '',
)

/**
 * What a terminal of so many columns is sent; where there is none to be had, streams that say they
 * are one.
 *
 * @param folder for files of its own
 */
export function terminal(
  folder: string,
  columns: number,
  args: string[],
  env: NodeJS.ProcessEnv = {},
): string {
  const clean = { NO_COLOR: '', FORCE_COLOR: undefined, TERM: 'xterm', ...env }
  const command = [process.execPath, bin, ...args].map(quoted).join(' ')
  if (hasPseudoTerminals) {
    const line = `stty cols ${columns}; ${command}`
    return run('script', ['-qec', line, '/dev/null'], clean).stdout.replaceAll('\r\n', '\n')
  }
  const pretence = join(folder, 'terminal.cjs')
  const streams = '[process.stdout, process.stderr]'
  writeFileSync(
    pretence,
    `for (const stream of ${streams}) Object.assign(stream, { isTTY: true, columns: ${columns} })`,
  )
  const { stdout, stderr } = run(process.execPath, ['-r', pretence, bin, ...args], clean)
  return stderr + stdout
}
