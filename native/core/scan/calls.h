// Who is called by a pickle, and as an argument of which calls. Made in one pass over its nodes,
// whether something leads to them or not: what a pickle throws away was called all the same.
#pragma once

#include <algorithm>
#include <array>

#include "core/pickle/tensor_call.h"

namespace torchmap {

// Globals, from the outermost call inwards.
class CallChain {
 public:
  static constexpr size_t kMostLinks = 32;

  size_t size() const { return count_; }
  bool is_full() const { return count_ == kMostLinks; }
  void push(uint32_t global) { links_[count_++] = global; }
  void reverse() { std::reverse(links_.begin(), links_.begin() + count_); }
  const uint32_t* begin() const { return links_.data(); }
  const uint32_t* end() const { return links_.data() + count_; }

 private:
  std::array<uint32_t, kMostLinks> links_;
  size_t count_ = 0;
};

class Calls {
 public:
  explicit Calls(const Pool& pool);

  // By index into pool.globals.
  bool is_called(uint32_t global) const { return first_[global] != kNobody; }
  // From the outermost call that its first call is an argument of down to itself; empty where it is
  // not called.
  CallChain chain(uint32_t global);

  static constexpr uint32_t kNobody = 0xFFFFFFFF;

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
