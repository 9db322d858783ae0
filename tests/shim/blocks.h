// Runs the CUDA source with a thread a block (of one thread) and nothing between them, for the thread sanitizer: two
// blocks that touch the same memory are a data race that it reports.
#pragma once
#include <thread>
#include <vector>

#define OWN_LAUNCH
#include "cpu.h"

template <class Kernel, class Args>
static void launch(Kernel kernel, Index grid, long shared_floats, const Args& args) {
  // As many threads as the sanitizer bears at a time; later blocks follow those that are done.
  const long blocks = long(grid.x) * grid.y * grid.z, together = 32;
  for (long first = 0; first < blocks; first += together) {
    std::vector<std::thread> threads;
    for (long b = first; b < blocks && b < first + together; ++b)
      threads.emplace_back([=] {
        std::vector<float> shared(shared_floats, __builtin_nanf(""));
        dynamic_shared = shared.data();
        blockIdx = {int(b % grid.x), int(b / grid.x % grid.y), int(b / grid.x / grid.y)};
        kernel(args);
      });
    for (auto& thread : threads) thread.join();
  }
}
