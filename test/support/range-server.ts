/** An HTTP server of bytes by ranges, with every way to go wrong that a test asks for. */
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'

/** One request, as far as a test looks at it. */
export interface Request {
  path: string
  /** Bytes [start, end) that are asked for; nothing for a request of the whole. */
  range: readonly [start: number, end: number] | undefined
  headers: IncomingMessage['headers']
}

/** What the server does instead of its duty; nothing: its duty. */
export type Fault = (request: Request, response: ServerResponse, file: File) => boolean | undefined

interface File {
  bytes: Uint8Array
  etag: string | null
}

export class RangeServer {
  /** By path, without the leading slash. */
  readonly files = new Map<string, File>()
  readonly requests: Request[] = []
  /** Milliseconds before each answer. */
  latency = 0
  fault: Fault | undefined
  /** Bytes of bodies that were sent. */
  sent = 0
  readonly #server: Server

  constructor() {
    this.#server = createServer((request, response) => void this.#answer(request, response))
  }

  async start(): Promise<void> {
    await new Promise<void>((resolve) => this.#server.listen(0, '127.0.0.1', resolve))
  }

  /** @returns its URL, once the server has been started */
  add(name: string, bytes: Uint8Array, etag: string | null = '"1"'): string {
    this.files.set(name, { bytes, etag })
    return this.url(name)
  }

  url(name: string): string {
    const address = this.#server.address() as AddressInfo | null
    return `http://127.0.0.1:${address?.port}/${name}`
  }

  /** Forgets what was asked for so far. */
  reset(): void {
    this.requests.length = 0
    this.sent = 0
    this.fault = undefined
  }

  async close(): Promise<void> {
    this.#server.closeAllConnections()
    await new Promise((resolve) => this.#server.close(resolve))
  }

  async #answer(message: IncomingMessage, response: ServerResponse): Promise<void> {
    const { pathname } = new URL(message.url!, 'http://localhost')
    const path = decodeURIComponent(pathname.slice(1))
    const file = this.files.get(path)
    const [, from, to] = /^bytes=(\d+)-(\d+)$/.exec(message.headers.range ?? '') ?? []
    const range = from === undefined ? undefined : ([Number(from), Number(to) + 1] as const)
    const request = { path, range, headers: message.headers }
    this.requests.push(request)
    if (this.latency > 0) await sleep(this.latency)
    if (file === undefined) {
      response.writeHead(404).end()
      return
    }
    if (this.fault?.(request, response, file)) return
    this.serve(request, response, file)
  }

  /** As RFC 9110 has it. */
  serve({ range, headers }: Request, response: ServerResponse, { bytes, etag }: File): void {
    if (etag !== null) response.setHeader('etag', etag)
    const condition = headers['if-range']
    if (range === undefined || (condition !== undefined && condition !== etag)) {
      response.writeHead(200, { 'content-length': bytes.length })
      this.#send(response, bytes)
      return
    }
    const [start, end] = [range[0], Math.min(range[1], bytes.length)]
    if (start >= bytes.length) {
      response.writeHead(416, { 'content-range': `bytes */${bytes.length}` }).end()
      return
    }
    response.writeHead(206, {
      'content-length': end - start,
      'content-range': `bytes ${start}-${end - 1}/${bytes.length}`,
    })
    this.#send(response, bytes.subarray(start, end))
  }

  #send(response: ServerResponse, bytes: Uint8Array): void {
    this.sent += bytes.length
    response.end(bytes)
  }
}
