// The values of a decoded pickle: one pool of 16-byte nodes addressed by 32-bit index.
//
// Stack, memo and containers hold indexes, so sharing costs nothing and cycles are harmless.
// Nothing here runs anything: a call the pickle asks for is a node that says which global it named
// and with which arguments. Text and bytes point into the pickle itself.
//
// Containers are filled after they are made and in batches, so a list or dict is a chain of batches
// in `words`: [count, next batch or 0, item...]. A tuple never grows and is just its items.
#pragma once

#include <forward_list>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/bytes.h"
#include "core/pickle/buffer.h"

namespace torchmap {

using NodeId = uint32_t;

enum class Tag : uint8_t {
  kNone,
  kBool,        // a: 0 or 1
  kInt,         // integer
  kBigInt,      // text: little-endian two's complement, or decimal digits with kDecimal
  kFloat,       // real
  kStr,         // text: UTF-8, lone surrogates allowed; Python 2 bytes with kPython2
  kBytes,       // text
  kByteArray,   // text
  kTuple,       // a: count, b: first item in words
  kFrozenSet,   // as kTuple
  kList,        // items
  kSet,         // items
  kDict,        // items: key, value, key, value ...
  kGlobal,      // a: index into globals, c: extra
  kCall,        // flags: CallKind, a: callable, b: arguments (a tuple, usually), c: extra
  kTensorCall,  // a call kept as its bytes (tensor_call.h): a: where, b: index into contexts, c:
                // extra
  kPersistent,  // a: the persistent id, b: the tensor call it was unpacked from or 0, c: extra
  kExtension,   // a: code of the copyreg extension registry, c: extra
  // Written over a node by the layer that knows what it means:
  kForeign,  // flags: kind, a: index in that layer's tables, b: as that layer likes, c: extra
  kAlias,    // a: the node this one stands for
};

enum class CallKind : uint8_t { kReduce, kNewObj, kNewObjEx, kInst, kObj };

enum NodeFlag : uint8_t { kPython2 = 1, kDecimal = 1 };

struct Items {
  uint32_t count = 0;  // words: twice the number of entries in a dict
  uint32_t first = 0;  // batches; 0 is none
  uint32_t last = 0;
};

struct Node {
  Tag tag;
  uint8_t flags;
  uint16_t aux;  // kStr and kin: bits 32..47 of the length; else free for the layer above
  uint32_t a;
  union {
    struct {
      uint32_t b, c;
    };
    int64_t integer;
    double real;
    const char* data;
  };

  std::string_view text() const { return {data, (size_t{aux} << 32) | a}; }
  static Node words(Tag tag, uint32_t a, uint32_t b, uint32_t c, uint8_t flags = 0) {
    Node node{tag, flags, 0, a, {}};
    node.b = b;
    node.c = c;
    return node;
  }
  static Node of_integer(int64_t value) {
    Node node{Tag::kInt, 0, 0, 0, {}};
    node.integer = value;
    return node;
  }
  static Node of_real(double value) {
    Node node{Tag::kFloat, 0, 0, 0, {}};
    node.real = value;
    return node;
  }
  static Node of_text(Tag tag, std::string_view text, uint8_t flags = 0) {
    Node node{tag,
              flags,
              static_cast<uint16_t>(text.size() >> 32),
              static_cast<uint32_t>(text.size()),
              {}};
    node.data = text.data();
    return node;
  }
};
static_assert(sizeof(Node) == 16);

// What an object carries besides its callable and arguments; index 0 means nothing.
struct Extra {
  Items states;   // arguments of BUILD, in order
  Items items;    // APPEND, APPENDS, ADDITEMS
  Items entries;  // SETITEM, SETITEMS: key, value
  NodeId kwargs;  // NEWOBJ_EX; 0 (None) is none
};

struct GlobalName {
  std::string_view module, name;
  uint64_t offset;  // bytes from the start of the file, of the first opcode that named it
};

// What many tensor calls of one pickle share.
struct TensorContext {
  const std::byte* start;  // what Node::a counts from
  NodeId function, word, type, location, hooks;
};

struct TensorCall;

// The nodes of a tensor call's arguments, in the order the memo numbers them.
struct TensorArguments {
  NodeId nodes[6];
  uint32_t count = 0;
};

class Pool {
 public:
  // Nodes every pool begins with, so that the commonest opcodes make none.
  static constexpr NodeId kNoneNode = 0, kTrueNode = 1, kFalseNode = 2, kEmptyTuple = 3;
  static constexpr NodeId kSmallInt = 4;  // .. kSmallInt + 255
  static constexpr NodeId kFirstOwn = kSmallInt + 256;

