#include "core/kernels/reparametrize.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <type_traits>
#include <vector>

#include "core/kernels/convert.h"
#include "core/kernels/half.h"

// This file is compiled without contraction of floating-point expressions: whether a product is
// rounded before it is added must not depend on the compiler.

namespace torchmap {
namespace {

// Elements that are converted at a time.
constexpr uint64_t kBlock = 1024;

// How the elements of a dtype are stored, and what they are computed in.
template <DType dtype>
struct Element;
template <>
struct Element<DType::kFloat32> {
  using Stored = float;
  using Real = float;
  static Real load(Stored value) { return value; }
  static Stored store(Real value) { return value; }
};
template <>
struct Element<DType::kFloat64> {
  using Stored = double;
  using Real = double;
  static Real load(Stored value) { return value; }
  static Stored store(Real value) { return value; }
};
template <>
struct Element<DType::kFloat16> {
  using Stored = uint16_t;
  using Real = float;
  static Real load(Stored value) { return half_to_float(value); }
  static Stored store(Real value) { return float_to_half(value); }
};
template <>
struct Element<DType::kBFloat16> {
  using Stored = uint16_t;
  using Real = float;
  static Real load(Stored value) { return bfloat16_to_float(value); }
  static Stored store(Real value) { return float_to_bfloat16(value); }
};

template <typename E>
typename E::Real load(const std::byte* source, uint64_t i) {
  typename E::Stored value;
  std::memcpy(&value, source + i * sizeof value, sizeof value);
  return E::load(value);
}

template <typename E>
void load_run(const std::byte* source, uint64_t from, uint64_t count, typename E::Real* target) {
  for (uint64_t i = 0; i < count; ++i) target[i] = load<E>(source, from + i);
}

template <typename E>
void store(typename E::Real value, std::byte* target, uint64_t i) {
  const typename E::Stored stored = E::store(value);
  std::memcpy(target + i * sizeof stored, &stored, sizeof stored);
}

template <typename Call>
void with_element(DType dtype, Call&& call) {
  switch (dtype) {
    case DType::kFloat16:
      return call(Element<DType::kFloat16>());
    case DType::kBFloat16:
      return call(Element<DType::kBFloat16>());
    case DType::kFloat64:
      return call(Element<DType::kFloat64>());
    default:
      return call(Element<DType::kFloat32>());
  }
}

// sum + x * x, rounded once. A product of floats is exact as a double; the sum is then rounded
// twice, which gives another float than rounding once in less than one case of 10^8.
inline float fused_square(float sum, float x) {
  return static_cast<float>(static_cast<double>(x) * static_cast<double>(x) +
                            static_cast<double>(sum));
}
// Only float32 results are compared with torch's to the last place.
inline double fused_square(double sum, double x) { return sum + x * x; }

// A tensor around one of its dimensions: `channels` is that one's size, `first` the size of
// dimension 0 and `middle` of those between, `inner` of those behind. For dimension 0 `first` and
// `middle` are 1.
struct ChannelView {
  uint64_t first = 1, middle = 1, channels = 1, inner = 1;

  ChannelView(std::span<const int64_t> sizes, std::optional<size_t> dim) {
    for (size_t i = 0; i < sizes.size(); ++i) {
      const auto size = static_cast<uint64_t>(sizes[i]);
      (i == dim ? channels : !dim || i > *dim ? inner : i == 0 ? first : middle) *= size;
    }
  }

  uint64_t outer() const { return first * middle; }
  uint64_t count() const { return outer() * channels * inner; }
};

// In which order squares are added up: torch has different ones, whose results differ by many
// units in the last place where there are many elements.
enum class NormOrder : uint8_t {
  kFirst,  // a norm for each index of dimension 0
  kLast,   // of the last dimension, where that is not the first
  kOther,  // of another dimension, or one norm over all elements
};

NormOrder order_of(size_t ndim, std::optional<size_t> dim) {
  if (dim == 0) return NormOrder::kFirst;
  return dim && *dim + 1 == ndim ? NormOrder::kLast : NormOrder::kOther;
}

// Adds up the squares of a row the way torch's vector code for AVX2 does, which it runs on every
// x86-64 processor since 2013: one sum for each of eight lanes (of four for doubles), then the
// lanes, which first-dimension norms add by halves and others one by one.
//   kFirst: aten/src/ATen/cpu/vec/functional_base.h, map_reduce_all; the elements behind the last
//           whole vector go into the first lanes.
//   else:   aten/src/ATen/native/cpu/ReduceOpsKernel.cpp, norm_kernel_tensor_iterator_impl; the
//           elements behind the last whole vector are added at the end: four at a time multiplied
//           first, the rest in one step, as compiled.
template <typename Real>
class SquareSum {
 public:
  SquareSum(uint64_t count, NormOrder order, bool fused)
      : count_(count), whole_(count - count % kLanes), order_(order), fused_(fused) {}

