// One process that loads things on demand: a line "<what> TAB <path>" to it, a line of JSON back. Starting it is no part
// of any time.

import { spawn } from 'node:child_process'
import { createInterface } from 'node:readline'

export class Contestant {
  #child
  #waiting = []
  #said = ''
  #ended

  /** What it says of itself, once {@link start} has returned. */
  version

  constructor([command, ...args], env = {}) {
    this.#child = spawn(command, args, {
      env: { ...process.env, ...env },
      stdio: ['pipe', 'pipe', 'pipe'],
    })
    this.#child.stderr.on('data', (data) => {
      this.#said = `${this.#said}${data}`.slice(-2000)
    })
    this.#child.on('error', (error) => this.#end(error.message))
    this.#child.on('close', (status, signal) => this.#end(this.#reason(status, signal)))
    // Writing to a process that has ended: its end is reported by what waits for an answer.
    this.#child.stdin.on('error', () => {})
    createInterface({ input: this.#child.stdout }).on('line', (line) => {
      this.#waiting.shift()?.resolve(line)
    })
  }

  async start(limit = 120_000) {
    const { version } = await this.#answer(limit)
    this.version = version
  }

  /** One run. Fails with what the process says went wrong, or with `isLate` after `limit` milliseconds. */
  async run(what, path, limit = 600_000) {
    const answer = this.#answer(limit)
    this.#child.stdin.write(`${what}\t${path}\n`)
    const { error, ...result } = await answer
    if (error !== undefined) throw new Error(error)
    return result
  }

  async stop() {
    this.#child.stdin.end()
    if (this.#ended !== undefined) return
    await new Promise((resolve) => this.#child.on('close', resolve))
  }

  async #answer(limit) {
    let timer
    const line = await new Promise((resolve, reject) => {
      if (this.#ended !== undefined) reject(new Error(this.#ended))
      this.#waiting.push({ resolve, reject })
      timer = setTimeout(() => {
        this.#child.kill('SIGKILL')
        reject(Object.assign(new Error(`more than ${limit / 1000} s`), { isLate: true }))
      }, limit)
    }).finally(() => clearTimeout(timer))
    return JSON.parse(line)
  }

  #reason(status, signal) {
    const last = this.#said.trim().split('\n').at(-1)
    return `ended with ${signal ?? `code ${status}`}${last ? `: ${last}` : ''}`
  }

  #end(reason) {
    this.#ended ??= reason
    for (const { reject } of this.#waiting.splice(0)) reject(new Error(this.#ended))
  }
}
