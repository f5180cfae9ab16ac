#include "core/pickle/nodes.h"

namespace torchmap {

Pool::Pool() {
  nodes.push(Node::words(Tag::kNone, 0, 0, 0));
  nodes.push(Node::words(Tag::kBool, 1, 0, 0));
  nodes.push(Node::words(Tag::kBool, 0, 0, 0));
  nodes.push(Node::words(Tag::kTuple, 0, 0, 0));
  for (int64_t value = 0; value < 256; ++value) nodes.push(Node::of_integer(value));
  const uint32_t no_batch[2] = {0, 0};  // so that batch 0 can mean none
  words.append(no_batch, 2);
  extras.push(Extra{});
}

NodeId Pool::add_tuple(const NodeId* items, uint32_t count, Tag tag) {
  const auto first = static_cast<uint32_t>(words.size());
  words.append(items, count);
  return add(Node::words(tag, count, first, 0));
}

uint32_t Pool::global(std::string_view module, std::string_view name, uint64_t offset) {
  auto [found, fresh] =
      global_index_.try_emplace({module, name}, static_cast<uint32_t>(globals.size()));
  if (fresh) globals.push_back({module, name, offset});
  return found->second;
}

Extra& Pool::make_extra(NodeId id) {
  if (nodes[id].c == 0) {
    nodes[id].c = static_cast<uint32_t>(extras.size());
    extras.push(Extra{});
  }
  return extras[nodes[id].c];
}

void Pool::append(Items& items, const uint32_t* values, uint32_t count) {
  if (count == 0) return;
  // The last batch grows in place while nothing else was written behind it, which is the rule for
  // lists filled by single APPENDs.
  if (items.last != 0 && items.last + 2 + words[items.last] == words.size()) {
    words[items.last] += count;
  } else {
    const auto batch = static_cast<uint32_t>(words.size());
    const uint32_t header[2] = {count, 0};
    words.append(header, 2);
    if (items.last != 0) {
      words[items.last + 1] = batch;
    } else {
      items.first = batch;
    }
    items.last = batch;
  }
  words.append(values, count);
  items.count += count;
}

std::vector<uint32_t> Pool::list(const Items& items) const {
  std::vector<uint32_t> out;
  out.reserve(items.count);
  each(items, [&](uint32_t word) { out.push_back(word); });
  return out;
}

}  // namespace torchmap