  // The next `count` elements of the row: a multiple of kLanes except at its end.
  void add(const Real* values, uint64_t count) {
    uint64_t i = 0;
    const uint64_t whole = std::min(count, whole_ - std::min(whole_, seen_));
    if (fused_) {
      for (; i < whole; i += kLanes)
        for (size_t lane = 0; lane < kLanes; ++lane)
          lanes_[lane] = fused_square(lanes_[lane], values[i + lane]);
    } else {
      for (; i < whole; i += kLanes)
        for (size_t lane = 0; lane < kLanes; ++lane)
          lanes_[lane] += values[i + lane] * values[i + lane];
    }
    for (; i < count; ++i) rest_[seen_ + i - whole_] = values[i];
    seen_ += count;
  }

  Real norm() {
    const uint64_t rest = count_ - whole_;
    if (order_ == NormOrder::kFirst) {
      for (size_t i = 0; i < rest; ++i) lanes_[i] = first_rest(lanes_[i], rest_[i]);
      return std::sqrt(whole_ == 0 || kLanes < 8 ? fold_in_turn() : fold_by_halves());
    }
    Real sum = fold_in_turn();
    for (size_t i = 0; i < rest; ++i) {
      sum = i < rest / 4 * 4 ? sum + rest_[i] * rest_[i] : fused_square(sum, rest_[i]);
    }
    return std::sqrt(sum);
  }

 private:
  static constexpr size_t kLanes = std::is_same_v<Real, double> ? 4 : 8;

  Real first_rest(Real sum, Real x) const { return fused_ ? fused_square(sum, x) : sum + x * x; }

  Real fold_in_turn() const {
    Real sum = lanes_[0];
    for (size_t lane = 1; lane < kLanes; ++lane) sum += lanes_[lane];
    return sum;
  }

  Real fold_by_halves() {
    for (size_t half = kLanes / 2; half > 0; half /= 2)
      for (size_t lane = 0; lane < half; ++lane) lanes_[lane] += lanes_[lane + half];
    return lanes_[0];
  }