  Pool();

  Buffer<Node> nodes;
  Buffer<uint32_t> words;
  Buffer<Extra> extras;
  std::vector<GlobalName> globals;
  Buffer<TensorContext> contexts;
  uint64_t pickle_bytes = 0;  // decoded into this pool

  const Node& operator[](NodeId id) const { return nodes[id]; }
  Node& operator[](NodeId id) { return nodes[id]; }

  // Follows aliases.
  NodeId target(NodeId id) const {
    while (nodes[id].tag == Tag::kAlias) id = nodes[id].a;
    return id;
  }

  NodeId add(const Node& node) {
    nodes.push(node);
    return static_cast<NodeId>(nodes.size() - 1);
  }
  NodeId add_tuple(const NodeId* items, uint32_t count, Tag tag = Tag::kTuple);

  // The node of one (module, name), made at its first use.
  uint32_t global(std::string_view module, std::string_view name, uint64_t offset);

  // The call of a kTensorCall node.
  TensorCall tensor_call(NodeId id) const;
  // Makes such a node the kCall it stands for; the node keeps its number. Nothing where the pool
  // cannot have so many words.
  std::optional<TensorArguments> unpack(NodeId id);

  // Text that does not stand in the pickle as it is (escapes); lives as long as the pool.
  std::string_view keep(std::string text) { return texts_.emplace_front(std::move(text)); }

  static Items items_of(const Node& node) { return {node.a, node.b, node.c}; }
  std::span<const uint32_t> tuple(NodeId id) const { return words.span(nodes[id].b, nodes[id].a); }

  // The extra of a node that can have one (kGlobal .. kForeign), or the empty one.
  const Extra& extra(NodeId id) const {
    return extras[nodes[id].tag >= Tag::kGlobal ? nodes[id].c : 0];
  }
  Extra& make_extra(NodeId id);

  void append(Items& items, const uint32_t* values, uint32_t count);

  // Calls `visit(word)` for each word of the chain, in order.
  template <typename Visit>
  void each(Items items, Visit&& visit) const {
    for (uint32_t batch = items.first; batch != 0; batch = words[batch + 1]) {
      for (uint32_t i = 0; i < words[batch]; ++i)
        visit(words[batch + 2 + i]);  // words may move meanwhile
    }
  }
  std::vector<uint32_t> list(const Items& items) const;

  // Makes it what it was at first, with the memory that it has now.
  void clear();

 private:
  std::forward_list<std::string> texts_;
  // Of all globals, once there are more than a few. Ordered, not hashed: a crafted file cannot make
  // it slow.
  std::map<std::pair<std::string_view, std::string_view>, uint32_t> global_index_;
};

// Pools that are used again by whoever decodes many pickles, one thread at a time.
class PoolStock {
 public:
  struct GiveBack {
    PoolStock* stock = nullptr;
    void operator()(Pool* pool) const noexcept { stock->take_back(pool); }
  };
  using Lent = std::unique_ptr<Pool, GiveBack>;

  // The stock must outlive what it lends.
  Lent lend();

 private:
  void take_back(Pool* pool) noexcept;

  std::vector<std::unique_ptr<Pool>> idle_;
  size_t made_ = 0;
};

}  // namespace torchmap
