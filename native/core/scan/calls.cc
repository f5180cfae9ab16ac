#include "core/scan/calls.h"

namespace torchmap {
namespace {

// Steps for all chains of a pickle, for each of its nodes and besides.
constexpr uint64_t kStepsPerNode = 4, kStepsAtLeast = 1 << 16;
// Calls that one chain leads through.
constexpr size_t kMostCalls = 4 * CallChain::kMostLinks;

}  // namespace

uint32_t Calls::global_of(const Pool& pool, NodeId id) {
  const Node* node = &pool[id];
  if (node->tag == Tag::kPersistent) {
    // ('module', class, ...) stands for the class.
    const Node& name = pool[node->a];
    if (name.tag != Tag::kTuple || name.a < 2) return kNobody;
    node = &pool[pool.words[name.b + 1]];
  }
  return node->tag == Tag::kGlobal ? node->a : kNobody;
}

Calls::Calls(const Pool& pool)
    : pool_(pool),
      parents_(pool.nodes.size(), kNobody),
      first_(pool.globals.size(), kNobody),
      beside_(pool.globals.size(), kNobody),
      steps_left_(kStepsAtLeast + kStepsPerNode * pool.nodes.size()) {
  for (NodeId id = Pool::kFirstOwn; id < pool.nodes.size(); ++id) {
    const Node& node = pool[id];
    switch (node.tag) {
      case Tag::kTuple:
      case Tag::kFrozenSet:
        for (const uint32_t child : pool.tuple(id)) link(child, id);
        break;
      case Tag::kList:
      case Tag::kSet:
      case Tag::kDict:
        link_all(Pool::items_of(node), id);
        break;
      case Tag::kCall:
        take_call(id);
        break;
      case Tag::kTensorCall:
        take_tensor_call(id);
        break;
      case Tag::kPersistent:
        link(node.a, id);
        break;
      default:
        break;
    }
    link_extra(id);
  }
}

void Calls::link_extra(NodeId id) {
  if (pool_[id].tag < Tag::kGlobal || pool_[id].c == 0) return;
  const Extra& extra = pool_.extra(id);
  link_all(extra.states, id);
  link_all(extra.items, id);
  link_all(extra.entries, id);
  if (extra.kwargs != 0) link(extra.kwargs, id);
}

void Calls::take_call(NodeId id) {
  const Node& node = pool_[id];
  link(node.a, id);
  link(node.b, id);
  const uint32_t global = global_of(pool_, node.a);
  if (global != kNobody && first_[global] == kNobody) first_[global] = id;
}

void Calls::take_tensor_call(NodeId id) {
  const TensorContext& context = pool_.contexts[pool_[id].b];
  const uint32_t function = pool_[context.function].a, hooks = pool_[context.hooks].a;
  if (first_[function] == kNobody) first_[function] = id;
  if (first_[hooks] != kNobody) return;
  first_[hooks] = id;
  beside_[hooks] = function;
}

// The global that a call names itself, not by what another call gave.
uint32_t Calls::caller(NodeId id) const {
  const Node& node = pool_[id];
  if (node.tag == Tag::kTensorCall) return pool_[pool_.contexts[node.b].function].a;
  return node.tag == Tag::kCall ? global_of(pool_, node.a) : kNobody;
}

CallChain Calls::chain(uint32_t global) {
  CallChain links;
  if (!is_called(global)) return links;
  links.push(global);
  if (beside_[global] != kNobody) links.push(beside_[global]);
  NodeId at = first_[global];
  std::array<NodeId, kMostCalls> seen;
  seen[0] = at;
  for (size_t calls = 1; !links.is_full() && steps_left_ > 0;) {
    --steps_left_;
    const NodeId below = at;
    at = parents_[at];
    if (at == kNobody) break;
    const Tag tag = pool_[at].tag;
    if (tag != Tag::kCall) continue;
    if (calls == kMostCalls || std::find(&seen[0], &seen[calls], at) != &seen[calls]) break;
    seen[calls++] = at;
    const uint32_t outer = caller(at);
    if (outer != kNobody && pool_[at].a != below) links.push(outer);
  }
  links.reverse();
  return links;
}

}  // namespace torchmap
