// Serves the tensors of a checkpoint over HTTP, any number of clients at a time, each at its own pace.
//
//   node examples/serve.mjs FILE [PORT]
//
//   GET /                      JSON: name, dtype, shape and byteLength of every tensor
//   GET /tensors/NAME          its elements, row-major and little-endian; with `Range: bytes=` a part of them
//   GET /model.safetensors     all tensors as a safetensors file; ?name=A&name=B: these
//
// Nothing but a chunk per client is copied: chunks are cut from the mapped file when a client has room for them.

import { createServer } from 'node:http'
import { Readable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import { pathToFileURL } from 'node:url'
import { isCheckpointError, open } from 'torchmap'

const CHUNK = 2 ** 18 // bytes

/** The bytes [start, end) of a tensor, piece by piece. */
async function* pieces(tensor, start, end) {
  for (let at = start; at < end; at += CHUNK) {
    yield tensor.bytes(at, Math.min(at + CHUNK, end)).slice()
  }
}

/** `bytes=0-99`, `bytes=100-` or `bytes=-100` of `length` bytes; nothing where that cannot be given. */
function rangeOf(header, length) {
  const [, first, last] = /^bytes=(\d*)-(\d*)$/.exec(header) ?? []
  if (first === undefined || (first === '' && last === '')) return undefined
  const start = first === '' ? Math.max(length - Number(last), 0) : Number(first)
  const end = first === '' || last === '' ? length : Math.min(Number(last) + 1, length)
  return start < end ? { start, end } : undefined
}

function sendJson(response, status, value) {
  response.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(value))
}

async function sendTensor(request, response, tensor) {
  const { byteLength: length, dtype, shape } = tensor
  tensor.bytes(0, 0) // refuses what has no bytes before anything is sent
  const headers = {
    'content-type': 'application/octet-stream',
    'accept-ranges': 'bytes',
    'x-dtype': dtype,
    'x-shape': shape.join(),
  }
  const { range } = request.headers
  const part = range === undefined ? { start: 0, end: length } : rangeOf(range, length)
  if (part === undefined) {
    response.writeHead(416, { 'content-range': `bytes */${length}` }).end()
    return
  }
  const { start, end } = part
  headers['content-length'] = end - start
  if (range !== undefined) headers['content-range'] = `bytes ${start}-${end - 1}/${length}`
  response.writeHead(range === undefined ? 200 : 206, headers)
  await pipeline(Readable.from(pieces(tensor, start, end), { objectMode: false }), response)
}

async function answer(checkpoint, request, response) {
  const { pathname, searchParams } = new URL(request.url, 'http://localhost')
  if (pathname === '/') {
    const tensors = [...checkpoint.tensors.values()]
    const rows = tensors.map(({ name, dtype, shape, byteLength }) => ({ name, dtype, shape, byteLength }))
    sendJson(response, 200, rows)
  } else if (pathname === '/model.safetensors') {
    const names = searchParams.getAll('name')
    const stream = checkpoint.readable(names.length === 0 ? {} : { names })
    response.writeHead(200, { 'content-length': stream.byteLength })
    await pipeline(Readable.fromWeb(stream), response)
  } else if (pathname.startsWith('/tensors/')) {
    const name = decodeURIComponent(pathname.slice('/tensors/'.length))
    const tensor = checkpoint.tensors.get(name)
    if (tensor === undefined) sendJson(response, 404, { error: `there is no tensor '${name}'` })
    else await sendTensor(request, response, tensor)
  } else {
    sendJson(response, 404, { error: 'there is nothing here' })
  }
}

/** A server over an open checkpoint; the caller lets it listen. */
export function serve(checkpoint) {
  return createServer(async (request, response) => {
    try {
      await answer(checkpoint, request, response)
    } catch (error) {
      if (response.headersSent) response.destroy() // the client went away, or the file changed
      else if (error.code === 'NO_SUCH_TENSOR') sendJson(response, 404, { error: error.message })
      else sendJson(response, isCheckpointError(error) ? 422 : 500, { error: error.message })
    }
  })
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? '').href) {
  const [path, port = '8080'] = process.argv.slice(2)
  const checkpoint = await open(path)
  const server = serve(checkpoint)
  server.listen(Number(port), () => console.log(`http://localhost:${server.address().port}/`))
}
