/**
 * Streams of opcodes that readers of pickles disagree about, that break, or that cost much. Made here
 * and never loaded by Python.
 */
import { describe, expect, test } from '@jest/globals'
import { openSync } from '../lib/index'
import { scanSafetySync } from '../lib/zoo/safety/scan'
import {
  bytes,
  checkpointOf,
  global,
  ints,
  op,
  type Part,
  tenfold,
  text,
  u32,
  u64,
} from './support/bytes'
import { refusal } from './support/samples'
import {
  benign,
  binbytes,
  type Case,
  call,
  called,
  checkPickles,
  dangerous,
  echo,
  elements,
  inert,
  keys,
  legacy,
  POP_MARK,
  protocol4,
  rulesOf,
  STACK_GLOBAL,
  safetyOf,
  soon,
  system,
} from './support/scans'

const TUPLE3 = 0x87

const incomplete = (...parts: Part[]): Case => ({ data: protocol4(...parts), safety: 'incomplete' })

describe('where Python goes on, or has gone far enough', () => {
  const frame = (...parts: Part[]) => {
    const all = bytes(...parts)
    return bytes(op.FRAME, u64(BigInt(all.length)), all)
  }
  const nothing = Buffer.alloc(70_000, bytes(op.NONE, op.POP))
  checkPickles({
    'an integer with an underscore': dangerous('I1_0\n', op.POP, called),
    'an integer behind a blank': dangerous('I 7\n', op.POP, called),
    'an integer with an underscore, far in front of a call': dangerous(
      bytes('I1_0\n', op.POP, text('x'.repeat(1000)), op.POP, called),
    ),
    'an integer of more digits than Python reads, far in front of a call': dangerous(
      bytes(`I${'1'.repeat(5000)}\n`, op.POP, text('x'.repeat(1000)), op.POP, called),
    ),
    'no number in other letters, far in front of a call': dangerous(
      bytes('F-NaN\n', op.POP, text('x'.repeat(1000)), op.POP, called),
    ),
    'a number with an underscore, far in front of a call': dangerous(
      bytes('F1_0.5\n', op.POP, text('x'.repeat(1000)), op.POP, called),
    ),
    'what is no number, far in front of a call': incomplete(
      bytes('Ix1z\n', op.POP, text('x'.repeat(1000)), op.POP, called),
    ),
    'a boolean with a sign': dangerous('I+0\n', op.POP, called),
    'a boolean behind a blank': dangerous('I 1\n', op.POP, called),
    'a long integer with a base': dangerous('L0x10L\n', op.POP, called),
    'a global that is no ASCII': dangerous(global('é', 'ü'), op.POP, called),
    'a string that is no UTF-8': dangerous(
      bytes("S'", 0xe9, "'\n", op.POP, op.BINSTRING, u32(1), 0xff, op.POP, called),
    ),
    'an empty name': dangerous(global('', ''), op.POP, called),
    'a protocol twice': dangerous(op.PROTO, 2, called),
    'a protocol that is lower than its opcodes': {
      data: bytes(op.PROTO, 0, text('os'), text('system'), STACK_GLOBAL, op.STOP),
      safety: 'dangerous',
    },
    'what does nothing, for long': dangerous(nothing, called),
    'values that are left over': inert(op.NONE, op.NONE, op.MARK, op.NONE),
    'a call that is left over': dangerous(called, op.MARK, op.NONE),
    'a lone surrogate': inert(op.BINUNICODE, u32(3), 0xed, 0xa0, 0x80),
    'a call first': dangerous(called, op.POP, benign),
    'a call last': dangerous(benign, called, op.POP),
    'a call first, in a frame': dangerous(frame(called, op.POP, benign)),
    'a call last, in a second frame': dangerous(frame(benign), frame(called, op.POP)),
    'a call in the second of three pickles': {
      data: bytes(protocol4(benign), protocol4(called), protocol4(benign)),
      safety: 'dangerous',
    },
    'a remark between two pickles': {
      data: bytes(protocol4(benign), '# safe\n', protocol4(called)),
      safety: 'dangerous',
    },
    'a remark in a text': dangerous(text('# safe'), op.POP, called),
    'a pickle behind one that is broken': {
      data: bytes(op.PROTO, 4, 0xff, 0xff, protocol4(called)),
      safety: 'dangerous',
    },
    'protocol 0 that ends before its end': {
      data: bytes("cos\nsystem\n(S'echo'\ntR(lp0\n"),
      safety: 'dangerous',
      rules: ['safe/broken-pickle', 'safe/dangerous-global'],
    },
    'whole frames': { ...inert(frame(benign), frame(op.POP, benign)), rules: [] },
    'bytes between frames': inert(
      bytes(frame(benign, op.POP), binbytes(Buffer.alloc(100_000)), op.POP, frame(benign)),
    ),
  })

  // Unpicklers that read by pieces forget where a frame ends, and run what stands in the bytes.
  const hidden = bytes(0, 0, called, Buffer.alloc(0x107 - 2 - called.length, op.NONE))
  const letters = bytes('V', 'A'.repeat(131_055), '\n', op.POP)
  checkPickles({
    'a frame that ends where a piece ends': {
      data: bytes(
        bytes(op.PROTO, 5, op.NONE, letters, op.MARK, op.FRAME, u64(2n), binbytes(hidden)),
        bytes(POP_MARK, op.STOP),
      ),
      safety: 'incomplete',
      rules: ['safe/broken-pickle'],
    },
    'a frame that ends inside bytes': incomplete(op.FRAME, u64(3n), binbytes(hidden)),
    'a frame that ends inside a short text': incomplete(op.FRAME, u64(2n), 0x8c, 5, 'abcde'),
    'a frame that ends inside a line of text': incomplete(op.FRAME, u64(2n), 'Vabcde\n'),
    'a frame that ends inside a number': incomplete(op.FRAME, u64(2n), 'J', u32(1)),
    'a frame that ends inside the line of a module': {
      ...dangerous(op.FRAME, u64(2n), system),
      rules: ['safe/broken-pickle', 'safe/dangerous-global'],
    },
    'a frame that ends inside the line of a name': {
      ...dangerous(op.FRAME, u64(6n), system),
      rules: ['safe/broken-pickle', 'safe/dangerous-global'],
    },
  })
})

