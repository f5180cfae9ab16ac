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
    TRY(check_range(offset, length));
    return base_->view(offset_ + offset, length);
  }

  Status read(uint64_t offset, std::span<std::byte> target) override {
    TRY(check_range(offset, target.size()));
    return base_->read(offset_ + offset, target);
  }

  std::span<std::byte> mapped() override {
    const std::span<std::byte> all = base_->mapped();
    if (!fits(offset_, size(), all.size())) return {};
    return all.subspan(static_cast<size_t>(offset_), static_cast<size_t>(size()));
  }

  Status check_unchanged() const override { return base_->check_unchanged(); }

 private:
  std::shared_ptr<Source> base_;
  uint64_t offset_;
};

}  // namespace

std::shared_ptr<Source> slice_source(std::shared_ptr<Source> base, uint64_t offset,
                                     uint64_t length) {
  return std::make_shared<Slice>(std::move(base), offset, length);
}

}  // namespace torchmap
