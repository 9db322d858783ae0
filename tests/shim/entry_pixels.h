// What Python calls: a user's per-pixel operation, behind its joined CUDA source.
#pragma once

extern "C" int run_kernel(const char* name, int x, int y, int z, long shared_floats, const void* args) {
  if (strcmp(name, "per_pixel")) return 1;
  launch(per_pixel, Index{x, y, z}, shared_floats, *(const PixelArgs*)args);
  return 0;
}

extern "C" void struct_sizes(int* out) {
  out[0] = sizeof(PixelImage); out[1] = sizeof(PixelArgs);
}
