// The pickle machine: a stack, a mark stack and a memo over the node pool. Behind decoder.h; nobody
// else needs it. The opcodes are in three files: machine.cc has the commonest and those that steer
// the machine, machine_values.cc numbers, text and containers, machine_objects.cc globals, calls
// and state. What can go wrong is put into words in machine_failures.cc, so that the checks are
// small enough to stand in the loop.
#pragma once

#include "core/pickle/decoder.h"
#include "core/pickle/memo.h"

namespace torchmap {

class Machine {
 public:
  Machine(ByteSpan bytes, Pool& pool, const DecodeOptions& options)
      : start_(bytes.data()),
        at_(start_),
        end_(start_ + bytes.size()),
        pool_(pool),
        options_(options) {}

  Result<Decoded> run();

 private:
  Status step(Opcode op);
  Status poll();
  Status number(Opcode op);
  Status text(Opcode op);
  Status unicode(uint64_t length);
  Status container(Opcode op);
  Status memo(Opcode op);
  Status get(uint64_t key) {
    const NodeId found = memo_.get(key);
    if (found == Memo::kMissing) return not_set(key);
    push(found);
    return pool_[found].tag == Tag::kTensorCall ? get_inside(key, found) : Status();
  }
  // Below the last mark there is a value.
  Status put(uint64_t key) {
    TRY(need(1));
    const NodeId top = stack_.back();
    // Under a number of one of its own arguments the call could not be told from that argument.
    if (pool_[top].tag == Tag::kTensorCall &&
        (top != last_call_ || key - last_put_ < last_put_count_)) {
      TRY(put_tensor(key, top));
    }
    memo_.put(key, top);
    return {};
  }
  Status object(Opcode op);
  Status control(Opcode op);

  // --- bytes ---
  size_t left() const { return static_cast<size_t>(end_ - at_); }
  template <typename T>
  Status read(T& value) {
    if (sizeof(T) > left()) return truncated(sizeof(T));
    value = load_le<T>(at_);
    at_ += sizeof(T);
    return {};
  }
  Status take(uint64_t count, std::string_view& out) {
    if (count > left()) return truncated(count);
    out = {reinterpret_cast<const char*>(at_), static_cast<size_t>(count)};
    at_ += count;
    return {};
  }
  Status line(std::string_view& out) {
    const void* found = left() == 0 ? nullptr : std::memchr(at_, '\n', left());
    if (found == nullptr) return truncated(1);
    const auto* stop = static_cast<const std::byte*>(found);
    out = {reinterpret_cast<const char*>(at_), static_cast<size_t>(stop - at_)};
    at_ = stop + 1;
    return {};
  }
  Status counted(Opcode op, std::string_view& out);

  // --- stack ---
  void push(NodeId id) { stack_.push_unchecked(id); }
  void push_new(const Node& node) {
    pool_.nodes.push_unchecked(node);
    push(static_cast<NodeId>(pool_.nodes.size() - 1));
  }
  size_t depth() const { return stack_.size() - fence_; }
  Status need(size_t count) { return depth() < count ? too_few(count) : Status(); }
  NodeId pop() {
    const NodeId id = stack_.back();
    stack_.truncate(stack_.size() - 1);
    return id;
  }
  Status pop_mark(size_t& first) {
    if (marks_.empty()) return bad("needs a mark and there is none");
    first = marks_.back();
    marks_.truncate(marks_.size() - 1);
    fence_ = marks_.empty() ? 0 : marks_.back();
    return {};
  }

  // --- calls kept as their bytes ---
  bool tensor_call();
  // What the memo has under `key`, which leads to the tensor call `found`: an argument of it, or
  // itself.
  Status get_inside(uint64_t key, NodeId found);
  Status put_tensor(uint64_t key, NodeId call);
  Status unpack(NodeId call);

  // --- values ---
  Status add_items(NodeId target, Tag wanted, const NodeId* values, size_t count);
  Status add_to_dict(NodeId target, const NodeId* values, size_t count);
  Status call(CallKind kind, NodeId callable, NodeId arguments);
  Status global(std::string_view module, std::string_view name);
  // Only where the caller wants to see how it goes on.
  Status computed_global(NodeId module, NodeId name);
  Status words_room(size_t count) {
    return count > UINT32_MAX - 16 - pool_.words.size() ? too_many_words(count) : Status();
  }
  // Needs room for a node.
  Status push_tuple(const NodeId* items, size_t count, Tag tag) {
    TRY(words_room(count));
    const auto first = static_cast<uint32_t>(pool_.words.size());
    pool_.words.append(items, count);
    pool_.nodes.push_unchecked(Node::words(tag, static_cast<uint32_t>(count), first, 0));
    return {};
  }

  // --- failures ---
  uint64_t offset() const {
    return options_.base_offset + static_cast<uint64_t>(opcode_at_ - start_);
  }
  std::string op_name() const {
    return std::string(opcode_name(std::to_integer<uint8_t>(*opcode_at_)));
  }
  Status bad(const std::string& what) const;
  // The same, unless the caller wants to see how it goes on.
  Status odd(const std::string& what) const;
  Status truncated(uint64_t count) const;
  Status too_few(size_t needed) const;
  Status too_many_words(size_t count) const;
  Status not_set(uint64_t key) const;
  Status no_opcode() const;

  const std::byte* start_;
  const std::byte* at_;
  const std::byte* end_;
  const std::byte* opcode_at_ = nullptr;
  const std::byte* frame_end_ = nullptr;
  Pool& pool_;
  const DecodeOptions& options_;
  Buffer<NodeId> stack_;
  Buffer<size_t> marks_;
  size_t fence_ = 0;  // stack position of the innermost mark: nothing below it may be popped
  Memo memo_;
  // The newest tensor call, and the keys of the memo for its arguments.
  NodeId last_call_ = 0;
  uint32_t last_put_ = 0, last_put_count_ = 0;
  Decoded decoded_;
  bool stopped_ = false;
};

}  // namespace torchmap
