// A growing array of plain values that are never initialised twice. Unlike std::vector it grows
// with realloc, which moves pages instead of copying them, and it never zeroes what will be
// overwritten.
#pragma once

#include <cstdint>
#include <cstdlib>
#include <new>
#include <span>
#include <type_traits>
#include <utility>

namespace torchmap {

template <typename T>
class Buffer {
  static_assert(std::is_trivially_copyable_v<T>);

 public:
  Buffer() = default;
  Buffer(Buffer&& other) noexcept { swap(other); }
  Buffer& operator=(Buffer&& other) noexcept {
    swap(other);
    return *this;
  }
  ~Buffer() { std::free(data_); }

  size_t size() const { return size_; }
  size_t capacity() const { return capacity_; }
  size_t room() const { return capacity_ - size_; }
  bool empty() const { return size_ == 0; }
  T* data() { return data_; }
  const T* data() const { return data_; }
  T& operator[](size_t i) { return data_[i]; }
  const T& operator[](size_t i) const { return data_[i]; }
  T& back() { return data_[size_ - 1]; }
  std::span<const T> span(size_t first, size_t count) const { return {data_ + first, count}; }

  // Makes room for `count` more; throws std::bad_alloc.
  void make_room(size_t count) {
    if (count <= room()) return;
    size_t wanted = capacity_ + capacity_ / 2;
    if (wanted < size_ + count) wanted = size_ + count;
    if (wanted < 64) wanted = 64;
    if (wanted > SIZE_MAX / sizeof(T)) throw std::bad_alloc();
    void* grown = std::realloc(data_, wanted * sizeof(T));
    if (grown == nullptr) throw std::bad_alloc();
    data_ = static_cast<T*>(grown);
    capacity_ = wanted;
  }

  void push(T value) {
    if (size_ == capacity_) make_room(1);
    data_[size_++] = value;
  }
  // Without a check: the caller has made room.
  void push_unchecked(T value) { data_[size_++] = value; }
  void append(const T* values, size_t count) {
    make_room(count);
    for (size_t i = 0; i < count; ++i) data_[size_ + i] = values[i];
    size_ += count;
  }
  void truncate(size_t size) { size_ = size; }
  // By values that the caller has written behind the last; there is room for them.
  void extend(size_t count) { size_ += count; }

 private:
  void swap(Buffer& other) noexcept {
    std::swap(data_, other.data_);
    std::swap(size_, other.size_);
    std::swap(capacity_, other.capacity_);
  }

  T* data_ = nullptr;
  size_t size_ = 0;
  size_t capacity_ = 0;
};

}  // namespace torchmap
