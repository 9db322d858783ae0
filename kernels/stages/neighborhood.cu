// Sharpness and Gaussian blur (kernels/stages/neighborhood.py), from one buffer to another.
#define MAX_RADIUS 15
#define BLUR_TILE 32
#define BLUR_HALO (BLUR_TILE + 2 * MAX_RADIUS)

namespace program_steps {

FUNCTION u32 three(const u8* p) { return u32(p[-1]) + p[0] + p[1]; }

FUNCTION void sharpness(const u8* in, u8* out, float factor, int height, int width) {
  const u32 area = u32(height) * u32(width);
  EACH(i, area) {
    int y = int(i / u32(width)), x = int(i - u32(y) * u32(width));
    bool border = y == 0 || x == 0 || y == height - 1 || x == width - 1;
    for (u32 c = 0; c < 3; ++c) {
      const u8* p = in + c * area + i;
      u32 value = *p;
      if (!border) {
        u32 total = three(p - width) + three(p) + three(p + width) + 4 * value;
        value = blend(float((total + 6) * 5042 >> 16), value, factor);
      }
      out[c * area + i] = u8(value);
    }
  }
}

FUNCTION int reflect(int i, int n) {
  if (n == 1) return 0;
  i = (i < 0 ? -i : i) % (2 * n - 2);
  return at_most(i, 2 * n - 2 - i);
}

// Half a Gaussian kernel, center first, for use behind the next barrier; returns its radius.
FUNCTION int blur_weights(float sigma, float* weights) {
  int radius = at_most(int(-floorf(-3.0f * sigma)), MAX_RADIUS);
  if (threadIdx.x == 0) {
    float rate = -0.72134752f / (sigma * sigma), total = 1.0f;
    weights[0] = 1.0f;
    for (int k = 1; k <= radius; ++k) {
      weights[k] = exp2_(rate * float(k * k));
      total = fma_(weights[k], 2.0f, total);
    }
    for (int k = 0; k <= radius; ++k) weights[k] = weights[k] / total;
  }
  return radius;
}

FUNCTION void blur(const u8* in, u8* out, float sigma, int height, int width) {
  __shared__ float weights[MAX_RADIUS + 1], between[BLUR_TILE][BLUR_HALO];
  __shared__ u8 raw[BLUR_HALO][BLUR_HALO];
  const int radius = blur_weights(sigma, weights), halo = BLUR_TILE + 2 * radius;
  const int across = (width + BLUR_TILE - 1) / BLUR_TILE, down = (height + BLUR_TILE - 1) / BLUR_TILE;
  const u32 area = u32(height) * u32(width);
  for (int tile = 0; tile < 3 * down * across; ++tile) {
    const u32 plane = u32(tile / (down * across)) * area;
    const int top = tile / across % down * BLUR_TILE, left = tile % across * BLUR_TILE;
    EACH(i, u32(halo * halo)) {
      int y = int(i) / halo, x = int(i) % halo;
      int row = reflect(top + y - radius, height), column = reflect(left + x - radius, width);
      raw[y][x] = in[plane + u32(row) * u32(width) + u32(column)];
    }
    __syncthreads();
    EACH(i, u32(BLUR_TILE * halo)) {
      int y = int(i) / halo + radius, x = int(i) % halo;
      float sum = weights[0] * float(raw[y][x]);
      for (int k = 1; k <= radius; ++k) sum = fma_(weights[k], float(int(raw[y - k][x]) + int(raw[y + k][x])), sum);
      between[y - radius][x] = sum;
    }
    __syncthreads();
    EACH(i, u32(BLUR_TILE * BLUR_TILE)) {
      int y = int(i) / BLUR_TILE, x = int(i) % BLUR_TILE + radius;
      if (top + y >= height || left + x - radius >= width) continue;
      float sum = weights[0] * between[y][x];
      for (int k = 1; k <= radius; ++k) sum = fma_(weights[k], between[y][x - k] + between[y][x + k], sum);
      out[plane + u32(top + y) * u32(width) + u32(left + x - radius)] = u8(cut(sum + 0.5f));
    }
  }
}

}  // namespace program_steps
