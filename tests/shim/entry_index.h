// What Python calls: the kernels of index masks by name, behind their joined CUDA source.
#pragma once

extern "C" int run_kernel(const char* name, int x, int y, int z, long shared_floats, const void* args) {
  Index grid{x, y, z};
  if (!strcmp(name, "index_uint8")) launch(index_uint8, grid, shared_floats, *(const IndexArgs*)args);
  else if (!strcmp(name, "index_int32")) launch(index_int32, grid, shared_floats, *(const IndexArgs*)args);
  else return 1;
  return 0;
}

extern "C" int args_size() { return sizeof(IndexArgs); }
