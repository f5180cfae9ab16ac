/**
 * What pickles name and call, wherever in a stream they do. The pickles here are made by the test and
 * never loaded by Python.
 */
import { describe, expect, test } from '@jest/globals'
import type { Safety } from '../lib/zoo/result'
import { scanSafetySync } from '../lib/zoo/safety/scan'
import { bytes, checkpointOf, global, op, type Part, tensor, text, u32, u64 } from './support/bytes'
import {
  benign,
  binbytes,
  binstring,
  call,
  called,
  checkPickles,
  dangerous,
  echo,
  elements,
  keys,
  legacy,
  MEMOIZE,
  named,
  protocol4,
  rulesOf,
  STACK_GLOBAL,
  system,
} from './support/scans'

const PUT0 = bytes(op.BINPUT, 0)

describe('verdicts of names', () => {
  const verdicts = (module: string, name: string) =>
    scanSafetySync(protocol4(text(module), text(name), STACK_GLOBAL)).globals[0]?.verdict
  test.each([
    ['collections', 'OrderedDict'],
    ['torch', 'FloatStorage'],
    ['torch', 'float8_e4m3fn'],
    ['torch._utils', '_rebuild_tensor_v2'],
    ['__builtin__', 'set'],
    ['numpy.core.multiarray', '_reconstruct'],
    ['sklearn.svm._classes', 'SVC'],
    ['__torch__.net', 'Net'],
  ])('%s.%s is safe', (module, name) => expect(verdicts(module, name)).toBe('safe'))
  test.each([
    ['mymodel.nets', 'Net'],
    ['__main__', 'IntList'],
    ['builtins', 'ValueError'],
    ['numpy.random._pickle', '__generator_ctor'],
    ['joblib.numpy_pickle', 'NumpyArrayWrapper'],
    ['functools', 'partial'],
    ['osmium', 'System'],
    ['torch.nn.modules.linear', 'Lineal'],
  ])('%s.%s is unknown', (module, name) => expect(verdicts(module, name)).toBe('unknown'))
  test.each([
    ['os', 'system'],
    ['posix', 'system'],
    ['nt', 'system'],
    ['builtins', 'eval'],
    ['__builtin__', 'apply'],
    ['builtins', 'getattr'],
    ['builtins', '__import__'],
    ['commands', 'getoutput'],
    ['httplib', 'HTTPSConnection'],
    ['asyncio.unix_events', '_UnixSubprocessTransport._start'],
    ['multiprocessing.util', 'spawnv_passfds'],
    ['_operator', 'methodcaller'],
    ['operator', 'attrgetter'],
    ['pkgutil', 'resolve_name'],
    ['pydoc', 'locate'],
    ['pathlib', 'os.system'],
    ['pathlib', 'os'],
    ['shutil', 'os.execve'],
    ['mymodel', 'Net.__class__.__base__'],
    ['mymodel', 'Net.__globals__'],
    ['numpy', '__builtins__'],
    ['builtins', 'eval.__call__'],
    ['torch', 'load'],
    ['torch', '_utils'],
    ['torch', 'nn'],
    ['torch', 'hub.load'],
    ['torch', 'serialization.load'],
    ['torch.serialization', 'load'],
    ['torch._dynamo.guards', 'GuardBuilder.get'],
    ['torch.return_types', 'inspect.sys'],
    ['torch.return_types', 'sys'],
    ['torch', 'per_tensor_affine.__class__'],
    ['six.moves.builtins', 'eval'],
    ['types', 'CodeType'],
    ['logging', 'FileHandler'],
    ['_io', 'FileIO'],
  ])('%s.%s is dangerous', (module, name) => expect(verdicts(module, name)).toBe('dangerous'))
})

