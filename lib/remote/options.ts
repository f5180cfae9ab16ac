/** How what is elsewhere is fetched. */
import { checkOptions, wrongType, wrongValue } from '../arguments'
import { Gate } from './gate'
import { fetchTransport, nodeTransport, type Transport } from './transport'

export interface RemoteOptions {
  /** Requests at a time; 8 by default. */
  connections?: number | undefined
  /** Times a request that brings nothing is made again; 4 by default. */
  retries?: number | undefined
  /** Milliseconds without a byte after which a request is given up and made again; 30,000. */
  timeout?: number | undefined
  /**
   * A directory to keep in what was fetched, for the next time the same object is opened. Only of
   * URLs whose server says which version of the object it sends. Nothing is ever deleted there.
   */
  cache?: string | undefined
  /** Makes the requests instead of Node's client, where they need headers, a proxy or the like. */
  fetch?: typeof fetch | undefined
}

export interface CheckedRemoteOptions {
  connections: number
  retries: number
  timeout: number
  cache: string | undefined
  transport: Transport
  /** All parts of a checkpoint share the connections. */
  gate: Gate
}

export function checkRemoteOptions(options: RemoteOptions): CheckedRemoteOptions {
  const name = 'options.remote'
  checkOptions(name, options, ['connections', 'retries', 'timeout', 'cache', 'fetch'])
  const { connections = 8, retries = 4, timeout = 30_000, cache } = options as RemoteOptions
  const send = (options as RemoteOptions).fetch
  for (const [key, value, least] of [
    ['connections', connections, 1],
    ['retries', retries, 0],
    ['timeout', timeout, 1],
  ] as const) {
    if (typeof value !== 'number') throw wrongType(`${name}.${key}`, 'a number', value)
    if (!Number.isSafeInteger(value) || value < least || value > 2 ** 31 - 1) {
      throw wrongValue(`${name}.${key}`, `an integer from ${least}`, value)
    }
  }
  if (cache !== undefined && (typeof cache !== 'string' || cache === '')) {
    throw wrongType(`${name}.cache`, 'the path of a directory', cache)
  }
  if (send !== undefined && typeof send !== 'function') {
    throw wrongType(`${name}.fetch`, 'a function', send)
  }
  const transport = send === undefined ? nodeTransport(connections) : fetchTransport(send)
  return { connections, retries, timeout, cache, transport, gate: new Gate(connections) }
}