describe('what Python does not read', () => {
  const wrong: Record<string, Part> = {
    'a slot of 30 digits': bytes(op.NONE, `p${'9'.repeat(30)}\n`),
    'a slot below zero': bytes(op.NONE, 'p-1\n'),
    'a slot that nobody set, in lines': 'g7\n',
    'an integer of 200,000 digits': `L${'1'.repeat(200_000)}L\n`,
    'an integer of less than no bytes': bytes(op.LONG4, u32(0xffff_ffff)),
    'text of 4 GiB': bytes(op.BINUNICODE, u32(0xffff_ffff), 'x'),
    'bytes of 4 GiB': bytes(0x42, u32(0xffff_ffff), 'x'),
    'text that is no UTF-8': bytes(op.BINUNICODE, u32(2), 0xc3, 0x28),
    'text with half an escape': 'V\\u12\n',
    'text without quotes': 'Sabc\n',
    'an extension numbered 0': bytes(0x82, 0),
    'an extension numbered -1': bytes(0x84, u32(0xffff_ffff)),
    'a persistent id that is no ASCII': bytes('P', 0xe9, '\n'),
    'a tuple of three of one value': bytes(op.NONE, TUPLE3),
    'a tuple without a mark': bytes(op.NONE, op.TUPLE),
    'an object without a class': bytes(op.MARK, 'o'),
    'a call of a number': bytes(op.BININT1, 1, op.EMPTY_TUPLE, op.REDUCE),
    'a key without a value': bytes(op.EMPTY_DICT, op.MARK, op.NONE, op.SETITEMS),
    'a dict as its own key': bytes(op.EMPTY_DICT, op.DUP, op.NONE, op.SETITEM),
    'a bytearray as a key': bytes(op.EMPTY_DICT, op.BYTEARRAY8, u64(0n), op.NONE, op.SETITEM),
    'members of a list': bytes(op.EMPTY_LIST, op.MARK, op.NONE, op.ADDITEMS),
    'items of a dict': bytes(op.EMPTY_DICT, op.NONE, op.APPEND),
    'entries of a list': bytes(op.EMPTY_LIST, op.NONE, op.NONE, op.SETITEM),
    'a buffer that is elsewhere': bytes(0x97),
  }
  for (const [name, part] of Object.entries(wrong)) {
    checkPickles({
      [name]: { ...incomplete(part), rules: ['safe/broken-pickle'] },
      [`${name}, behind a call`]: {
        ...dangerous(called, op.POP, part),
        rules: ['safe/broken-pickle', 'safe/dangerous-global'],
      },
    })
  }
})

