// Programs of 8-bit operations (kernels/stages/program.py): a block runs all steps of one sample.
// Steps that look at one pixel work in place, the others from one of two buffers into the other. Where planes
// are whole words, a thread takes four pixels at a time.
#define HAS_PROGRAM

enum Operation {
  OP_IDENTITY, OP_NEAREST, OP_BILINEAR, OP_BRIGHTNESS, OP_COLOR, OP_CONTRAST, OP_SHARPNESS, OP_POSTERIZE,
  OP_SOLARIZE, OP_SOLARIZE_ADD, OP_INVERT, OP_AUTOCONTRAST, OP_EQUALIZE, OP_FILL_BOX, OP_BLUR, OP_NOISE,
  OP_RESTORE, OP_ACCUMULATE, OP_RESOLVE
};
#define FINE_BITS 28
#define MAX_RADIUS 15
#define BLUR_TILE 32
#define BLUR_HALO (BLUR_TILE + 2 * MAX_RADIUS)

struct Step {
  int op;
  int whole[8];
  u8 fill[4];
  float value;
};

struct ProgramArgs {
  const Step* program;
  const Sample* samples;
  u8* working;  // n samples of three planes; scratch and origin likewise, all of them aligned to words
  u8* scratch;
  u8* origin;  // only where the program has RESTORE
  u32* sums;   // only where it has ACCUMULATE
  int n_steps, height, width;
  u32 seed_low, seed_high;
};

