/**
 * Ways to hide what a pickle does from whoever looks at it, one by one. The pickles are made here and
 * never loaded by Python.
 */
import { deflateSync } from 'node:zlib'
import { describe, expect, test } from '@jest/globals'
import { scanSafetySync } from '../lib/zoo/safety/scan'
import { bytes, global, op, type Part, text, u32, u64 } from './support/bytes'
import { DENIED } from './support/denied'
import {
  benign,
  binbytes,
  type Case,
  call,
  called,
  checkPickles,
  dangerous,
  echo,
  inert,
  MEMOIZE,
  named,
  POP_MARK,
  protocol4,
  STACK_GLOBAL,
  safetyOf,
  system,
} from './support/scans'

const NEWOBJ = 0x81

const unknown = (...parts: Part[]): Case => ({ data: protocol4(...parts), safety: 'needs-review' })

describe('names that reach code, files, processes or the network', () => {
  const spellings: Record<string, (module: string, name: string) => Buffer> = {
    'in lines, protocol 0': (module, name) => bytes(`c${module}\n${name}\n(S'x'\ntR.`),
    'in lines, protocol 3': (module, name) =>
      bytes(op.PROTO, 3, call(global(module, name), text('x')), op.STOP),
    'from the stack, protocol 4': (module, name) =>
      protocol4(call(bytes(text(module), text(name), STACK_GLOBAL), text('x'))),
    'of an instance': (module, name) => protocol4(op.MARK, text('x'), `i${module}\n${name}\n`),
  }
  test.each(Object.entries(spellings))('%s', (_, spell) => {
    const missed = DENIED.filter(([module, name]) => safetyOf(spell(module, name)) !== 'dangerous')
    expect(missed).toEqual([])
    expect(DENIED.length).toBeGreaterThan(400)
  })

  test('are dangerous below, too: in a module of the module, in an attribute of the function', () => {
    const missed = DENIED.filter(
      ([module, name]) =>
        safetyOf(protocol4(global(module, `${name}.__call__`))) !== 'dangerous' ||
        (name === 'anything' && safetyOf(protocol4(global(`${module}.below`, name))) === 'safe'),
    )
    expect(missed).toEqual([])
  })

  test('are found among a thousand that are known to be good', () => {
    const good = [
      global('collections', 'OrderedDict'),
      global('torch._utils', '_rebuild_tensor_v2'),
      global('torch.nn.modules.linear', 'Linear'),
      global('sklearn.svm._classes', 'SVC'),
    ]
    const many = Array.from({ length: 1000 }, (_, i) => bytes(good[i % 4]!, op.POP))
    expect(scanSafetySync(protocol4(...many, op.NONE))).toMatchObject({ safety: 'safe' })
    const scan = scanSafetySync(protocol4(...many, called, op.POP, ...many, op.NONE))
    expect([scan.safety, named(scan, 'dangerous')]).toEqual(['dangerous', ['os.system']])
  })

  test('are not those that only make values', () => {
    const good = ['bool', 'bytearray', 'dict', 'frozenset', 'list', 'object', 'set', 'tuple']
    for (const module of ['builtins', '__builtin__']) {
      for (const name of good) expect(safetyOf(protocol4(global(module, name)))).toBe('safe')
    }
    for (const [module, name] of [
      ['__builtin__', 'xrange'],
      ['copy_reg', '_reconstructor'],
      ['numpy.core.multiarray', 'scalar'],
      ['torch.jit._pickle', 'build_intlist'],
    ] as const) {
      expect(safetyOf(protocol4(global(module, name)))).toBe('safe')
    }
  })
})