describe('ways to name and to call', () => {
  checkPickles({
    'nothing named': { data: protocol4(benign), safety: 'safe', rules: [] },
    GLOBAL: dangerous(system),
    'GLOBAL and REDUCE': dangerous(called),
    STACK_GLOBAL: dangerous(text('os'), text('system'), STACK_GLOBAL, echo, op.REDUCE),
    'texts of the memo': dangerous(
      bytes(text('os'), op.BINPUT, 0, op.POP, text('system'), op.BINPUT, 1, op.POP),
      bytes(op.BINGET, 0, op.BINGET, 1, STACK_GLOBAL, echo, op.REDUCE),
    ),
    'a memo that is written after a POP': dangerous(
      bytes(text('os'), text('x'), op.POP, MEMOIZE, op.POP, op.BINGET, 0, text('system')),
      bytes(STACK_GLOBAL, echo, op.REDUCE),
    ),
    'a memo that is written again': dangerous(
      bytes(text('collections'), PUT0, op.POP, text('os'), PUT0, op.POP),
      bytes(op.BINGET, 0, text('system'), STACK_GLOBAL),
    ),
    'decoys before the names': dangerous(
      bytes(text('torch'), text('Size'), op.POP, op.POP, text('os'), text('system'), STACK_GLOBAL),
    ),
    'texts as STRING': {
      data: bytes("S'os'\nS'system'\n", STACK_GLOBAL, op.STOP),
      safety: 'dangerous',
    },
    DUP: dangerous(text('os'), op.DUP, op.POP, text('system'), STACK_GLOBAL),
    INST: dangerous(op.MARK, text('echo'), 'ios\nsystem\n'),
    OBJ: dangerous(op.MARK, system, text('echo'), 'o'),
    'OBJ, thrown away': dangerous(op.MARK, system, text('echo'), 'o', op.POP, benign),
    'thrown away with its mark': dangerous(op.MARK, called, '1', benign),
    NEWOBJ: dangerous(system, echo, 0x81),
    NEWOBJ_EX: dangerous(system, echo, op.EMPTY_DICT, 0x92),
    'named only': dangerous(system, op.POP, benign),
    'in the state of an object': dangerous(
      bytes(global('collections', 'OrderedDict'), op.EMPTY_TUPLE, op.REDUCE, system, op.BUILD),
    ),
    'a key of a dict': dangerous(op.EMPTY_DICT, system, op.NONE, op.SETITEM),
    'a persistent id': dangerous(system, op.BINPERSID),
    'protocol 0': { data: bytes("cos\nsystem\n(S'echo'\ntR."), safety: 'dangerous' },
    'no protocol and junk in front of it': {
      data: bytes(op.NONE, op.POP, called, op.STOP),
      safety: 'dangerous',
    },
    'an integer with a base': dangerous('I0x10\n', op.POP, called),
    'texts that are no ASCII': { data: bytes("S'\xe9'\n0", called, op.STOP), safety: 'dangerous' },
  })

  test('who is called, and inside of what', () => {
    const scan = scanSafetySync(
      protocol4(
        call(global('my.nets', 'build'), call(global('collections', 'OrderedDict')), called),
      ),
    )
    expect(scan.safety).toBe('dangerous')
    const row = scan.globals.find(({ name }) => name === 'os.system')
    expect(row).toMatchObject({
      verdict: 'dangerous',
      isCalled: true,
      chain: ['my.nets.build', 'os.system'],
    })
    expect(scanSafetySync(protocol4(system)).globals[0]).toMatchObject({
      isCalled: false,
      chain: [],
    })
    const finding = scan.findings.find(({ rule }) => rule === 'safe/dangerous-global')
    expect(finding?.message).toBe('The pickle calls os.system, inside a call of my.nets.build.')
    expect(finding?.offset).toBe(row?.offset)
  })

  test('EXT codes are unknown', () => {
    const scan = scanSafetySync(protocol4(0x82, 42, op.EMPTY_TUPLE, op.REDUCE))
    expect(scan.safety).toBe('needs-review')
    expect(named(scan, 'unknown')).toEqual(['copyreg extension 42'])
  })

  test('persistent ids that are no storages are noted', () => {
    const scan = scanSafetySync(protocol4(text('somewhere'), op.BINPERSID))
    expect(scan.safety).toBe('safe')
    expect(rulesOf(scan)).toEqual(['safe/persistent-id'])
    expect(rulesOf(scanSafetySync(checkpointOf(protocol4(tensor()))))).toEqual([])
  })
})

