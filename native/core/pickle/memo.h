// The memo of the pickle machine: key -> node. Keys are arbitrary (cPickle starts at 1, crafted
// files use any number), so memory follows the number of keys in use, never their size.
#pragma once

#include <algorithm>
#include <map>

#include "core/pickle/nodes.h"

namespace torchmap {

class Memo {
 public:
  static constexpr NodeId kMissing = 0xFFFFFFFF;

  size_t size() const { return used_; }

  // For so many keys that follow each other from 0 on.
  void make_room(size_t count) { dense_.make_room(count); }

  void put(uint64_t key, NodeId node) {
    if (key >= dense_.size()) return put_beyond(key, node);
    if (dense_[key] == kMissing) ++used_;
    dense_[key] = node;
  }

  // `count` keys from `first` on.
  void put_range(uint64_t first, uint32_t count, NodeId node) {
    if (first + count > dense_.size()) {
      for (uint64_t key = first; key < first + count; ++key) put(key, node);
      return;
    }
    NodeId* const at = dense_.data() + first;
    for (uint32_t i = 0; i < count; ++i) {
      used_ += at[i] == kMissing ? 1 : 0;
      at[i] = node;
    }
  }

  NodeId get(uint64_t key) const {
    if (key < dense_.size() && dense_[key] != kMissing) return dense_[key];
    if (sparse_.empty()) return kMissing;
    auto found = sparse_.find(key);
    return found == sparse_.end() ? kMissing : found->second;
  }

 private:
  static constexpr size_t kFirstSize = 1024;

  void put_beyond(uint64_t key, NodeId node) {
    if (2 * dense_.size() <= 4 * used_ + kFirstSize && key < 2 * dense_.size() + kFirstSize) {
      grow(2 * dense_.size() + kFirstSize);
      put(key, node);
    } else if (sparse_.insert_or_assign(key, node).second) {
      ++used_;
    }
  }

  // Sizes double, so this runs a logarithmic number of times. A key that was sparse may become
  // dense: it moves, so that each key lives in one place.
  void grow(uint64_t size) {
    const size_t fresh = size - dense_.size();
    dense_.make_room(fresh);
    std::fill_n(dense_.data() + dense_.size(), fresh, kMissing);
    dense_.extend(fresh);
    auto end = sparse_.lower_bound(size);
    for (auto at = sparse_.begin(); at != end; ++at) dense_[at->first] = at->second;
    sparse_.erase(sparse_.begin(), end);
  }

  Buffer<NodeId> dense_;
  std::map<uint64_t, NodeId> sparse_;
  size_t used_ = 0;
};

}  // namespace torchmap