namespace program_steps {

#define EACH(i, n) for (u32 i = threadIdx.x; i < (n); i += blockDim.x)

// ---------------------------------------------------------------- loops over bytes

FUNCTION u32 byte_of(u32 word, int k) { return word >> (8 * k) & 255u; }

// visit(byte) of each byte, by words where they are aligned; bytes stay as they are.
template <class F> FUNCTION void each_read(const u8* p, u32 n, F visit) {
  u32 head = u32(-u64(p) & 3u);
  head = head < n ? head : n;
  u32 words = (n - head) / 4, tail = head + 4 * words;
  const u32* aligned = (const u32*)(p + head);
  EACH(i, head) visit(u32(p[i]));
  EACH(i, words) {
    u32 word = aligned[i];
    for (int k = 0; k < 4; ++k) visit(byte_of(word, k));
  }
  EACH(i, n - tail) visit(u32(p[tail + i]));
}

// Each byte becomes change(byte), below 256.
template <class F> FUNCTION void each_byte(u8* p, u32 n, F change) {
  u32 head = u32(-u64(p) & 3u);
  head = head < n ? head : n;
  u32 words = (n - head) / 4, tail = head + 4 * words;
  u32* aligned = (u32*)(p + head);
  EACH(i, head) p[i] = u8(change(u32(p[i])));
  EACH(i, words) {
    u32 word = aligned[i], out = 0;
    for (int k = 0; k < 4; ++k) out |= change(byte_of(word, k)) << (8 * k);
    aligned[i] = out;
  }
  EACH(i, n - tail) p[tail + i] = u8(change(u32(p[tail + i])));
}

// change(r, g, b) of each pixel of three planes, by reference.
template <class F> FUNCTION void each_pixel(u8* p, u32 area, F change) {
  if (area & 3u) {  // some plane does not begin with a word
    EACH(i, area) {
      u32 r = p[i], g = p[area + i], b = p[2 * area + i];
      change(r, g, b);
      p[i] = u8(r);
      p[area + i] = u8(g);
      p[2 * area + i] = u8(b);
    }
    return;
  }
  u32 *red = (u32*)p, *green = (u32*)(p + area), *blue = (u32*)(p + 2 * area);
  EACH(i, area / 4) {
    u32 rs = red[i], gs = green[i], bs = blue[i], out_r = 0, out_g = 0, out_b = 0;
    for (int k = 0; k < 4; ++k) {
      u32 r = byte_of(rs, k), g = byte_of(gs, k), b = byte_of(bs, k);
      change(r, g, b);
      out_r |= r << (8 * k);
      out_g |= g << (8 * k);
      out_b |= b << (8 * k);
    }
    red[i] = out_r;
    green[i] = out_g;
    blue[i] = out_b;
  }
}

// From one buffer to another that is aligned alike.
FUNCTION void copy(const u8* from, u8* to, u32 n) {
  u32 head = u32(-u64(to) & 3u);
  head = head < n ? head : n;
  u32 words = (n - head) / 4, tail = head + 4 * words;
  const u32* aligned = (const u32*)(from + head);
  u32* out = (u32*)(to + head);
  EACH(i, head) to[i] = from[i];
  EACH(i, words) out[i] = aligned[i];
  EACH(i, n - tail) to[tail + i] = from[tail + i];
}

// ---------------------------------------------------------------- one pixel

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

// ---------------------------------------------------------------- histograms

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

// ---------------------------------------------------------------- geometry

// N neighboring pixels of a row: their bytes, the first lowest.
struct Run { u32 r, g, b; };

FUNCTION void set(Run& run, int k, u32 r, u32 g, u32 b) {
  run.r |= r << (8 * k);
  run.g |= g << (8 * k);
  run.b |= b << (8 * k);
}

template <int N> FUNCTION void store(const Run& run, u8* out, u32 area, u32 first) {
  if constexpr (N == 4) {
    *(u32*)(out + first) = run.r;
    *(u32*)(out + area + first) = run.g;
    *(u32*)(out + 2 * area + first) = run.b;
  } else {
    out[first] = u8(run.r);
    out[area + first] = u8(run.g);
    out[2 * area + first] = u8(run.b);
  }
}

template <int N> FUNCTION void nearest(const u8* in, u8* out, const Step& step, int height, int width) {
  const u32 area = u32(height) * u32(width), across = u32(width) / N;
  // Modulo 2^32: every sum fits, but not every product.
  const u32 w0 = u32(step.whole[0]), w1 = u32(step.whole[1]), w2 = u32(step.whole[2]);
  const u32 w3 = u32(step.whole[3]), w4 = u32(step.whole[4]), w5 = u32(step.whole[5]);
  const u32 fill_r = step.fill[0], fill_g = step.fill[1], fill_b = step.fill[2];
  EACH(i, area / N) {
    u32 y = i / across, x = (i - y * across) * N;
    u32 sx = w0 * x + w1 * y + w2, sy = w3 * x + w4 * y + w5;
    Run run = {};
    for (int k = 0; k < N; ++k) {
      int column = int(sx) >> 16, row = int(sy) >> 16;
      if (column >= 0 && column < width && row >= 0 && row < height) {
        u32 at = u32(row) * u32(width) + u32(column);
        set(run, k, in[at], in[area + at], in[2 * area + at]);
      } else {
        set(run, k, fill_r, fill_g, fill_b);
      }
      sx += w0;
      sy += w3;
    }
    store<N>(run, out, area, i * N);
  }
}

// A coordinate between two pixels' centers: their indices and the second one's weight.
FUNCTION float locate(i64 at, int side, int& low, int& high) {
  at -= i64(1) << (FINE_BITS - 1);
  int whole = int(at >> FINE_BITS);
  low = at_least(whole, 0);
  high = at_most(whole + 1, side - 1);
  return float(int((at & ((i64(1) << FINE_BITS) - 1)) >> (FINE_BITS - 24))) * 5.9604644775390625e-8f;
}

template <int N> FUNCTION void bilinear_(const u8* in, u8* out, const Step& step, int height, int width) {
  const u32 area = u32(height) * u32(width), across = u32(width) / N;
  const i64 one = i64(1) << FINE_BITS, x_end = width * one, y_end = height * one;
  const int w0 = step.whole[0], w1 = step.whole[1], w3 = step.whole[3], w4 = step.whole[4];
  const i64 x_first = step.whole[2] * one + step.whole[6], y_first = step.whole[5] * one + step.whole[7];
  const u32 fill_r = step.fill[0], fill_g = step.fill[1], fill_b = step.fill[2];
  EACH(i, area / N) {
    int y = int(i / across), x = int(i - u32(y) * across) * N;
    i64 sx = i64(w0) * x + i64(w1) * y + x_first, sy = i64(w3) * x + i64(w4) * y + y_first;
    Run run = {};
    for (int k = 0; k < N; ++k) {
      if (sx >= 0 && sx < x_end && sy >= 0 && sy < y_end) {
        int left, right, top, low;
        float u = locate(sx, width, left, right), v = locate(sy, height, top, low);
        u32 a = u32(top * width + left), b = u32(top * width + right);
        u32 c = u32(low * width + left), d = u32(low * width + right), values[3];
        for (u32 channel = 0; channel < 3; ++channel) {
          const u8* plane = in + channel * area;
          values[channel] = u32(int(lerp(lerp(float(plane[a]), float(plane[b]), u),
                                   lerp(float(plane[c]), float(plane[d]), u), v)));
        }
        set(run, k, values[0], values[1], values[2]);
      } else {
        set(run, k, fill_r, fill_g, fill_b);
      }
      sx += w0;
      sy += w3;
    }
    store<N>(run, out, area, i * N);
  }
}

// ---------------------------------------------------------------- neighborhoods

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

// ---------------------------------------------------------------- sums of chains

FUNCTION void accumulate(const u8* p, u32* sums, u32 n, u32 weight, bool first) {
  EACH(i, n) sums[i] = (first ? 0u : sums[i]) + p[i] * weight;
}

FUNCTION void resolve(const u32* sums, u8* p, u32 n) {
  EACH(i, n) p[i] = u8((sums[i] + 32768u) >> 16);
}

}  // namespace program_steps