describe('operands of a name', () => {
  checkPickles({
    'behind a mark that is thrown away': dangerous(
      bytes(op.MARK, text('x'), POP_MARK, text('os'), text('system'), STACK_GLOBAL),
    ),
    'a bytearray': {
      ...dangerous(op.BYTEARRAY8, u64(2n), 'os', text('system'), STACK_GLOBAL),
      rules: ['safe/broken-pickle', 'safe/computed-global'],
    },
    'texts of five lengths': dangerous(
      bytes(0x8c, 2, 'os', op.POP, "S'os'\n", op.POP, 'Vos\n', op.BINUNICODE8, u64(6n), 'system'),
      STACK_GLOBAL,
    ),
    'texts of the memo in lines': {
      data: bytes(
        "S'os'\np7\n0S'system'\np300\n0g7\ng300\n",
        STACK_GLOBAL,
        echo,
        op.REDUCE,
        op.STOP,
      ),
      safety: 'dangerous',
    },
    'decoys in the memo': dangerous(
      bytes(text('torch'), MEMOIZE, op.POP, text('os'), MEMOIZE, op.POP, text('system')),
      bytes(op.POP, op.BINGET, 1, text('system'), STACK_GLOBAL),
    ),
    'a name escaped in its text': dangerous('V\\u006fs\n', "S'\\x73ystem'\n", STACK_GLOBAL),
    'values that a module was given': {
      data: protocol4(
        bytes(text('torch'), text('_utils'), STACK_GLOBAL, op.EMPTY_DICT, op.MARK),
        bytes(text('a'), text('builtins'), text('b'), text('eval'), op.SETITEMS, op.BUILD, op.POP),
        bytes(global('torch._utils', 'a'), global('torch._utils', 'b'), STACK_GLOBAL, echo),
        op.REDUCE,
      ),
      safety: 'dangerous',
      rules: [
        'safe/broken-pickle',
        'safe/computed-global',
        'safe/dangerous-global',
        'safe/unknown-global',
      ],
    },
    'an attribute that a function was given': dangerous(
      bytes(global('numpy', 'size'), op.EMPTY_DICT, text('shape'), global('numpy', '__builtins__')),
      bytes(op.SETITEM, op.BUILD),
    ),
    'an attribute that a known function was given': dangerous(
      bytes(global('torch._utils', '_rebuild_tensor'), op.EMPTY_DICT, text('x'), op.NONE),
      bytes(op.SETITEM, op.BUILD),
    ),
  })
})

