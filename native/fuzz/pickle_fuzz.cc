// Any bytes as a pickle: decoded, then every node, word and text looked at.
#include "core/pickle/decoder.h"
#include "fuzz/guarded.h"

using namespace torchmap;
using fuzz::require;

namespace {

void check_items(const Pool& pool, const Items& items) {
  uint32_t count = 0;
  pool.each(items, [&](uint32_t word) {
    require(word < pool.nodes.size());
    ++count;
  });
  require(count == items.count);
}

void check_node(const Pool& pool, NodeId id) {
  const Node& node = pool[id];
  if (node.tag >= Tag::kBigInt && node.tag <= Tag::kByteArray && node.tag != Tag::kFloat)
    fuzz::touch(as_bytes(node.text()));
  if (node.tag == Tag::kTuple || node.tag == Tag::kFrozenSet) {
    require(fits(node.b, node.a, pool.words.size()));
    for (uint32_t item : pool.tuple(id)) require(item < pool.nodes.size());
  }
  if (node.tag == Tag::kList || node.tag == Tag::kSet || node.tag == Tag::kDict)
    check_items(pool, Pool::items_of(node));
  if (node.tag == Tag::kDict) require(node.a % 2 == 0);
  if (node.tag == Tag::kGlobal) require(node.a < pool.globals.size());
  if (node.tag == Tag::kCall) require(node.a < pool.nodes.size() && node.b < pool.nodes.size());
  if (node.tag == Tag::kPersistent) require(node.a < pool.nodes.size());
  if (node.tag < Tag::kGlobal) return;
  require(node.c < pool.extras.size());
  const Extra& extra = pool.extra(id);
  for (const Items& items : {extra.states, extra.items, extra.entries}) check_items(pool, items);
  require(extra.kwargs < pool.nodes.size());
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const fuzz::GuardedSource source(data, size);
  Pool pool;
  const DecodeOptions options{fuzz::small_limits(), 0, nullptr};
  auto decoded = decode_pickle(source.bytes(), pool, options);
  if (decoded.ok()) {
    require(decoded->consumed <= size && decoded->root < pool.nodes.size());
  } else {
    require(!decoded.status().failure().message.empty());
  }
  for (size_t id = 0; id < pool.nodes.size(); ++id) check_node(pool, static_cast<NodeId>(id));
  return 0;
}