extern "C" __global__ void __launch_bounds__(256) program(const ProgramArgs a) {
  using namespace program_steps;
  const int height = a.height, width = a.width;
  const u32 area = u32(height) * u32(width), n = 3 * area;
  const u64 offset = u64(blockIdx.x) * n;
  const Step* steps = a.program + u64(blockIdx.x) * u32(a.n_steps);
  u8 *home = a.working + offset, *now = home, *next = a.scratch + offset;
  bool restores = false, summed = false;
  for (int j = 0; j < a.n_steps; ++j) restores |= steps[j].op == OP_RESTORE;
  if (restores) {
    copy(now, a.origin + offset, n);
    __syncthreads();
  }
  for (int j = 0; j < a.n_steps; ++j) {
    const Step& step = steps[j];
    const int op = step.op, whole = step.whole[0], other = step.whole[1];
    const float value = step.value;
    bool moved = false;  // to the other buffer
    switch (op) {
      case OP_IDENTITY: continue;
      case OP_NEAREST:
        if (width % 4) nearest<1>(now, next, step, height, width);
        else nearest<4>(now, next, step, height, width);
        moved = true;
        break;
      case OP_BILINEAR:
        if (width % 4) bilinear_<1>(now, next, step, height, width);
        else bilinear_<4>(now, next, step, height, width);
        moved = true;
        break;
      case OP_BRIGHTNESS: blend_with(now, n, 0, value); break;
      case OP_COLOR: color(now, area, value); break;
      case OP_CONTRAST: blend_with(now, n, mean_luma(now, area), value); break;
      case OP_SHARPNESS:
        sharpness(now, next, value, height, width);
        moved = true;
        break;
      case OP_POSTERIZE: {
        u32 mask = 255u << (8 - whole) & 255u;
        each_byte(now, n, [=](u32 x) { return x & mask; });
        break;
      }
      case OP_SOLARIZE:
      case OP_INVERT: {
        u32 threshold = op == OP_INVERT ? 0u : u32(whole);
        each_byte(now, n, [=](u32 x) { return x < threshold ? x : 255u - x; });
        break;
      }
      case OP_SOLARIZE_ADD:
        each_byte(now, n, [=](u32 x) { return u32(int(x) < other ? at_most(int(x) + whole, 255) : int(x)); });
        break;
      case OP_AUTOCONTRAST: autocontrast(now, area); break;
      case OP_EQUALIZE: equalize(now, area); break;
      case OP_FILL_BOX: fill_box(now, step, area, width); break;
      case OP_BLUR:
        if (value > 0.0f) {
          blur(now, next, value, height, width);
          moved = true;
        }
        break;
      case OP_NOISE: {
        const Sample& s = a.samples[blockIdx.x];
        noise(now, {s.sample, s.epoch, s.stream | u32(whole), 0}, a, area, value);
        break;
      }
      case OP_RESTORE: copy(a.origin + offset, now, n); break;
      case OP_ACCUMULATE:
        accumulate(now, a.sums + offset, n, u32(whole), !summed);
        summed = true;
        break;
      case OP_RESOLVE:
        if (summed) resolve(a.sums + offset, now, n);
        summed = false;
        break;
    }
    __syncthreads();
    if (moved) {
      u8* swap = now;
      now = next;
      next = swap;
    }
  }
  if (now != home) copy(now, home, n);
}