describe('names that are computed, and state of what is no object', () => {
  const joined = call(global('builtins', 'str.join'), text(''), bytes(op.EMPTY_LIST))
  checkPickles({
    'of a call': dangerous(text('os'), joined, STACK_GLOBAL),
    'of a number': dangerous(op.BININT1, 42, text('os'), STACK_GLOBAL),
    'of bytes': dangerous(binbytes(Buffer.from('os')), text('system'), STACK_GLOBAL),
    'state of a function': {
      data: protocol4(global('torch._utils', '_rebuild_tensor'), benign, op.BUILD),
      safety: 'dangerous',
      rules: ['safe/dangerous-global'],
    },
    'state of a module': dangerous(global('torch', '_utils'), benign, op.BUILD),
    'items of a class': dangerous(
      global('collections', 'OrderedDict'),
      text('a'),
      op.NONE,
      op.SETITEM,
    ),
  })

  test('they are reported as such', () => {
    const scan = scanSafetySync(protocol4(call(bytes(text('os'), joined, STACK_GLOBAL), text('x'))))
    expect(rulesOf(scan)).toContain('safe/computed-global')
    expect(named(scan, 'dangerous')).toContain('<computed>')
  })
})

describe('getattr, as protocols before 4 write members and methods', () => {
  const getattr = (object: Part, name: Part) => call(global('__builtin__', 'getattr'), object, name)
  const net = bytes(global('my.nets', 'Net'), op.EMPTY_TUPLE, 0x81)
  checkPickles({
    'of a class': {
      data: protocol4(getattr(global('my.nets', 'Kind'), text('BIG'))),
      safety: 'needs-review',
    },
    'of an object': { data: protocol4(getattr(net, text('_hook'))), safety: 'needs-review' },
    "of Python's own": dangerous(getattr(net, text('__globals__'))),
    'of a module': dangerous(getattr(global('torch', 'nn'), text('x'))),
    'of a text': dangerous(getattr(text('x'), text('join'))),
    'by a name that is computed': dangerous(getattr(net, call(global('my.nets', 'name')))),
    'that is called': dangerous(call(getattr(net, text('run')), text('x'))),
    'that leads to a dangerous module': dangerous(getattr(global('my.nets', 'x'), text('os'))),
    'that is handed on': dangerous(call(global('my.nets', 'each'), global('builtins', 'getattr'))),
  })
})

describe('streams', () => {
  checkPickles({
    'a second pickle': {
      data: bytes(protocol4(benign), protocol4(called)),
      safety: 'dangerous',
      rules: ['safe/dangerous-global', 'safe/second-pickle'],
    },
    'a second pickle behind a byte': {
      data: bytes(protocol4(benign), 0xff, protocol4(called)),
      safety: 'dangerous',
    },
    'a second pickle of protocol 0 behind junk': {
      data: bytes(protocol4(benign), 'xxxx', called, op.STOP),
      safety: 'dangerous',
    },
    'a second pickle far behind': {
      data: bytes(protocol4(benign), Buffer.alloc(300_000, 0x2e), protocol4(called)),
      safety: 'dangerous',
    },
    'bytes behind it': {
      data: bytes(protocol4(benign), Buffer.alloc(100, 0xff)),
      safety: 'safe',
      rules: ['safe/hidden-bytes'],
    },
    'broken behind a call': {
      data: bytes(op.PROTO, 4, called, op.BINUNICODE, u32(0x7fff_ffff), 'x'),
      safety: 'dangerous',
      rules: ['safe/broken-pickle', 'safe/dangerous-global'],
    },
    'a missing memo behind a call': {
      data: bytes(op.PROTO, 4, called, op.BINGET, 9, op.STOP),
      safety: 'dangerous',
    },
    'no end': {
      data: bytes(op.PROTO, 4, benign),
      safety: 'incomplete',
      rules: ['safe/broken-pickle'],
    },
    'no opcode': { data: protocol4(benign, 0xff), safety: 'incomplete' },
    'an underflow': { data: protocol4(op.POP), safety: 'incomplete' },
    'protocol 9': { data: bytes(op.PROTO, 9, op.NONE, op.STOP), safety: 'incomplete' },
    'a frame that ends inside an opcode': {
      data: protocol4(op.FRAME, u64(2n), binbytes(protocol4(called)), op.POP, benign),
      safety: 'dangerous',
    },
    'a short frame': { data: protocol4(op.FRAME, u64(2n), text('abc')), safety: 'incomplete' },
    'a frame in a frame': {
      data: protocol4(
        op.FRAME,
        u64(30n),
        op.FRAME,
        u64(11n),
        op.NONE,
        ...Array<Part>(20).fill(op.DUP),
      ),
      safety: 'incomplete',
    },
    'a frame longer than the file, before a call': dangerous(op.FRAME, u64(2n ** 63n), called),
    'state of a list, before a call': dangerous(op.EMPTY_LIST, op.NONE, op.BUILD, called),
    'items of a list, before a call': dangerous(
      bytes(op.EMPTY_LIST, op.NONE, op.APPEND, op.BININT1, 0, op.NONE, op.SETITEM, called),
    ),
  })

  test.each<[string, Buffer, Safety]>([
    ['legacy', legacy(tensor(), keys, elements), 'safe'],
    ['legacy: the object', legacy(called), 'dangerous'],
    ['legacy: the keys', legacy(tensor(), bytes(called, op.POP, keys), elements), 'dangerous'],
    [
      'legacy: behind the storages',
      legacy(tensor(), keys, elements, protocol4(called)),
      'dangerous',
    ],
    [
      'legacy: in the elements',
      legacy(tensor(), keys, u64(4n), protocol4(op.NONE), 'x'.repeat(12)),
      'safe',
    ],
    ['legacy: storages too short', legacy(tensor(), keys, u64(4n)), 'incomplete'],
    [
      'legacy: a magic number that is computed',
      bytes(call(global('builtins', 'eval'), text('1')), op.STOP, legacy(op.NONE)),
      'dangerous',
    ],
  ])('%s', (_, data, safety) => {
    const scan = scanSafetySync(data)
    expect(scan.safety).toBe(safety)
    if (safety === 'safe') expect(scan).toMatchObject({ content: 'legacy', findings: [] })
  })
})