  uint64_t count_, whole_, seen_ = 0;
  NormOrder order_;
  bool fused_;
  Real lanes_[kLanes] = {};
  Real rest_[kLanes] = {};
};

// Visits the runs of elements that belong to a channel, in the order in which torch lays them out
// before it adds: with the channel's dimension and dimension 0 exchanged.
template <typename Visit>
void for_each_run(const ChannelView& view, uint64_t channel, Visit&& visit) {
  for (uint64_t middle = 0; middle < view.middle; ++middle) {
    for (uint64_t first = 0; first < view.first; ++first) {
      const uint64_t outer = first * view.middle + middle;
      visit((outer * view.channels + channel) * view.inner, view.inner);
    }
  }
}

// The norm of one channel.
template <typename E>
typename E::Real channel_norm(const std::byte* source, const ChannelView& view, uint64_t channel,
                              NormOrder order, bool fused) {
  using Real = typename E::Real;
  SquareSum<Real> sum(view.outer() * view.inner, order, fused);
  Real block[kBlock];
  uint64_t filled = 0;
  for_each_run(view, channel, [&](uint64_t from, uint64_t count) {
    while (count > 0) {
      const uint64_t taken = std::min(count, kBlock - filled);
      load_run<E>(source, from, taken, block + filled);
      filled += taken, from += taken, count -= taken;
      if (filled < kBlock) continue;
      sum.add(block, kBlock);
      filled = 0;
    }
  });
  sum.add(block, filled);
  return sum.norm();
}

// The norms along the last dimension: squares are added row by row, for each thread's rows apart.
template <typename E>
std::vector<typename E::Real> column_norms(const std::byte* source, const ChannelView& view,
                                           uint64_t threads) {
  using Real = typename E::Real;
  const uint64_t rows = view.outer(), columns = view.channels;
  const uint64_t parts = std::clamp<uint64_t>(threads, 1, std::max<uint64_t>(rows, 1));
  const uint64_t share = rows / parts + (rows % parts != 0 ? 1 : 0);
  std::vector<Real> total(columns, 0), part(columns, 0);
  for (uint64_t row = 0; row < rows; ++row) {
    for (uint64_t column = 0; column < columns; ++column)
      part[column] = fused_square(part[column], load<E>(source, row * columns + column));
    if ((row + 1) % share != 0 && row + 1 != rows) continue;
    for (uint64_t column = 0; column < columns; ++column) {
      total[column] += part[column];
      part[column] = 0;
    }
  }
  for (Real& norm : total) norm = std::sqrt(norm);
  return total;
}

// Elements times the scale of their channel.
template <typename E>
void scale_channels(const std::byte* source, const ChannelView& view,
                    std::span<const typename E::Real> scales, std::byte* target) {
  uint64_t i = 0;
  for (uint64_t outer = 0; outer < view.outer(); ++outer) {
    for (uint64_t channel = 0; channel < view.channels; ++channel) {
      const auto scale = scales[channel];
      for (const uint64_t end = i + view.inner; i < end; ++i)
        store<E>(load<E>(source, i) * scale, target, i);
    }
  }
}

template <typename E>
void divide(const std::byte* source, uint64_t count, typename E::Real divisor, std::byte* target) {
  for (uint64_t i = 0; i < count; ++i) store<E>(load<E>(source, i) / divisor, target, i);
}

// u . (W v), and how far W v points where u does: 1 for the same direction.
struct Bilinear {
  double value, alignment;
};

template <typename E>
Bilinear bilinear(const std::byte* weight, const ChannelView& view, const std::byte* u,
                  const std::byte* v) {
  double value = 0, squares = 0, u_squares = 0;
  for (uint64_t channel = 0; channel < view.channels; ++channel) {
    double product = 0;
    uint64_t column = 0;
    for (uint64_t outer = 0; outer < view.outer(); ++outer) {
      const uint64_t from = (outer * view.channels + channel) * view.inner;
      for (uint64_t i = 0; i < view.inner; ++i, ++column) {
        product += static_cast<double>(load<E>(weight, from + i)) *
                   static_cast<double>(load<E>(v, column));
      }
    }
    const auto factor = static_cast<double>(load<E>(u, channel));
    value += factor * product;
    squares += product * product;
    u_squares += factor * factor;
  }
  return {value, std::abs(value) / std::sqrt(squares * u_squares)};
}

// The cosine from which on two directions are taken for the same one. The first step of power
// iteration leaves them closer; directions that were never iterated are anywhere.
constexpr double kAligned = 0.9;

}  // namespace

bool reparametrizes(DType dtype) {
  return dtype == DType::kFloat16 || dtype == DType::kBFloat16 || dtype == DType::kFloat32 ||
         dtype == DType::kFloat64;
}

void weight_norm(DType dtype, const std::byte* g, const std::byte* v,
                 std::span<const int64_t> sizes, std::optional<size_t> dim,
                 const NormRounding& rounding, std::byte* target) {
  const ChannelView view(sizes, dim);
  const NormOrder order = order_of(sizes.size(), dim);
  with_element(dtype, [&](auto element) {
    using E = decltype(element);
    std::vector<typename E::Real> scales;
    if (order == NormOrder::kLast) {
      scales = column_norms<E>(v, view, rounding.threads);
    } else {
      scales.resize(view.channels);
      for (uint64_t channel = 0; channel < view.channels; ++channel)
        scales[channel] = channel_norm<E>(v, view, channel, order, rounding.fused);
    }
    for (uint64_t channel = 0; channel < view.channels; ++channel)
      scales[channel] = load<E>(g, channel) / scales[channel];
    scale_channels<E>(v, view, scales, target);
  });
}

void spectral_norm(DType dtype, const std::byte* weight, std::span<const int64_t> sizes, size_t dim,
                   std::optional<size_t> other, const std::byte* u, const std::byte* v,
                   std::byte* target) {
  const ChannelView view(sizes, dim);
  with_element(dtype, [&](auto element) {
    using E = decltype(element);
    Bilinear sigma = bilinear<E>(weight, view, u, v);
    if (other) {
      const Bilinear second = bilinear<E>(weight, ChannelView(sizes, other), u, v);
      if (second.alignment >= kAligned && !(sigma.alignment >= second.alignment)) sigma = second;
    }
    divide<E>(weight, view.count(), static_cast<typename E::Real>(sigma.value), target);
  });
}

void unit_norm(DType dtype, const std::byte* weight, uint64_t count, bool fused,
               std::byte* target) {
  with_element(dtype, [&](auto element) {
    using E = decltype(element);
    using Real = typename E::Real;
    const int64_t sizes[] = {static_cast<int64_t>(count)};
    const Real norm = channel_norm<E>(weight, ChannelView(sizes, {}), 0, NormOrder::kOther, fused);
    divide<E>(weight, count, std::isnan(norm) ? norm : std::max(norm, static_cast<Real>(1e-12)),
              target);
  });
}

void apply_mask(DType dtype, const std::byte* weight, DType mask_dtype, const std::byte* mask,
                uint64_t count, std::byte* target) {
  with_element(dtype, [&](auto element) {
    using E = decltype(element);
    using Real = typename E::Real;
    if (mask_dtype == dtype) {
      for (uint64_t i = 0; i < count; ++i)
        store<E>(load<E>(weight, i) * load<E>(mask, i), target, i);
      return;
    }
    float block[kBlock];
    const uint32_t itemsize = info(mask_dtype).bytes;
    for (uint64_t from = 0; from < count; from += kBlock) {
      const uint64_t end = std::min(count, from + kBlock);
      to_float32(mask + from * itemsize, mask_dtype, end - from, block);
      for (uint64_t i = from; i < end; ++i) {
        const Real factor = E::load(E::store(static_cast<Real>(block[i - from])));
        store<E>(load<E>(weight, i) * factor, target, i);
      }
    }
  });
}

}  // namespace torchmap
