// Runs the CUDA source on a CPU. Every kernel uses block-stride loops, so one thread a block is a legal
// launch: then __syncthreads() is a no-op and __shared__ an automatic variable.
#pragma once
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define FIELDLOOM_SHIM
#define FUNCTION static inline
#define __global__
#define __device__
#define __shared__
#define __launch_bounds__(...)
#define __syncthreads() ((void)0)

struct Index { int x, y, z; };
static thread_local Index blockIdx;
static constexpr Index threadIdx{0, 0, 0}, blockDim{1, 1, 1};
static thread_local float* dynamic_shared;
#define DYNAMIC_SHARED(name) float* name = dynamic_shared

// Builtins instead of headers: most of g++'s time would go to parsing <cmath> and <vector>.
#define fabsf __builtin_fabsf
#define floorf __builtin_floorf

#include "words.h"

#ifndef OWN_LAUNCH
template <class Kernel, class Args>
static void launch(Kernel kernel, Index grid, long shared_floats, const Args& args) {
  dynamic_shared = (float*)malloc(shared_floats * sizeof(float));
  for (long i = 0; i < shared_floats; ++i) dynamic_shared[i] = __builtin_nanf("");
  for (int z = 0; z < grid.z; ++z)
    for (int y = 0; y < grid.y; ++y)
      for (int x = 0; x < grid.x; ++x) {
        blockIdx = {x, y, z};
        kernel(args);
      }
  free(dynamic_shared);
}
#endif
