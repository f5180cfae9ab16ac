// Who is called by a pickle, and as an argument of which calls. Made in one pass over its nodes,
// whether something leads to them or not: what a pickle throws away was called all the same.
#pragma once

#include "core/pickle/tensor_call.h"

namespace torchmap {

class Calls {
 public:
  explicit Calls(const Pool& pool);

  // By index into pool.globals.
  bool is_called(uint32_t global) const { return first_[global] != kNobody; }
  // From the outermost call that its first call is an argument of down to itself; empty where it is
  // not called. Not more than kMostLinks.
  std::vector<uint32_t> chain(uint32_t global);

  static constexpr uint32_t kNobody = 0xFFFFFFFF;
  static constexpr size_t kMostLinks = 32;

  // The global that a node stands for: itself, or the class of a persistent id; or kNobody.
  static uint32_t global_of(const Pool& pool, NodeId node);

 private:
  void link(NodeId child, NodeId parent) {
    if (parents_[child] == kNobody) parents_[child] = parent;
  }
  void link_all(const Items& items, NodeId parent) {
    pool_.each(items, [&](uint32_t child) { link(child, parent); });
  }
  void link_extra(NodeId node);
  void take_call(NodeId node);
  void take_tensor_call(NodeId node);
  uint32_t caller(NodeId node) const;

  const Pool& pool_;
  std::vector<uint32_t> parents_;  // of each node the first that holds it
  std::vector<uint32_t> first_;    // of each global its first call
  std::vector<uint32_t> beside_;   // of each global the one whose call has its call inside, unseen
  uint64_t steps_left_;            // of all chains together
};

}  // namespace torchmap
