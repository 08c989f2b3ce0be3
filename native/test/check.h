// Thirty lines of test framework: TEST(name) { CHECK(...); CHECK_EQ(..., ...); }, and main() in main.cc.
#pragma once

#include <cstdio>
#include <sstream>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

namespace check {

struct Test {
  const char* name;
  void (*body)();
};
inline std::vector<Test>& tests() {
  static std::vector<Test> all;
  return all;
}
inline int& failures() {
  static int count = 0;
  return count;
}
struct Registration {
  Registration(const char* name, void (*body)()) { tests().push_back({name, body}); }
};
inline void fail(const char* file, int line, const std::string& what) {
  std::printf("%s:%d: %s\n", file, line, what.c_str());
  failures()++;
}
template <typename A, typename B>
void equal(const char* file, int line, const char* text, const A& a, const B& b) {
  if constexpr (std::is_integral_v<A> && std::is_integral_v<B>) {
    if (std::cmp_equal(a, b)) return;
  } else if (a == b) {
    return;
  }
  std::ostringstream out;
  out << text << ": " << +a << " is not " << +b;
  fail(file, line, out.str());
}

}  // namespace check

#define TEST(name)                                                   \
  static void name();                                                \
  static const check::Registration registration_##name(#name, name); \
  static void name()
#define CHECK(condition) \
  if (!(condition)) check::fail(__FILE__, __LINE__, #condition)
#define CHECK_EQ(a, b) check::equal(__FILE__, __LINE__, #a, a, b)
