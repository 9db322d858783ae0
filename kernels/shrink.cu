// Antialiasing of crops that shrink (kernels/shrink.py): box reduction, then a separable tent, in integers.
// A block makes one tile of one sample's copy; samples that need no copy leave at once.

#define TILE_ROWS 16
#define TILE_COLUMNS 32
#define REACH 3
#define HALO_ROWS (TILE_ROWS + 2 * REACH)
#define HALO_BYTES (3 * (TILE_COLUMNS + 2 * REACH))

struct PrefilterArgs {
  const Sample* samples;
  int n;
};

FUNCTION int reduced(int side, int by) { return (side + by - 1) / by; }

// Channel c of pixel (y, x) of the reduced source; coordinates beyond its edge repeat the edge.
FUNCTION u32 reduced_pixel(const Sample& s, int y, int x, int c) {
  int ry = s.reduce[0], rx = s.reduce[1];
  y = at_most(at_least(y, 0), reduced(s.height, ry) - 1);
  x = at_most(at_least(x, 0), reduced(s.width, rx) - 1);
  const u8* source = (const u8*)s.source;
  if (ry == 1 && rx == 1) return source[i64(y) * s.stride + 3 * x + c];
  int y0 = y * ry, y1 = at_most(y0 + ry, s.height), x0 = x * rx, x1 = at_most(x0 + rx, s.width);
  u32 count = u32((y1 - y0) * (x1 - x0)), total = count / 2;
  for (int j = y0; j < y1; ++j)
    for (int i = x0; i < x1; ++i) total += source[i64(j) * s.stride + 3 * i + c];
  return total / count;
}

// Symmetric taps in 1/256 around `center`, rounded half up; neighbors lie `step` bytes apart.
FUNCTION u8 tent(const u8* center, int step, const u16 taps[4]) {
  u32 total = taps[0] * u32(center[0]) + 128;
#pragma unroll
  for (int k = 1; k <= REACH; ++k) total += taps[k] * (u32(center[-k * step]) + u32(center[k * step]));
  return u8(total >> 8);
}

extern "C" __global__ void __launch_bounds__(256) prefilter(const PrefilterArgs args) {
  __shared__ u8 raw[HALO_ROWS][HALO_BYTES], between[TILE_ROWS][HALO_BYTES];
  const Sample& s = args.samples[blockIdx.y];
  if (s.copy == 0) return;
  int height = at_least(reduced(s.height, s.reduce[0]), 2), width = at_least(reduced(s.width, s.reduce[1]), 2);
  int across = (width + TILE_COLUMNS - 1) / TILE_COLUMNS;
  int top = int(blockIdx.x) / across * TILE_ROWS, left = int(blockIdx.x) % across * TILE_COLUMNS;
  if (top >= height) return;
  for (int i = threadIdx.x; i < HALO_ROWS * HALO_BYTES; i += blockDim.x) {
    int row = i / HALO_BYTES, byte = i % HALO_BYTES;
    raw[row][byte] = u8(reduced_pixel(s, top + row - REACH, left + byte / 3 - REACH, byte % 3));
  }
  __syncthreads();
  for (int i = threadIdx.x; i < TILE_ROWS * HALO_BYTES; i += blockDim.x) {
    int row = i / HALO_BYTES, byte = i % HALO_BYTES;
    between[row][byte] = tent(&raw[row + REACH][byte], HALO_BYTES, s.taps[0]);
  }
  __syncthreads();
  u8* out = (u8*)s.copy;
  for (int i = threadIdx.x; i < TILE_ROWS * TILE_COLUMNS * 3; i += blockDim.x) {
    int row = i / (TILE_COLUMNS * 3), byte = i % (TILE_COLUMNS * 3);
    int y = top + row, x = left + byte / 3;
    if (y < height && x < width)
      out[(u64(y) * width + x) * 3 + byte % 3] = tent(&between[row][byte + 3 * REACH], 3, s.taps[1]);
  }
}
