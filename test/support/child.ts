/**
 * Work in processes and threads of its own, where crashing, exiting and collecting garbage disturb nobody else. The
 * function is sent as text: it sees its arguments and `require`, and nothing of what is around it.
 */
import { spawnSync } from 'node:child_process'
import { join } from 'node:path'
import { Worker } from 'node:worker_threads'

type Library = typeof import('../../lib/index')

/** For `node -r`: TypeScript as jest compiles it. */
export const REGISTER = join(__dirname, 'register.cjs')
export const LIBRARY = join(__dirname, '../../lib/index')

/** Tuples, not arrays: each argument has a type of its own. */
type Tuple = [unknown, ...unknown[]] | []

type Work<Args extends Tuple, Result> = (
  torchmap: Library,
  ...args: Args
) => Result | Promise<Result>

export interface Ending<Result> {
  /** Exit code, or the name of the signal: SIGTERM where it took five minutes. */
  how: number | string | null
  /** What the work returned, through JSON; nothing when it did not get there. */
  result: Result | undefined
  stdout: string
  stderr: string
}

function textOf(work: (...args: never[]) => unknown, args: unknown[]): string {
  const list = args.map((arg) => `, ${JSON.stringify(arg)}`).join('')
  return `(${work})(require(${JSON.stringify(LIBRARY)})${list})`
}

/** Runs `work` in a new process. */
export function inProcess<Args extends Tuple, Result>(
  work: Work<Args, Result>,
  args: Args,
  env: NodeJS.ProcessEnv = {},
): Ending<Result> {
  const code = `Promise.resolve(${textOf(work, args)}).then((value) => {
    process.stdout.write('\\n' + JSON.stringify({ value }))
  })`
  const { status, signal, stdout, stderr } = spawnSync(
    process.execPath,
    ['--expose-gc', '-r', REGISTER, '-e', code],
    { encoding: 'utf8', env: { ...process.env, ...env }, maxBuffer: 2 ** 26, timeout: 300_000 },
  )
  const last = stdout.slice(stdout.lastIndexOf('\n') + 1)
  const result = last.startsWith('{') ? (JSON.parse(last) as { value: Result }).value : undefined
  return { how: signal ?? status, result, stdout, stderr }
}

/** Starts `work` in a thread; what it returns comes as a message. */
export function inThread<Args extends Tuple, Result>(work: Work<Args, Result>, args: Args): Worker {
  const code = `Promise.resolve(${textOf(work, args)}).then((value) => {
    require('node:worker_threads').parentPort.postMessage(value)
  })`
  return new Worker(code, { eval: true, execArgv: ['-r', REGISTER] })
}
