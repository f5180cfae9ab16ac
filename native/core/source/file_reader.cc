// The source for files that are not mapped: every view is a copy, made once.
#include "core/source/copies.h"
#include "core/source/file_handle.h"

namespace torchmap {

namespace {

class FileReader final : public Source {
 public:
  FileReader(std::shared_ptr<const FileHandle> file, bool pages)
      : file_(std::move(file)), pages_(pages) {
    identity_ = file_->identity();
  }

  Result<ByteSpan> view(uint64_t offset, uint64_t length) override {
    TRY(check_range(offset, length));
    return copies_.get(offset, length,
                       [&](std::span<std::byte> target) { return file_->read(offset, target); });
  }

  Status read(uint64_t offset, std::span<std::byte> target) override {
    TRY(check_range(offset, target.size()));
    return file_->read(offset, target);
  }

  Status check_unchanged() const override { return file_->check_unchanged(); }

  std::shared_ptr<Source> reader() const override { return read_file(file_, pages_); }

  std::optional<GuardedPages> pages(uint64_t offset, uint64_t length) const override {
    if (!pages_ || !check_range(offset, length).ok() ||
        !file_->is_cached(offset, length, kProbed)) {
      return std::nullopt;
    }
    return GuardedPages::map(*file_, offset, length);
  }

  void read_ahead(uint64_t offset, uint64_t length) const override {
    if (check_range(offset, length).ok()) file_->fetch(offset, length);
  }

  void drop(uint64_t offset, uint64_t length, bool release) override {
    if (release && check_range(offset, length).ok()) file_->release(offset, length);
  }

 private:
  // Bytes between two looks whether they are in the page cache.
  static constexpr size_t kProbed = size_t{1} << 20;

  const std::shared_ptr<const FileHandle> file_;
  const bool pages_;
  Copies copies_;
};

}  // namespace

std::shared_ptr<Source> read_file(std::shared_ptr<const FileHandle> file, bool pages) {
  return std::make_shared<FileReader>(std::move(file), pages);
}

}  // namespace torchmap
