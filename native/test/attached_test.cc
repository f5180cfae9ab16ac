// Tables that come with a handle are compared with the file row by row.
#include "core/attached.h"

#include <cmath>

#include "check.h"

using namespace torchmap;
using namespace torchmap::check;

namespace {

// Two tensors: [2, 3] of float32 over storage 0, at byte 64, and a wrapper whose part is the first.
struct AttachedSample {
  static constexpr uint64_t kSize = 100;
  std::vector<uint32_t> tensors{
      static_cast<uint32_t>(DType::kFloat32) | uint32_t{kContiguous} << 16,
      0,
      0,
      0,
      6,
      0,
      0,
      2,
      0,
      kNoIndex,
      static_cast<uint32_t>(DType::kFloat32) | uint32_t{kContiguous | kWrapper} << 16,
      kNoIndex,
      0,
      0,
      6,
      0,
      0,
      2,
      0,
      0};
  std::vector<uint32_t> extras{0, 1, kNoIndex}, parts{static_cast<uint32_t>(PartRole::kLocal), 0};
  std::vector<double> dims{2, 3, 3, 1}, places{64}, quantizers;
  std::vector<double> storages{
      static_cast<double>(static_cast<uint32_t>(DType::kFloat32) |
                          static_cast<uint32_t>(StoragePlace::kFile) << 8 | 1u << 10),
      24, 0};
  std::vector<uint32_t> named{0, 1};

  Result<std::vector<Storage>> check() const {
    AttachedTables tables;
    tables.tensors = tensors;
    tables.extras = extras;
    tables.parts = parts;
    tables.dims = dims;
    tables.storages = storages;
    tables.places = places;
    tables.quantizers = quantizers;
    tables.named = named;
    tables.devices = 1;
    return check_attached(tables, kSize);
  }
};

template <typename Change>
Code refusal_of(Change change) {
  AttachedSample sample;
  change(sample);
  auto result = sample.check();
  return result.ok() ? Code::kIo : result.status().code();
}

}  // namespace

TEST(attached_rows_that_fit_the_file) {
  const AttachedSample sample;
  auto storages = sample.check();
  ASSERT_TRUE(storages.ok());
  EXPECT_EQ(storages->size(), 1u);
  EXPECT_EQ((*storages)[0].offset, 64u);
  EXPECT_EQ((*storages)[0].bytes, 24u);
  EXPECT_TRUE((*storages)[0].place == StoragePlace::kFile);
}

TEST(attached_deflated_bytes_are_those_of_the_file) {
  AttachedSample sample;
  sample.storages[2] = 36;
  auto storages = sample.check();
  ASSERT_TRUE(storages.ok());
  EXPECT_EQ((*storages)[0].bytes, 36u);
  sample.storages[2] = 37;
  EXPECT_FALSE(sample.check().ok());
}

TEST(attached_storages_outside_the_file) {
  const auto at = [](double place) {
    return refusal_of([place](AttachedSample& sample) { sample.places[0] = place; });
  };
  EXPECT_TRUE(at(76) == Code::kIo);
  for (const double place : {77.0, -1.0, 64.5, 1e300, 0x1p63, 0x1p64, std::nan("")})
    EXPECT_TRUE(at(place) == Code::kBadIndex);
}

TEST(attached_tensors_outside_their_storage) {
  EXPECT_TRUE(refusal_of([](AttachedSample& s) { s.storages[1] = 23; }) == Code::kBadTensor);
  EXPECT_TRUE(refusal_of([](AttachedSample& s) { s.tensors[2] = 1; }) == Code::kBadTensor);
  EXPECT_TRUE(refusal_of([](AttachedSample& s) { s.tensors[3] = 0xFFFFFFFF; }) == Code::kBadIndex);
  EXPECT_TRUE(refusal_of([](AttachedSample& s) { s.tensors[4] = 7; }) == Code::kBadIndex);
  EXPECT_TRUE(refusal_of([](AttachedSample& s) { s.dims[0] = -1; }) == Code::kBadTensor);
  EXPECT_TRUE(refusal_of([](AttachedSample& s) { s.dims[3] = 2; }) == Code::kBadIndex);
  EXPECT_TRUE(refusal_of([](AttachedSample& s) { s.dims[3] = std::nan(""); }) == Code::kBadIndex);
}

TEST(attached_rows_that_are_not_there) {
  for (const size_t word : {1u, 6u, 7u, 8u, 9u}) {
    EXPECT_TRUE(refusal_of([word](AttachedSample& s) { s.tensors[word] = 5; }) == Code::kBadIndex);
  }
  EXPECT_TRUE(refusal_of([](AttachedSample& s) { s.tensors.pop_back(); }) == Code::kBadIndex);
  EXPECT_TRUE(refusal_of([](AttachedSample& s) { s.named[0] = 2; }) == Code::kBadIndex);
  EXPECT_TRUE(refusal_of([](AttachedSample& s) { s.extras[1] = 2; }) == Code::kBadIndex);
  EXPECT_TRUE(refusal_of([](AttachedSample& s) { s.extras[2] = 0; }) == Code::kBadIndex);
  EXPECT_TRUE(refusal_of([](AttachedSample& s) { s.parts[0] = 13; }) == Code::kBadIndex);
  EXPECT_TRUE(refusal_of([](AttachedSample& s) { s.parts[1] = 2; }) == Code::kBadIndex);
  EXPECT_TRUE(refusal_of([](AttachedSample& s) { s.quantizers = {0, 1, 0, 0, 1, 0}; }) ==
              Code::kBadIndex);
}

TEST(attached_tensors_are_no_parts_of_themselves) {
  EXPECT_TRUE(refusal_of([](AttachedSample& s) { s.parts[1] = 1; }) == Code::kBadIndex);
  EXPECT_TRUE(refusal_of([](AttachedSample& s) {
                s.tensors[9] = 1;
                s.extras = {0, 1, kNoIndex, 1, 1, kNoIndex};
                s.parts = {0, 0, 0, 1};
              }) == Code::kBadIndex);
}

// Each has the one before it twice: the last is made of 2^30.
TEST(attached_parts_that_multiply) {
  EXPECT_TRUE(refusal_of([](AttachedSample& s) {
                const std::vector<uint32_t> first(s.tensors.begin(), s.tensors.begin() + 10);
                s.extras.clear();
                s.parts.clear();
                for (uint32_t i = 1; i < 30; ++i) {
                  s.tensors.insert(s.tensors.end(), first.begin(), first.end());
                  s.tensors[10 * i + 9] = i - 1;
                  s.extras.insert(s.extras.end(), {2 * (i - 1), 2, kNoIndex});
                  s.parts.insert(s.parts.end(), {0, i - 1, 1, i - 1});
                }
                s.tensors.resize(300);
              }) == Code::kBadIndex);
}