describe('much from few bytes', () => {
  const repeat = (count: number, ...parts: Part[]) =>
    Buffer.alloc(count * bytes(...parts).length, bytes(...parts))
  const shared = bytes(global('collections', 'OrderedDict'), op.BINPUT, 0, op.POP)
  const cases: Record<string, Part> = {
    'pairs of the pair before': bytes(op.NONE, repeat(100_000, op.DUP, op.TUPLE2)),
    'calls with what the call before gave': bytes(
      bytes(shared, op.NONE, op.BINPUT, 1, op.POP),
      repeat(
        50_000,
        op.BINGET,
        0,
        op.BINGET,
        1,
        op.DUP,
        op.TUPLE2,
        op.REDUCE,
        op.BINPUT,
        1,
        op.POP,
      ),
      bytes(op.BINGET, 1),
    ),
    'one value a million times': bytes(
      bytes(op.EMPTY_LIST, op.BINPUT, 0, op.MARK, repeat(1_000_000, op.BINGET, 0), op.APPENDS),
    ),
    'tuples in tuples': bytes(op.NONE, repeat(200_000, op.TUPLE1)),
    'keys by the ten thousand': bytes(
      bytes(op.EMPTY_DICT, op.MARK),
      ...Array.from({ length: 50_000 }, (_, i) => bytes(text(`k${i}`), op.NONE)),
      bytes(op.SETITEMS),
    ),
    'slots far apart': bytes(
      op.NONE,
      ...Array.from({ length: 1000 }, (_, i) => bytes(op.LONG_BINPUT, u32(i * 4_000_000))),
    ),
  }
  test.each(Object.entries(cases))('%s', (_, part) => {
    expect(soon(protocol4(part)).safety).toBe('safe')
    expect(soon(protocol4(called, op.POP, part, called)).safety).toBe('dangerous')
  })
  test('calls in lists of ten of the list before', () => {
    const scan = soon(protocol4(tenfold(bytes(shared, op.BINGET, 0, echo, op.REDUCE), 60)))
    expect(scan).toMatchObject({ safety: 'safe', findings: [] })
  })
})

describe('the legacy stream', () => {
  const id = bytes(op.MARK, text('storage'), global('torch', 'FloatStorage'), text('0'))
  const storage = bytes(id, text('cpu'), op.BININT1, 4, op.TUPLE, op.BINPERSID)
  const floats = Buffer.alloc(16, 1)
  const evil = protocol4(called)
  test.each<[string, Buffer]>([
    ['fewer elements than none', bytes(u64(-1n), floats)],
    ['2^61 elements', bytes(u64(2n ** 61n), floats)],
    ['elements that are not there', bytes(u64(4n), floats.subarray(1))],
  ])('%s', (_, data) => {
    const scan = scanSafetySync(legacy(storage, keys, data))
    expect([scan.safety, rulesOf(scan)]).toEqual(['incomplete', ['safe/unread']])
    expect(safetyOf(legacy(storage, keys, data, evil))).toBe('dangerous')
  })
  test('keys of storages that no tensor has, and no list of keys', () => {
    const other = bytes(op.EMPTY_LIST, text('7'), op.APPEND)
    expect(safetyOf(legacy(storage, other, elements))).toBe('incomplete')
    expect(safetyOf(legacy(storage, benign, elements))).toBe('incomplete')
    expect(safetyOf(legacy(storage, benign, elements, evil))).toBe('dangerous')
  })
  test('fewer keys than storages: what follows belongs to nothing, and is searched', () => {
    const scan = scanSafetySync(legacy(storage, op.EMPTY_LIST, elements))
    expect(rulesOf(scan)).toEqual(['safe/hidden-bytes'])
    expect(safetyOf(legacy(storage, op.EMPTY_LIST, elements, evil))).toBe('dangerous')
  })
  test('that is cut where a pickle should be', () => {
    const whole = legacy(called)
    expect(safetyOf(whole.subarray(0, whole.indexOf(called)))).toBe('incomplete')
    expect(safetyOf(whole.subarray(0, -4))).toBe('dangerous')
  })
})

test('every function that makes tensors keeps them in their storage', () => {
  const storage = (type: Buffer) =>
    bytes(
      bytes(op.MARK, text('storage'), type, text('0'), text('cpu'), op.BININT1, 4, op.TUPLE),
      op.BINPERSID,
    )
  const floats = storage(global('torch', 'FloatStorage'))
  const hooks = bytes(global('collections', 'OrderedDict'), op.EMPTY_TUPLE, op.REDUCE)
  const scheme = bytes(global('torch', 'per_tensor_affine'), 'F0.5\n', op.BININT1, 3, TUPLE3)
  const packed = storage(global('torch', 'QUInt8Storage'))
  const raw = storage(global('torch.storage', 'UntypedStorage'))
  const makers: Record<string, (sizes: Buffer, strides: Buffer) => Buffer> = {
    _rebuild_tensor: (...view) => bytes(floats, op.BININT1, 0, ...view),
    _rebuild_tensor_v2: (...view) => bytes(floats, op.BININT1, 0, ...view, op.NEWFALSE, hooks),
    _rebuild_tensor_v3: (...view) =>
      bytes(raw, op.BININT1, 0, ...view, op.NEWFALSE, hooks, global('torch', 'int8')),
    _rebuild_qtensor: (...view) =>
      bytes(packed, op.BININT1, 0, ...view, scheme, op.NEWFALSE, hooks),
  }
  for (const [name, args] of Object.entries(makers)) {
    const open = (stride: number) => {
      const made = args(ints([2, 2]), ints([stride, 1]))
      return openSync(checkpointOf(protocol4(call(global('torch._utils', name), made))))
    }
    expect(open(2).tensors.size).toBe(1)
    for (const stride of [3, 2 ** 40, -1]) {
      expect([name, refusal(() => open(stride)).code]).toEqual([name, 'BAD_TENSOR'])
    }
  }
})
