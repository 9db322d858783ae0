// Steps that look at one pixel (kernels/stages/pointwise.py), noise, and the sums of chains.

namespace program_steps {

// Clipped to 0..255 and cut to an integer.
FUNCTION u32 cut(float v) { return u32(int(clip(v, 255.0f))); }
// d + factor (x - d), product and sum rounded one after the other.
FUNCTION u32 blend(float d, u32 x, float factor) { return cut(d + factor * (float(x) - d)); }
FUNCTION u32 luma(u32 r, u32 g, u32 b) { return (19595u * r + 38470u * g + 7471u * b + 32768u) >> 16; }

FUNCTION void blend_with(u8* p, u32 n, u32 level, float factor) {
  float d = float(level);
  each_byte(p, n, [=](u32 x) { return blend(d, x, factor); });
}

FUNCTION void color(u8* p, u32 area, float factor) {
  each_pixel(p, area, [=](u32& r, u32& g, u32& b) {
    float d = float(luma(r, g, b));
    r = blend(d, r, factor);
    g = blend(d, g, factor);
    b = blend(d, b, factor);
  });
}

// Rounded half up. Integer sums are exact in any order.
FUNCTION u32 mean_luma(const u8* p, u32 area) {
  __shared__ u64 total;
  if (threadIdx.x == 0) total = 0;
  __syncthreads();
  u64 mine = 0;
  if (area & 3u) {
    EACH(i, area) mine += luma(p[i], p[area + i], p[2 * area + i]);
  } else {
    const u32 *red = (const u32*)p, *green = (const u32*)(p + area), *blue = (const u32*)(p + 2 * area);
    EACH(i, area / 4) {
      u32 r = red[i], g = green[i], b = blue[i], four = 0;
      for (int k = 0; k < 4; ++k) four += luma(byte_of(r, k), byte_of(g, k), byte_of(b, k));
      mine += four;
    }
  }
  atomicAdd(&total, mine);
  __syncthreads();
  return u32((2 * total + area) / (2 * u64(area)));
}

FUNCTION void fill_box(u8* p, const Step& step, u32 area, int width) {
  int top = step.whole[0], left = step.whole[1];
  u32 across = u32(step.whole[3] - left), n = u32(step.whole[2] - top) * across;
  u8 r = step.fill[0], g = step.fill[1], b = step.fill[2];
  EACH(i, n) {
    u32 at = (u32(top) + i / across) * u32(width) + u32(left) + i % across;
    p[at] = r;
    p[area + at] = g;
    p[2 * area + at] = b;
  }
}

FUNCTION void noise(u8* p, Words counter, const ProgramArgs& a, u32 area, float sigma) {
  EACH(i, area) {
    counter.d = i;
    float z[4];
    normals(counter, a.seed_low, a.seed_high, z);
    for (int c = 0; c < 3; ++c) {
      u8* at = p + c * area + i;
      *at = u8(cut(fma_(sigma, z[c], float(*at)) + 0.5f));
    }
  }
}

FUNCTION void accumulate(const u8* p, u32* sums, u32 n, u32 weight, bool first) {
  EACH(i, n) sums[i] = (first ? 0u : sums[i]) + p[i] * weight;
}

FUNCTION void resolve(const u32* sums, u8* p, u32 n) {
  EACH(i, n) p[i] = u8((sums[i] + 32768u) >> 16);
}

}  // namespace program_steps
