/**
 * One GET: by Node's own client, which costs about half of what `fetch` does for each byte, or by a
 * `fetch` of the caller.
 */
import type { IncomingMessage } from 'node:http'

/** An answer whose body has not been read. */
export interface Answer {
  readonly status: number
  readonly statusText: string
  /** Where it comes from, redirections followed. */
  readonly url: string
  header(name: string): string | undefined
  /** Gives the body to `take`, chunk by chunk, until it returns false; then the rest is dropped. */
  read(take: (chunk: Uint8Array) => boolean): Promise<void>
}

export type Transport = (
  url: string,
  headers: Readonly<Record<string, string>>,
  signal: AbortSignal,
) => Promise<Answer>

const MOST_REDIRECTIONS = 10
const REDIRECTIONS: ReadonlySet<number> = new Set([301, 302, 303, 307, 308])

/** @param connections at a time to one server */
export function nodeTransport(connections: number): Transport {
  // Not loaded before somebody needs them: that takes longer than opening a file.
  const clients = {
    'http:': process.getBuiltinModule('node:http'),
    'https:': process.getBuiltinModule('node:https'),
  }
  const options = { keepAlive: true, maxSockets: connections, scheduling: 'lifo' } as const
  const agents = {
    'http:': new clients['http:'].Agent(options),
    'https:': new clients['https:'].Agent(options),
  }
  return async (url, headers, signal) => {
    for (let count = 0; ; ++count) {
      const protocol = url.startsWith('https:') ? 'https:' : 'http:'
      const message = await new Promise<IncomingMessage>((resolve, reject) => {
        const agent = agents[protocol]
        const request = clients[protocol].request(url, { headers, agent, signal })
        request.once('response', resolve).once('error', reject).end()
      })
      const { statusCode = 0, headers: found } = message
      if (!REDIRECTIONS.has(statusCode) || found.location === undefined) {
        return new NodeAnswer(message, url)
      }
      message.resume()
      const next = URL.canParse(found.location, url) ? new URL(found.location, url) : undefined
      if (count === MOST_REDIRECTIONS || !/^https?:$/.test(next?.protocol ?? '')) {
        throw new Error(`the server redirects to '${found.location}', which leads nowhere`)
      }
      if (protocol === 'https:' && next!.protocol === 'http:') {
        throw new Error('the server redirects from https: to http:')
      }
      url = next!.href
    }
  }
}

class NodeAnswer implements Answer {
  readonly status: number
  readonly statusText: string
  readonly url: string
  readonly #message: IncomingMessage

  constructor(message: IncomingMessage, url: string) {
    this.status = message.statusCode!
    this.statusText = message.statusMessage ?? ''
    this.url = url
    this.#message = message
  }

  header(name: string): string | undefined {
    const value = this.#message.headers[name]
    return Array.isArray(value) ? value.join(', ') : value
  }

  read(take: (chunk: Uint8Array) => boolean): Promise<void> {
    const message = this.#message
    return new Promise((resolve, reject) => {
      let isEnough = false
      message.on('data', (chunk: Uint8Array) => {
        if (isEnough) return
        try {
          if (take(chunk)) return
        } catch (error) {
          reject(error)
          message.destroy()
          return
        }
        isEnough = true
        // A body that is at its end leaves the connection for the next request.
        setImmediate(() => message.complete || message.destroy())
      })
      message.once('end', resolve).once('close', resolve)
      message.once('error', (error) => (isEnough ? resolve() : reject(error)))
    })
  }
}

export function fetchTransport(send: typeof fetch): Transport {
  return async (url, headers, signal) => {
    const response = await send(url, { headers, signal })
    return {
      status: response.status,
      statusText: response.statusText,
      url: response.redirected ? response.url : url,
      header: (name) => response.headers.get(name) ?? undefined,
      async read(take) {
        for await (const chunk of response.body ?? []) if (!take(chunk)) break
      },
    }
  }
}