describe('pickles inside of pickles', () => {
  const loader = global('torch.storage', '_load_from_bytes')
  const id = bytes(
    op.MARK,
    text('storage'),
    global('torch', 'FloatStorage'),
    text('0'),
    text('cpu'),
  )
  const root = bytes(id, op.BININT1, 1, op.TUPLE, op.BINPERSID)
  const nested = legacy(root, keys, u64(1n), u32(0))
  const evil = legacy(called, keys)
  checkPickles({
    'a nested storage': {
      data: protocol4(call(loader, binbytes(nested))),
      safety: 'safe',
      rules: [],
    },
    'a nested storage that is none': dangerous(call(loader, binbytes(evil))),
    'a nested storage that is computed': dangerous(call(loader, call(global('my.nets', 'bytes')))),
    'the loader itself': dangerous(call(global('my.nets', 'map'), loader)),
    'as bytes': {
      data: protocol4(binbytes(protocol4(called))),
      safety: 'dangerous',
      rules: ['safe/dangerous-global', 'safe/nested-pickle'],
    },
    'as a bytearray': dangerous(
      op.BYTEARRAY8,
      u64(BigInt(protocol4(called).length)),
      protocol4(called),
    ),
    'as a string of Python 2': dangerous(binstring(protocol4(called))),
    'as text that is encoded': dangerous(
      call(global('_codecs', 'encode'), text(protocol4(called).toString('latin1')), text('latin1')),
    ),
    'of protocol 0': dangerous(binbytes(bytes("cos\nsystem\n(S'echo'\ntR."))),
    'of nothing dangerous': {
      data: protocol4(binbytes(protocol4(benign))),
      safety: 'safe',
      rules: ['safe/nested-pickle'],
    },
    'of a pickle in a pickle': dangerous(binbytes(protocol4(binbytes(protocol4(called))))),
    'an archive': dangerous(binbytes(checkpointOf(protocol4(called)))),
    'bytes that are none': {
      data: protocol4(binbytes(Buffer.alloc(64, 0x80))),
      safety: 'safe',
      rules: [],
    },
  })

  test('not deeper than it says', () => {
    let data = protocol4(benign)
    for (let i = 0; i < 12; ++i) data = protocol4(binbytes(data))
    const scan = scanSafetySync(data)
    expect(scan.safety).toBe('incomplete')
    expect(rulesOf(scan)).toContain('safe/unread')
  })
})
