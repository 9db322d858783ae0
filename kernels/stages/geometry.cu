// Affine resampling in fixed point (kernels/stages/geometry.py), from one buffer to another.
#define FINE_BITS 28

namespace program_steps {

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

}  // namespace program_steps