describe('who calls what', () => {
  const encoded = text(protocol4(called).toString('base64'))
  const net = bytes(global('my.nets', 'Net'), op.EMPTY_TUPLE, NEWOBJ)
  const rebuild = global('torch._tensor', '_rebuild_from_type_v2')
  const getattr = (object: Part, name: Part) => call(global('builtins', 'getattr'), object, name)
  const handed = global('builtins', 'getattr')
  // It has to be called somewhere to count as what protocols before 4 write.
  const member = bytes(getattr(global('my.nets', 'Kind'), text('BIG')), op.POP)
  checkPickles({
    'partial of a loader': dangerous(
      call(global('functools', 'partial'), global('torch.serialization', 'load'), text('x')),
    ),
    'partial of what is not known': unknown(
      call(global('functools', 'partial'), global('my.nets', 'gelu')),
    ),
    'a pickle in base64': dangerous(
      call(global('pickle', 'loads'), call(global('base64', 'b64decode'), encoded)),
    ),
    'code in hexadecimal digits': dangerous(
      call(global('marshal', 'loads'), call(global('builtins', 'bytes.fromhex'), text('e3'))),
    ),
    'a pickle that is compressed': dangerous(
      call(
        global('my.nets', 'load'),
        call(global('zlib', 'decompress'), binbytes(deflateSync(protocol4(called)))),
      ),
    ),
    'text in base64 that nothing decodes': inert(encoded),
    'compressed bytes, whatever inflates them': dangerous(binbytes(deflateSync(protocol4(called)))),
    'what a download holds': dangerous(
      call(global('builtins', 'exec'), call(global('urllib.request', 'urlopen'), text('x'))),
    ),
    'a model of the hub': dangerous(call(global('torch.hub', 'load'), text('a/b'), text('c'))),
    'a model of the hub, with code of its own': unknown(
      call(global('transformers', 'AutoModel.from_pretrained'), text('a/b')),
    ),
    'a rebuilding function, what it is given': dangerous(
      call(rebuild, system, global('torch', 'Tensor'), echo, op.NONE),
    ),
    'a rebuilding function, what it is given, which is not known': unknown(
      call(rebuild, global('my.nets', 'f'), global('torch', 'Tensor'), echo, op.NONE),
    ),
    'a rebuilding function, a method': dangerous(
      call(rebuild, getattr(net, text('tofile')), global('torch', 'Tensor'), echo, op.NONE),
    ),
    'getattr, handed on in a list': dangerous(
      member,
      call(global('my.nets', 'each'), bytes(op.EMPTY_LIST, handed, op.APPEND)),
    ),
    'getattr, handed on in a dict': dangerous(
      member,
      call(global('my.nets', 'each'), bytes(op.EMPTY_DICT, text('f'), handed, op.SETITEM)),
    ),
    'getattr, handed on in a set': dangerous(
      member,
      call(global('my.nets', 'each'), bytes(op.EMPTY_SET, op.MARK, handed, op.ADDITEMS)),
    ),
    'getattr, as state': dangerous(member, net, handed, op.BUILD),
    'getattr, as an item': dangerous(member, net, handed, op.APPEND),
    'getattr, as a value': dangerous(member, net, text('f'), handed, op.SETITEM),
    'getattr, whose result is given state': dangerous(getattr(net, text('x')), benign, op.BUILD),
    'getattr, whose result is given items': dangerous(
      bytes(getattr(net, text('x')), text('a'), op.NONE, op.SETITEM),
    ),
    'items of an object that is not known': unknown(net, op.MARK, op.NONE, op.APPENDS),
    'items of an object, one of them a call': dangerous(net, op.MARK, called, op.APPENDS),
    'members of a set that is none, one of them a call': dangerous(
      bytes(net, op.MARK, called, op.ADDITEMS),
    ),
    'entries of an object, one of them a call': dangerous(
      bytes(net, op.MARK, text('a'), called, op.SETITEMS),
    ),
  })

  test('a function in the place of the one that makes tensors, or of that of its hooks', () => {
    const tensor = (maker: Buffer, hooks: Buffer) =>
      bytes(
        bytes(text('storage'), op.BINPUT, 0, global('torch', 'FloatStorage'), op.BINPUT, 1),
        bytes(text('cpu'), op.BINPUT, 2, hooks, op.BINPUT, 3, maker, op.MARK, op.MARK),
        bytes(op.BINGET, 0, op.BINGET, 1, text('0'), op.BINPUT, 10, op.BINGET, 2, op.BININT1, 4),
        bytes(op.TUPLE, op.BINPUT, 11, op.BINPERSID, op.BININT1, 0),
        bytes(op.BININT1, 4, op.TUPLE1, op.BINPUT, 12, op.BININT1, 1, op.TUPLE1, op.BINPUT, 13),
        bytes(op.NEWFALSE, op.BINGET, 3, op.EMPTY_TUPLE, op.REDUCE, op.BINPUT, 14),
        bytes(op.TUPLE, op.BINPUT, 15, op.REDUCE, text('x'.repeat(1000))),
      )
    const maker = global('torch._utils', '_rebuild_tensor_v2')
    const hooks = global('collections', 'OrderedDict')
    expect(safetyOf(protocol4(tensor(maker, hooks)))).toBe('safe')
    for (const data of [tensor(system, hooks), tensor(maker, system)]) {
      const scan = scanSafetySync(protocol4(data))
      expect(scan.safety).toBe('dangerous')
      expect(scan.globals.find(({ name }) => name === 'os.system')?.isCalled).toBe(true)
    }
  })

  test('what is fetched, and what runs it', () => {
    const fetched = call(global('urllib.request', 'urlretrieve'), text('http://a.invalid/'))
    const scan = scanSafetySync(protocol4(call(global('runpy', 'run_path'), fetched)))
    const row = scan.globals.find(({ name }) => name === 'urllib.request.urlretrieve')
    expect(row?.chain).toEqual(['runpy.run_path', 'urllib.request.urlretrieve'])
  })
})

describe('classes by number', () => {
  const codes = { 'in 1 byte': [0x82, 42], 'in 2': [0x83, 0xe8, 3], 'in 4': [0x84, u32(100_000)] }
  for (const [name, code] of Object.entries(codes)) {
    checkPickles({
      [name]: unknown(...code),
      [`${name}, called`]: unknown(...code, op.EMPTY_TUPLE, op.REDUCE),
      [`${name}, called with a call`]: dangerous(...code, called, op.TUPLE1, op.REDUCE),
    })
  }
  test('are named by it', () => {
    const scan = scanSafetySync(protocol4(0x83, 0xe8, 3))
    expect(named(scan, 'unknown')).toEqual(['copyreg extension 1000'])
  })
})
