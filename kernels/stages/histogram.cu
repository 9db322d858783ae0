// AutoContrast and Equalize (kernels/stages/histogram.py).

namespace program_steps {

// In float64 with two roundings, as Pillow's Python has it; see kernels/stages/histogram.py.
FUNCTION void autocontrast(u8* p, u32 area) {
  __shared__ u32 low[3], high[3];
  __shared__ u8 table[3][256];
  EACH(c, 3u) {
    low[c] = 255u;
    high[c] = 0u;
  }
  __syncthreads();
  for (int c = 0; c < 3; ++c) {
    u32 least = 255u, most = 0u;
    each_read(p + c * area, area, [&](u32 x) {
      least = x < least ? x : least;
      most = x > most ? x : most;
    });
    atomicMin(&low[c], least);
    atomicMax(&high[c], most);
  }
  __syncthreads();
  EACH(i, 768u) {
    int x = int(i & 255u), l = int(low[i >> 8]), h = int(high[i >> 8]);
    double scale = 255.0 / double(h - l > 0 ? h - l : 1), offset = double(-l) * scale;
    int stretched = at_most(at_least(int(double(x) * scale + offset), 0), 255);
    table[i >> 8][x] = u8(h > l ? stretched : x);
  }
  __syncthreads();
  for (int c = 0; c < 3; ++c) {
    const u8* row = table[c];
    each_byte(p + c * area, area, [=](u32 x) { return u32(row[x]); });
  }
}

FUNCTION void equalize(u8* p, u32 area) {
  __shared__ u32 counts[768], sums[2][768], last[3];
  __shared__ u8 table[768];
  EACH(i, 768u) counts[i] = 0;
  EACH(c, 3u) last[c] = 0;
  __syncthreads();
  for (u32 c = 0; c < 3; ++c) {
    u32* row = counts + 256 * c;
    each_read(p + c * area, area, [=](u32 x) { atomicAdd(row + x, 1u); });
  }
  __syncthreads();
  EACH(i, 768u) {
    sums[0][i] = counts[i];
    if (counts[i]) atomicMax(&last[i >> 8], i & 255u);
  }
  __syncthreads();
  // Sums up to each value, in eight doublings.
  for (u32 k = 0; k < 8; ++k) {
    const u32 *from = sums[k & 1u], reach = 1u << k;
    u32* to = sums[~k & 1u];
    EACH(i, 768u) to[i] = from[i] + ((i & 255u) >= reach ? from[i - reach] : 0u);
    __syncthreads();
  }
  EACH(i, 768u) {
    u32 step = (area - counts[(i & ~255u) + last[i >> 8]]) / 255u;
    u32 value = (step / 2 + sums[0][i] - counts[i]) / (step ? step : 1u);
    table[i] = u8(step == 0 ? i & 255u : value < 255u ? value : 255u);
  }
  __syncthreads();
  for (u32 c = 0; c < 3; ++c) {
    const u8* row = table + 256 * c;
    each_byte(p + c * area, area, [=](u32 x) { return u32(row[x]); });
  }
}

}  // namespace program_steps
