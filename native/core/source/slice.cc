#include "core/source/slice.h"

namespace torchmap {
namespace {

class Slice final : public Source {
 public:
  Slice(std::shared_ptr<Source> base, uint64_t offset, uint64_t length)
      : base_(std::move(base)), offset_(offset) {
    identity_ = base_->identity();
    identity_.size = length;
  }

  Result<ByteSpan> view(uint64_t offset, uint64_t length) override {
    TRY(check(offset, length));
    return base_->view(offset_ + offset, length);
  }

  Status read(uint64_t offset, std::span<std::byte> target) override {
    TRY(check(offset, target.size()));
    return base_->read(offset_ + offset, target);
  }

  std::span<std::byte> mapped() override {
    const std::span<std::byte> pages = base_ ? base_->mapped() : std::span<std::byte>();
    if (pages.empty()) return {};
    return pages.subspan(static_cast<size_t>(offset_), static_cast<size_t>(size()));
  }

  std::optional<GuardedPages> pages(uint64_t offset, uint64_t length) const override {
    if (!check(offset, length).ok()) return std::nullopt;
    return base_->pages(offset_ + offset, length);
  }

  void expect_scattered(bool scattered) override {
    if (base_) base_->expect_scattered(scattered);
  }

  void read_ahead(uint64_t offset, uint64_t length) const override {
    if (check(offset, length).ok()) base_->read_ahead(offset_ + offset, length);
  }

  void drop(uint64_t offset, uint64_t length, bool release) override {
    if (check(offset, length).ok()) base_->drop(offset_ + offset, length, release);
  }

  void unmap() override { base_.reset(); }

  Status check_unchanged() const override {
    if (!base_) return Status(Code::kClosed, "the file is closed");
    return base_->check_unchanged();
  }

  std::shared_ptr<Source> reader() const override {
    std::shared_ptr<Source> base = base_ ? base_->reader() : nullptr;
    return base ? std::make_shared<Slice>(std::move(base), offset_, size()) : nullptr;
  }

 private:
  Status check(uint64_t offset, uint64_t length) const {
    TRY(check_range(offset, length));
    if (!base_) return Status(Code::kClosed, "the file is closed");
    return {};
  }

  std::shared_ptr<Source> base_;
  uint64_t offset_;
};

}  // namespace

Result<std::shared_ptr<Source>> slice_source(std::shared_ptr<Source> base, uint64_t offset,
                                             uint64_t length) {
  if (!fits(offset, length, base->size())) {
    return Status(Code::kTruncated, std::to_string(length) + " bytes at byte " +
                                        std::to_string(offset) + " are not in a file of " +
                                        std::to_string(base->size()) + " bytes")
        .at(offset);
  }
  return std::shared_ptr<Source>(std::make_shared<Slice>(std::move(base), offset, length));
}

}  // namespace torchmap
