// A unit-test framework in one header.
//
//   TEST(cursor_stops_at_the_end) {
//     Cursor cursor(bytes);
//     ASSERT_TRUE(cursor.skip(4).ok());  // ASSERT_* leaves the test, EXPECT_* goes on
//     EXPECT_EQ(cursor.remaining(), 0);  // integers of any two types compare by value
//   }
//
// main.cc runs every test that was compiled in.
#pragma once

#include <compare>
#include <concepts>
#include <cstddef>
#include <sstream>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

namespace torchmap::check {

struct Test {
  const char* name;
  void (*body)();
};

inline std::vector<Test>& tests() {
  static std::vector<Test> all;
  return all;
}

struct Registration {
  Registration(const char* name, void (*body)()) { tests().push_back({name, body}); }
};

// What the running test has found wrong, one line each.
inline std::vector<std::string>& failures() {
  static std::vector<std::string> lines;
  return lines;
}

inline bool fail(const char* file, int line, const std::string& what) {
  failures().push_back(std::string(file) + ":" + std::to_string(line) + ": " + what);
  return false;
}

template <typename T, typename... Others>
concept AnyOf = (std::same_as<std::remove_cvref_t<T>, Others> || ...);

template <typename T>
concept Number = std::integral<T> && !AnyOf<T, bool, char, wchar_t, char8_t, char16_t, char32_t>;

template <typename T>
concept Text = std::convertible_to<const T&, std::string_view> && !AnyOf<T, std::nullptr_t>;

template <Number T>
struct Integer {
  T value;
  template <Number U>
  bool operator==(Integer<U> other) const {
    return std::cmp_equal(value, other.value);
  }
  template <Number U>
  std::strong_ordering operator<=>(Integer<U> other) const {
    if (std::cmp_less(value, other.value)) return std::strong_ordering::less;
    return *this == other ? std::strong_ordering::equal : std::strong_ordering::greater;
  }
};

template <typename T>
std::string show(const T& value) {
  std::ostringstream out;
  out << std::boolalpha;
  out.precision(17);
  if constexpr (Text<T>) {
    out << '"' << std::string_view(value) << '"';
  } else if constexpr (std::is_enum_v<T>) {
    out << +static_cast<std::underlying_type_t<T>>(value);
  } else if constexpr (Number<T>) {
    out << +value;
  } else if constexpr (requires { out << value; }) {
    out << value;
  } else {
    out << "(" << sizeof value << " bytes)";
  }
  return std::move(out).str();
}

// Integers of different types and texts of different types compare by value.
template <typename A, typename B, typename Operator>
bool holds(const A& a, const B& b, Operator op) {
  if constexpr (Number<A> && Number<B>) {
    return op(Integer<A>{a}, Integer<B>{b});
  } else if constexpr (Text<A> && Text<B>) {
    return op(std::string_view(a), std::string_view(b));
  } else {
    return op(a, b);
  }
}

template <typename A, typename B, typename Operator>
bool compare(const char* file, int line, const char* text, const char* symbol, const A& a,
             const B& b, Operator op) {
  if (holds(a, b, op)) return true;
  return fail(file, line, std::string(text) + " fails: " + show(a) + " " + symbol + " " + show(b));
}

inline bool is(const char* file, int line, const char* text, bool actual, bool expected) {
  return actual == expected || fail(file, line, std::string(text) + " is " + show(actual));
}

}  // namespace torchmap::check

#define TEST(name)                                                             \
  static void name();                                                          \
  static const ::torchmap::check::Registration kRegister_##name(#name, &name); \
  static void name()

#define CHECK_IS_(a, expected) \
  ::torchmap::check::is(__FILE__, __LINE__, #a, static_cast<bool>(a), expected)
#define CHECK_(a, op, b)                                                           \
  ::torchmap::check::compare(__FILE__, __LINE__, #a " " #op " " #b, #op, (a), (b), \
                             [](const auto& x, const auto& y) { return x op y; })

#define EXPECT_TRUE(a) (void)CHECK_IS_(a, true)
#define EXPECT_FALSE(a) (void)CHECK_IS_(a, false)
#define EXPECT_EQ(a, b) (void)CHECK_(a, ==, b)
#define EXPECT_NE(a, b) (void)CHECK_(a, !=, b)
#define EXPECT_LT(a, b) (void)CHECK_(a, <, b)
#define EXPECT_LE(a, b) (void)CHECK_(a, <=, b)
#define EXPECT_GT(a, b) (void)CHECK_(a, >, b)
#define EXPECT_GE(a, b) (void)CHECK_(a, >=, b)

#define ASSERT_TRUE(a) \
  if (!CHECK_IS_(a, true)) return
#define ASSERT_FALSE(a) \
  if (!CHECK_IS_(a, false)) return
#define ASSERT_EQ(a, b) \
  if (!CHECK_(a, ==, b)) return
#define ASSERT_NE(a, b) \
  if (!CHECK_(a, !=, b)) return
