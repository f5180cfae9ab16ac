/** Servers that go wrong: tried again or a typed error, never wrong bytes. */

import { readFileSync } from 'node:fs'
import type { ServerResponse } from 'node:http'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import { afterAll, beforeAll, beforeEach, describe, expect, test } from '@jest/globals'
import {
  type Checkpoint,
  isCheckpointError,
  LIMITS,
  open,
  openSync,
  RemoteError,
} from '../lib/index'
import { writeCheckpoint } from './support/checkpoint-writer'
import { type Fault, RangeServer } from './support/range-server'
import { ramp, rejection, temporaryFolder, tensorOf } from './support/samples'

const folder = temporaryFolder('remote-faults')
const SIZE = 2 ** 20
const path = join(folder, 'sample.pth')
const names = ['a', 'b', 'c']
writeCheckpoint(
  path,
  names.map((name) => ({ name, type: 'Float', key: name, numel: SIZE / 4, shape: [SIZE / 4] })),
  names.map((key, i) => {
    return { key, size: SIZE, parts: [{ offset: 0, bytes: bytesOf(ramp(SIZE / 4, i)) }] }
  }),
)
const bytes = readFileSync(path)

const server = new RangeServer()
let url = ''
beforeAll(async () => {
  await server.start()
})
afterAll(() => server.close())
beforeEach(() => {
  server.reset()
  url = server.add('model.pth', bytes)
})

const remote = { retries: 3 }
/** For servers that say nothing: a busy machine may seem to, now and then. */
const impatient = { timeout: 200, retries: 20 }

function bytesOf(array: Float32Array): Uint8Array {
  return new Uint8Array(array.buffer, array.byteOffset, array.byteLength)
}

function expectAll(checkpoint: Checkpoint): void {
  for (const [i, name] of names.entries()) {
    const { data } = tensorOf(checkpoint, name)
    const isEqual = Buffer.compare(bytesOf(data as Float32Array), bytesOf(ramp(SIZE / 4, i))) === 0
    expect({ name, isEqual }).toEqual({ name, isEqual: true })
  }
}

/** The first `count` times. */
function times(count: number, fault: (response: ServerResponse) => void): Fault {
  return (_, response) => {
    if (count-- <= 0) return
    fault(response)
    return true
  }
}

/** Half of what is asked for, then the end of the connection. */
const half: Fault = ({ range }, response, file) => {
  const [start, end] = [range![0], Math.min(range![1], file.bytes.length)]
  response.writeHead(206, {
    etag: file.etag!,
    'content-length': end - start,
    'content-range': `bytes ${start}-${end - 1}/${file.bytes.length}`,
  })
  const middle = start + Math.ceil((end - start) / 2)
  response.write(file.bytes.subarray(start, middle), () => response.destroy())
  return true
}

describe('what passes is tried again', () => {
  test.each<[string, (response: ServerResponse) => void]>([
    ['500', (response) => response.writeHead(500).end('sorry')],
    ['503, for a second', (response) => response.writeHead(503, { 'retry-after': '0' }).end()],
    ['429', (response) => response.writeHead(429).end()],
    ['408', (response) => response.writeHead(408).end()],
    ['a connection that is closed', (response) => response.destroy()],
    ['a server that says nothing', () => {}],
    [
      'a body that does not come',
      (response) => {
        const range = `bytes 0-65535/${bytes.length}`
        response.writeHead(206, { 'content-range': range, etag: '"1"' }).flushHeaders()
      },
    ],
  ])('%s', async (name, fault) => {
    server.fault = times(2, fault)
    const isSilent = name === 'a server that says nothing' || name === 'a body that does not come'
    const checkpoint = await open(url, { remote: isSilent ? impatient : remote })
    if (name !== 'a body that does not come') server.fault = times(2, fault)
    await checkpoint.load()
    expectAll(checkpoint)
  })

  test('every connection ends half-way, and what came is not asked for again', async () => {
    server.fault = half
    const checkpoint = await open(url, { remote: { ...remote, retries: 1 } })
    server.requests.length = 0
    await checkpoint.load(['b'])
    expect(server.requests.length).toBeGreaterThan(10)
    const starts = server.requests.map(({ range }) => range![0])
    expect(starts).toEqual([...starts].sort((a, b) => a - b))
    expect(new Set(starts).size).toBe(starts.length)
    await checkpoint.load()
    expectAll(checkpoint)
  })

  test('until nothing comes in so many attempts', async () => {
    server.fault = (_, response) => {
      response.writeHead(500).end()
      return true
    }
    const error = await rejection(open(url, { remote: { ...remote, retries: 2 } }))
    expect(error).toBeInstanceOf(RemoteError)
    expect(error).toMatchObject({ code: 'REMOTE_FAILED', path: url, offset: 0 })
    expect(error.message).toMatch(/in 3 attempts: the server answers 500/)
    expect(server.requests.length).toBe(3)
    server.fault = (_, response) => {
      response.destroy()
      return true
    }
    server.requests.length = 0
    expect(await rejection(open(url, { remote: { ...remote, retries: 0 } }))).toMatchObject({
      code: 'REMOTE_FAILED',
      cause: expect.objectContaining({ code: 'ECONNRESET' }),
    })
    expect(server.requests.length).toBe(1)
  })

  test('nobody there', async () => {
    const error = await rejection(open('http://127.0.0.1:9/x', { remote: { retries: 0 } }))
    expect(error).toMatchObject({ code: 'REMOTE_FAILED', path: 'http://127.0.0.1:9/x' })
  })

  test('a signal ends the waiting', async () => {
    server.fault = (_, response) => {
      response.writeHead(503, { 'retry-after': '3600' }).end()
      return true
    }
    const signal = AbortSignal.timeout(100)
    const error = await rejection(open(url, { signal }))
    expect(error).toBe(signal.reason)
  })
})

