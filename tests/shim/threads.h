// Runs the CUDA source with real threads in a block and a barrier, for the thread sanitizer: a missing
// __syncthreads() is a data race that it reports.
#pragma once
#include <barrier>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <thread>
#include <vector>

#define FIELDLOOM_SHIM
#define FUNCTION static inline
#define __global__
#define __device__
#define __shared__ static
#define __launch_bounds__(...)

struct Index { int x, y, z; };
static constexpr int N_THREADS = 8;
static thread_local Index blockIdx, threadIdx;
static constexpr Index blockDim{N_THREADS, 1, 1};
static std::barrier<> meeting(N_THREADS);
#define __syncthreads() meeting.arrive_and_wait()
static std::vector<float> dynamic_shared;
#define DYNAMIC_SHARED(name) float* name = dynamic_shared.data()

#include "words.h"

template <class Kernel, class Args>
static void launch(Kernel kernel, Index grid, long shared_floats, const Args& args) {
  dynamic_shared.assign(shared_floats, NAN);
  std::vector<std::thread> threads;
  for (int t = 0; t < N_THREADS; ++t)
    threads.emplace_back([=] {
      threadIdx = {t, 0, 0};
      for (int z = 0; z < grid.z; ++z)
        for (int y = 0; y < grid.y; ++y)
          for (int x = 0; x < grid.x; ++x) {
            blockIdx = {x, y, z};
            kernel(args);
            meeting.arrive_and_wait();  // blocks run one after the other
          }
    });
  for (auto& thread : threads) thread.join();
}
