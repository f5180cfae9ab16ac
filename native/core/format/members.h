// Several pickles decoded into one pool: each has nodes, and so persistent ids, of its own.
#pragma once

#include <algorithm>
#include <vector>

#include "core/torch/interpreter.h"

namespace torchmap {

// A dict as nodes, for what a reader puts together itself.
class DictBuilder {
 public:
  explicit DictBuilder(Pool& pool) : pool_(pool) {}

  // `key` must live as long as the pool.
  void add(std::string_view key, NodeId value) {
    const NodeId pair[2] = {pool_.add(Node::of_text(Tag::kStr, key, kPython2)), value};
    pool_.append(entries_, pair, 2);
  }
  bool empty() const { return entries_.count == 0; }
  NodeId finish() const {
    return pool_.add(Node::words(Tag::kDict, entries_.count, entries_.first, entries_.last));
  }

 private:
  Pool& pool_;
  Items entries_;
};

// Asks those who know the persistent ids of the nodes from a certain one on.
class MemberIds final : public PersistentIds {
 public:
  // From `first`, the next node of the pool, until the next call.
  void begin(NodeId first, std::shared_ptr<PersistentIds> ids) {
    members_.push_back({first, std::move(ids)});
  }

  Result<Persistent> resolve(Interpreter& interpreter, NodeId node) override {
    const NodeId unpacked_from = interpreter.pool()[node].b;
    PersistentIds* const ids = those_of(unpacked_from != 0 ? unpacked_from : node);
    return ids == nullptr ? Persistent{} : ids->resolve(interpreter, node);
  }
  Result<uint32_t> resolve_storage(Interpreter& interpreter, NodeId owner,
                                   const StorageId& id) override {
    PersistentIds* const ids = those_of(owner);
    if (ids == nullptr) return kNoIndex;
    return ids->resolve_storage(interpreter, owner, id);
  }

 private:
  struct Member {
    NodeId first;
    std::shared_ptr<PersistentIds> ids;
  };
  PersistentIds* those_of(NodeId node) const {
    const auto after =
        std::upper_bound(members_.begin(), members_.end(), node,
                         [](NodeId id, const Member& member) { return id < member.first; });
    return after == members_.begin() ? nullptr : std::prev(after)->ids.get();
  }
  std::vector<Member> members_;
};

}  // namespace torchmap
