// Errors as values. A Status is one pointer wide, null when all is well; Result<T> is a T or a
// Status. The core never throws (only std::bad_alloc may pass) and never prints.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

namespace torchmap {

enum class Code : uint8_t {
#define CODE(name, js, kind) k##name,
#include "core/codes.def"
#undef CODE
  kIo,         // the operating system refused; `subject` is the system call, `actual` is errno
  kCancelled,  // the caller asked to stop
};

// The code as callers see it, such as "BAD_PICKLE".
std::string_view code_name(Code code);

// Everything a caller needs to know about one failure.
struct Failure {
  Code code;
  std::string message;             // what and with which numbers: one sentence, no trailing period
  std::string record;              // archive record, or empty
  std::optional<uint64_t> offset;  // bytes from the start of the file, where known
  std::string subject;             // the limit, global, feature or system call concerned, or empty
  uint64_t limit = 0;              // for kLimit*: the cap
  uint64_t actual = 0;             // for kLimit*: what was asked for; for kIo: errno
};

class [[nodiscard]] Status {
 public:
  Status() = default;
  Status(Code code, std::string message)
      : failure_(new Failure{code, std::move(message), {}, {}, {}, 0, 0}) {}
  explicit Status(const Failure& failure) : failure_(new Failure(failure)) {}

  bool ok() const { return failure_ == nullptr; }
  Code code() const { return failure_->code; }
  const Failure& failure() const { return *failure_; }
  Failure& failure() { return *failure_; }

  // Adds where it happened; the innermost place wins.
  Status&& at(uint64_t offset) && {
    if (failure_ && !failure_->offset) failure_->offset = offset;
    return std::move(*this);
  }
  Status&& in(std::string_view record) && {
    if (failure_ && failure_->record.empty()) failure_->record = record;
    return std::move(*this);
  }
  Status&& about(std::string_view subject) && {
    if (failure_ && failure_->subject.empty()) failure_->subject = subject;
    return std::move(*this);
  }

 private:
  std::unique_ptr<Failure> failure_;
};

// A cap of limits.def was reached: `name` is its name in the options.
Status limit_reached(Code code, std::string_view name, uint64_t limit, uint64_t actual);

template <typename T>
class [[nodiscard]] Result {
 public:
  Result(T value) : value_(std::move(value)) {}          // NOLINT(google-explicit-constructor)
  Result(Status status) : status_(std::move(status)) {}  // NOLINT(google-explicit-constructor)

  bool ok() const { return status_.ok(); }
  Status&& status() && { return std::move(status_); }
  Status& status() & { return status_; }
  T& value() & { return *value_; }
  T&& value() && { return std::move(*value_); }
  T* operator->() { return &*value_; }
  T& operator*() & { return *value_; }

 private:
  Status status_;
  std::optional<T> value_;
};

#define TORCHMAP_CONCAT_(a, b) a##b
#define TORCHMAP_CONCAT(a, b) TORCHMAP_CONCAT_(a, b)

// Returns the failure of `expr` from the calling function, if it failed.
#define TRY(expr)                                                                       \
  do {                                                                                  \
    if (::torchmap::Status try_status_ = (expr); !try_status_.ok()) return try_status_; \
  } while (false)

// Declares `decl` as the value of `expr`, or returns its failure from the calling function.
#define TRY_ASSIGN(decl, expr) TRY_ASSIGN_(decl, expr, TORCHMAP_CONCAT(try_result_, __LINE__))
#define TRY_ASSIGN_(decl, expr, tmp)             \
  auto tmp = (expr);                             \
  if (!tmp.ok()) return std::move(tmp).status(); \
  decl = std::move(tmp).value()

}  // namespace torchmap