describe('what does not pass is said', () => {
  test.each([401, 403, 404, 410])('%d', async (status) => {
    server.fault = (_, response) => {
      response.writeHead(status).end()
      return true
    }
    const error = await rejection(open(url, { remote }))
    expect(error).toMatchObject({ code: 'REMOTE_REFUSED', name: 'RemoteError', status, path: url })
    expect(server.requests.length).toBe(1)
  })

  const unsuited: [string, Fault][] = [
    [
      'ignores ranges',
      (_, response, file) => {
        response.writeHead(200, { 'content-length': file.bytes.length, etag: file.etag! })
        response.end(file.bytes)
        return true
      },
    ],
    [
      'sends everything without saying how much',
      (_, response, file) => {
        response.writeHead(200).end(file.bytes)
        return true
      },
    ],
    [
      'sends other bytes than it is asked for',
      (request, response, file) => {
        const [start, end] = request.range!
        server.serve({ ...request, range: [start + 1, end] }, response, file)
        return true
      },
    ],
    [
      'sends fewer',
      (request, response, file) => {
        const [start, end] = request.range!
        server.serve({ ...request, range: [start, end - 1] }, response, file)
        return true
      },
    ],
    [
      'does not say which',
      ({ range }, response, file) => {
        response.writeHead(206, { etag: file.etag! }).end(file.bytes.subarray(...range!))
        return true
      },
    ],
    [
      'compresses',
      (request, response, file) => {
        response.setHeader('content-encoding', 'gzip')
        server.serve(request, response, file)
        return true
      },
    ],
    [
      'claims more than there can be',
      ({ range }, response) => {
        const claim = `bytes ${range![0]}-${range![1] - 1}/99999999999999999999`
        response.writeHead(206, { 'content-range': claim }).end()
        return true
      },
    ],
  ]

  test.each(unsuited)('a server that %s', async (_, fault) => {
    server.fault = fault
    expect(await rejection(open(url, { remote }))).toMatchObject({ code: 'REMOTE_UNSUITED' })
    server.fault = undefined
    const checkpoint = await open(url, { remote })
    server.fault = fault
    const error = await rejection(checkpoint.load())
    expect(isCheckpointError(error)).toBe(true)
    expect(['REMOTE_UNSUITED', 'FILE_CHANGED']).toContain((error as RemoteError).code)
    expect(names.some((name) => tensorOf(checkpoint, name).isLoaded)).toBe(false)
    server.fault = undefined
    await checkpoint.load()
    expectAll(checkpoint)
  })

  test('more bytes than were asked for are not looked at', async () => {
    const checkpoint = await open(url, { remote })
    server.fault = ({ range }, response, file) => {
      const [start, end] = [range![0], Math.min(range![1], file.bytes.length)]
      response.writeHead(206, {
        etag: file.etag!,
        'content-range': `bytes ${start}-${end - 1}/${file.bytes.length}`,
      })
      response.end(Buffer.concat([file.bytes.subarray(start, end), Buffer.alloc(100_000, 0x55)]))
      return true
    }
    await checkpoint.load()
    expectAll(checkpoint)
  })

  test('damage is found by the checksum of the record', async () => {
    const whole = readFileSync(join(__dirname, '../examples/tcn.pth'))
    const [name, tensor] = [...openSync(whole).tensors].find(([, { size }]) => size > 64)!
    const at = whole.indexOf(tensor.bytes().subarray(0, 32))
    const damaged = new Uint8Array(whole)
    damaged[at] = damaged[at]! ^ 1
    const checkpoint = await open(server.add('damaged.pth', damaged), { remote })
    const error = await rejection(checkpoint.load([name]))
    expect(error).toMatchObject({
      code: 'CHECKSUM_MISMATCH',
      path: server.url('damaged.pth'),
      record: `data/${tensor.storage!.key}`,
      offset: at,
    })
    expect(tensorOf(checkpoint, name).isLoaded).toBe(false)
    const others = [...checkpoint.tensors.keys()].filter((other) => other !== name)
    await checkpoint.load(others)
  })

  test('a claim of more bytes than limits allow', async () => {
    const checkpoint = open(url, { remote, limits: { copyBytes: 100_000 } })
    expect(await rejection(checkpoint)).toMatchObject({
      code: 'LIMIT_STORAGE',
      limitName: 'copyBytes',
    })
    expect(LIMITS.copyBytes).toBeGreaterThan(100_000)
  })
})

