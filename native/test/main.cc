#include "check.h"

int main() {
  int passed = 0;
  int failed = 0;
  for (const check::Test& test : check::tests()) {
    const int before = check::failures();
    test.body();
    if (check::failures() == before) {
      passed++;
    } else {
      std::printf("failed: %s\n", test.name);
      failed++;
    }
  }
  std::printf("%d passed, %d failed\n", passed, failed);
  return failed == 0 ? 0 : 1;
}
