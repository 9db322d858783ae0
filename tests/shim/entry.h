// What Python calls: one kernel by name, behind the joined CUDA source.
#pragma once

extern "C" int run_kernel(const char* name, int x, int y, int z, long shared_floats, const void* args) {
  Index grid{x, y, z};
  if (!strcmp(name, "prefilter")) launch(prefilter, grid, shared_floats, *(const PrefilterArgs*)args);
  else if (!strcmp(name, "lattice")) launch(lattice, grid, shared_floats, *(const LatticeArgs*)args);
  else if (!strcmp(name, "fused")) launch(fused, grid, shared_floats, *(const FusedArgs*)args);
  else return 1;
  return 0;
}

extern "C" void run_philox(const uint32_t* counters, const uint32_t* keys, uint32_t* out, int n) {
  for (int i = 0; i < n; ++i) {
    Words w = philox({counters[4 * i], counters[4 * i + 1], counters[4 * i + 2], counters[4 * i + 3]}, keys[2 * i],
                     keys[2 * i + 1]);
    out[4 * i] = w.a; out[4 * i + 1] = w.b; out[4 * i + 2] = w.c; out[4 * i + 3] = w.d;
  }
}

extern "C" void struct_sizes(int* out) {
  out[0] = sizeof(Sample); out[1] = sizeof(Transform); out[2] = sizeof(PrefilterArgs);
  out[3] = sizeof(LatticeArgs); out[4] = sizeof(FusedArgs);
}