describe('an object that changes', () => {
  const other = new Uint8Array(bytes).fill(7, 200_000)

  test.each<[string, () => void]>([
    ['another version', () => server.add('model.pth', other, '"2"')],
    ['another length', () => server.add('model.pth', bytes.subarray(0, bytes.length - 9))],
    ['shorter than what is asked for', () => server.add('model.pth', bytes.subarray(0, 99), '"2"')],
    ['no version any more', () => server.add('model.pth', other, null)],
  ])('%s', async (_, change) => {
    const checkpoint = await open(url, { remote })
    await checkpoint.load(['a'])
    change()
    const error = await rejection(checkpoint.load(['b', 'c']))
    expect(error).toMatchObject({ code: 'FILE_CHANGED', name: 'StateError', path: url })
    expect(tensorOf(checkpoint, 'b').isLoaded).toBe(false)
    expect(tensorOf(checkpoint, 'a').isLoaded).toBe(true)
  })

  test('while it is opened, and in the middle of a load', async () => {
    server.fault = (request, response) => {
      if (request.path === 'soon.pth' && request.headers['if-range'] !== undefined)
        server.add('soon.pth', other, '"2"')
      server.serve(request, response, server.files.get(request.path)!)
      return true
    }
    const soon = open(server.add('soon.pth', bytes), { remote })
    expect(await rejection(soon)).toMatchObject({ code: 'FILE_CHANGED' })
    server.fault = undefined
    url = server.add('model.pth', bytes)
    const checkpoint = await open(url, { remote: { ...remote, connections: 1 } })
    // Half of a request comes of one version; the rest would be of the next.
    server.fault = (request, response, file) => {
      server.fault = undefined
      half(request, response, file)
      server.add('model.pth', other, '"2"')
      return true
    }
    expect(await rejection(checkpoint.load())).toMatchObject({ code: 'FILE_CHANGED' })
    expect(names.some((name) => tensorOf(checkpoint, name).isLoaded)).toBe(false)
  })

  test('If-Range says which version is meant', async () => {
    const checkpoint = await open(url, { remote })
    await checkpoint.load()
    expect(server.requests[0]!.headers['if-range']).toBeUndefined()
    for (const { headers } of server.requests.slice(1)) expect(headers['if-range']).toBe('"1"')
    for (const { headers } of server.requests) expect(headers['accept-encoding']).toBe('identity')
  })
})

describe('redirections', () => {
  const lead = createServer((request, response) => {
    const target = new URL(request.url!, 'http://localhost').searchParams.get('to')!
    ++led
    response.writeHead(302, { location: target }).end()
  })
  let led = 0
  const from = (to: string) => {
    const { port } = lead.address() as AddressInfo
    return `http://127.0.0.1:${port}/?to=${encodeURIComponent(to)}`
  }
  beforeAll(() => new Promise<void>((resolve) => lead.listen(0, '127.0.0.1', resolve)))
  afterAll(() => {
    lead.close()
  })
  beforeEach(() => {
    led = 0
  })

  test('are followed once, and again when where they lead is gone', async () => {
    const checkpoint = await open(from(url), { remote })
    await checkpoint.load(['a'])
    expect(led).toBe(1)
    server.fault = times(1, (response) => response.writeHead(403).end())
    await checkpoint.load()
    expect(led).toBe(2)
    expectAll(checkpoint)
  })

  test('are not followed in circles or elsewhere', async () => {
    const circle = createServer((request, response) => {
      response.writeHead(302, { location: request.url! }).end()
    })
    await new Promise<void>((resolve) => circle.listen(0, '127.0.0.1', resolve))
    const { port } = circle.address() as AddressInfo
    const retries = { remote: { ...remote, retries: 0 } }
    for (const target of [`http://127.0.0.1:${port}/`, from('file:///etc/passwd')]) {
      const error = await rejection(open(target, retries))
      expect(error).toMatchObject({ code: 'REMOTE_FAILED' })
      expect(error.message).toMatch(/redirects to/)
    }
    circle.close()
  })
})

test('a fetch of the caller makes the requests', async () => {
  const seen: string[] = []
  const send: typeof fetch = async (target, options) => {
    seen.push(String(target))
    const headers = { ...(options?.headers as Record<string, string>), 'x-token': 'mine' }
    return fetch(target, { ...options, headers })
  }
  const checkpoint = await open(url, { remote: { ...remote, fetch: send } })
  server.fault = times(1, (response) => response.destroy())
  await checkpoint.load()
  expectAll(checkpoint)
  expect(seen.length).toBe(server.requests.length)
  for (const { headers } of server.requests) expect(headers['x-token']).toBe('mine')
})
