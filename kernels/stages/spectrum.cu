// PASTA on 8-bit planes (kernels/stages/spectrum.py, spectrum_pass.py, fourier.py): rows forward, columns
// forward, scaled and backward, rows backward: three launches. A block transforms `lanes` lines side by side in
// shared memory: element t of line l lies at [t * lanes + l] of two planes, real and imaginary, and of two
// more that the stages write to in turn. What a line becomes does not depend on the lines beside it.
#define HAS_SPECTRUM
#define MAX_FACTORS 8
#define CHANNEL_DRAWS 1048576u

struct SpectrumArgs {
  const int* active;
  const Sample* samples;
  u8* working;         // (n, 3, height, width)
  const float* tables; // roots of the width and of the height, deviations (height / 2 + 1, bins)
  float* spectrum;     // scratch (n, 3, 2, height, bins): real and imaginary plane
  int height, width, lanes_x, lanes_y;
  int factors_y[MAX_FACTORS], factors_x[MAX_FACTORS];
  u32 seed_low, seed_high, slot;
};

// Lines in shared memory: where they are, and where the next stage writes.
struct Lines { float *xr, *xi, *yr, *yi; };

// (r, m) times a root of one.
FUNCTION void store_turned(float r, float m, float ur, float ui, float& yr, float& yi) {
  yr = fma_(r, ur, -(m * ui));
  yi = fma_(r, ui, m * ur);
}

FUNCTION void stage_two(const Lines& v, int run, int step, const float* cosine, const float* sine, int total) {
  for (int i = threadIdx.x; i < total / 2; i += blockDim.x) {
    int p = i / run, q = i % run, k = p * step, y = 2 * p * run + q;
    float ar = v.xr[i], ai = v.xi[i], br = v.xr[i + total / 2], bi = v.xi[i + total / 2];
    v.yr[y] = ar + br;
    v.yi[y] = ai + bi;
    store_turned(ar - br, ai - bi, cosine[k], sine[k], v.yr[y + run], v.yi[y + run]);
  }
}

FUNCTION void stage_four(const Lines& v, int run, int step, const float* cosine, const float* sine, int total) {
  int quarter = total / 4;
  for (int i = threadIdx.x; i < quarter; i += blockDim.x) {
    int p = i / run, q = i % run, k = p * step, y = 4 * p * run + q;
    int b = i + quarter, c = b + quarter, d = c + quarter;
    float ar = v.xr[i], ai = v.xi[i], br = v.xr[b], bi = v.xi[b];
    float cr = v.xr[c], ci = v.xi[c], dr = v.xr[d], di = v.xi[d];
    float sr = ar + cr, si = ai + ci, tr = br + dr, ti = bi + di;
    v.yr[y] = sr + tr;
    v.yi[y] = si + ti;
    store_turned(sr - tr, si - ti, cosine[2 * k], sine[2 * k], v.yr[y + 2 * run], v.yi[y + 2 * run]);
    sr = ar - cr, si = ai - ci, tr = br - dr, ti = bi - di;
    store_turned(sr + ti, si - tr, cosine[k], sine[k], v.yr[y + run], v.yi[y + run]);
    store_turned(sr - ti, si + tr, cosine[3 * k], sine[3 * k], v.yr[y + 3 * run], v.yi[y + 3 * run]);
  }
}

// A thread makes result 0, or two opposite results, of one butterfly.
FUNCTION void stage_odd(const Lines& v, int n, int radix, int run, int step, const float* cosine, const float* sine,
                        int total) {
  int part = total / radix, half = (radix - 1) / 2;
  for (int i = threadIdx.x; i < part * (half + 1); i += blockDim.x) {
    int j = i / part, x = i % part, p = x / run, y = radix * p * run + x % run;
    float er = v.xr[x], ei = v.xi[x], odd_r = 0.0f, odd_i = 0.0f;
    for (int k = 1; k <= half; ++k) {
      int a = x + k * part, b = x + (radix - k) * part, root = j * k % radix * (n / radix);
      float pr = v.xr[a] + v.xr[b], pi = v.xi[a] + v.xi[b];
      if (j == 0) {
        er = er + pr;
        ei = ei + pi;
      } else {
        er = fma_(cosine[root], pr, er);
        ei = fma_(cosine[root], pi, ei);
        odd_r = fma_(sine[root], v.xr[a] - v.xr[b], odd_r);
        odd_i = fma_(sine[root], v.xi[a] - v.xi[b], odd_i);
      }
    }
    if (j == 0) {
      v.yr[y] = er;
      v.yi[y] = ei;
    } else {
      int u = j * p * step, w = (radix - j) * p * step, to = y + j * run, opposite = y + (radix - j) * run;
      store_turned(er - odd_i, ei + odd_r, cosine[u], sine[u], v.yr[to], v.yi[to]);
      store_turned(er + odd_i, ei - odd_r, cosine[w], sine[w], v.yr[opposite], v.yi[opposite]);
    }
  }
}

FUNCTION void swap_lines(float*& a, float*& b) {
  float* kept = a;
  a = b;
  b = kept;
}

// Transform lines forward, in x again afterwards. Starts and ends with a barrier.
FUNCTION void transform(Lines& v, int n, int lanes, const int* factors, const float* roots) {
  const float *cosine = roots, *sine = roots + n;
  int run = lanes, total = n * lanes;
  __syncthreads();
  for (int s = 0; s < MAX_FACTORS && factors[s]; ++s) {
    int radix = factors[s], step = run / lanes;
    if (radix == 4) stage_four(v, run, step, cosine, sine, total);
    else if (radix == 2) stage_two(v, run, step, cosine, sine, total);
    else stage_odd(v, n, radix, run, step, cosine, sine, total);
    __syncthreads();
    swap_lines(v.xr, v.yr);
    swap_lines(v.xi, v.yi);
    run *= radix;
  }
}

// The inverse, times n: with real and imaginary parts exchanged.
FUNCTION void transform_back(Lines& v, int n, int lanes, const int* factors, const float* roots) {
  swap_lines(v.xr, v.xi);
  swap_lines(v.yr, v.yi);
  transform(v, n, lanes, factors, roots);
  swap_lines(v.xr, v.xi);
  swap_lines(v.yr, v.yi);
}

FUNCTION Lines lines_of(float* shared, int size) { return {shared, shared + size, shared + 2 * size, shared + 3 * size}; }

// Where a block's sample and channel are.
FUNCTION u64 plane_of(const SpectrumArgs& a) { return u64(blockIdx.z) * 3 + blockIdx.y; }

extern "C" __global__ void __launch_bounds__(256) spectrum_rows(const SpectrumArgs a) {
  DYNAMIC_SHARED(shared);
  if (!a.active[blockIdx.z]) return;
  int h = a.height, w = a.width, bins = w / 2 + 1, pairs = (h + 1) / 2, first = blockIdx.x * a.lanes_x;
  int lanes = at_most(a.lanes_x, pairs - first);
  const u8* plane = a.working + plane_of(a) * h * w;
  float* real = a.spectrum + plane_of(a) * 2 * h * bins;
  float* imag = real + u64(h) * bins;
  Lines v = lines_of(shared, w * lanes);
  for (int i = threadIdx.x; i < w * lanes; i += blockDim.x) {
    int lane = i / w, x = i % w, y = 2 * (first + lane);
    v.xr[x * lanes + lane] = float(plane[y * w + x]);
    v.xi[x * lanes + lane] = y + 1 < h ? float(plane[(y + 1) * w + x]) : 0.0f;
  }
  transform(v, w, lanes, a.factors_x, a.tables);
  for (int i = threadIdx.x; i < bins * lanes; i += blockDim.x) {
    int lane = i / bins, k = i % bins, y = 2 * (first + lane), at = y * bins + k;
    int p = k * lanes + lane, q = (k ? w - k : 0) * lanes + lane;
    real[at] = v.xr[p] + v.xr[q];
    imag[at] = v.xi[p] - v.xi[q];
    if (y + 1 < h) {
      real[at + bins] = v.xi[p] + v.xi[q];
      imag[at + bins] = v.xr[q] - v.xr[p];
    }
  }
}

// Normals of four neighboring bins.
FUNCTION void bin_normals(const SpectrumArgs& a, const Sample& s, int y, int group, int groups, float z[4]) {
  u32 draw = u32(1 + blockIdx.y) * CHANNEL_DRAWS + u32(y * groups + group);
  normals({s.sample, s.epoch, s.stream | a.slot, draw}, a.seed_low, a.seed_high, z);
}

// Four blocks beside each other do; left to itself, ptxas spills on sm_80 to make room for a fifth.
extern "C" __global__ void __launch_bounds__(256, 4) spectrum_columns(const SpectrumArgs a) {
  DYNAMIC_SHARED(shared);
  if (!a.active[blockIdx.z]) return;
  int h = a.height, w = a.width, bins = w / 2 + 1, groups = (bins + 3) / 4, first = blockIdx.x * a.lanes_y;
  int lanes = at_most(a.lanes_y, bins - first);
  const Sample& s = a.samples[blockIdx.z];
  const float *roots = a.tables + 2 * w, *deviation = roots + 2 * h;
  float* real = a.spectrum + plane_of(a) * 2 * h * bins;
  float* imag = real + u64(h) * bins;
  Lines v = lines_of(shared, h * lanes);
  for (int i = threadIdx.x; i < h * lanes; i += blockDim.x) {
    int at = i / lanes * bins + first + i % lanes;
    v.xr[i] = real[at];
    v.xi[i] = imag[at];
  }
  transform(v, h, lanes, a.factors_y, roots);
  int from = first / 4, n_groups = (first + lanes + 3) / 4 - from;
  for (int i = threadIdx.x; i < h * n_groups; i += blockDim.x) {
    int y = i / n_groups, group = from + i % n_groups;
    float z[4], mirrored[4];
    bin_normals(a, s, y, group, groups, z);
    // Columns that hold their own mirror images: bins of negative ky take the factors of those.
    bool mirror = 2 * y > h && (group == 0 || (w % 2 == 0 && group == w / 8));
    if (mirror) bin_normals(a, s, h - y, group, groups, mirrored);
#pragma unroll
    for (int k = 0; k < 4; ++k) {
      int x = 4 * group + k, lane = x - first;
      if (lane < 0 || lane >= lanes) continue;
      float normal = mirror && (x == 0 || 2 * x == w) ? mirrored[k] : z[k];
      float factor = fma_(deviation[at_most(y, h - y) * bins + x], normal, 1.0f);
      v.xr[y * lanes + lane] = v.xr[y * lanes + lane] * factor;
      v.xi[y * lanes + lane] = v.xi[y * lanes + lane] * factor;
    }
  }
  transform_back(v, h, lanes, a.factors_y, roots);
  for (int i = threadIdx.x; i < h * lanes; i += blockDim.x) {
    int at = i / lanes * bins + first + i % lanes;
    real[at] = v.xr[i];
    imag[at] = v.xi[i];
  }
}

extern "C" __global__ void __launch_bounds__(256) spectrum_back(const SpectrumArgs a) {
  DYNAMIC_SHARED(shared);
  if (!a.active[blockIdx.z]) return;
  int h = a.height, w = a.width, bins = w / 2 + 1, pairs = (h + 1) / 2, first = blockIdx.x * a.lanes_x;
  int lanes = at_most(a.lanes_x, pairs - first);
  u8* plane = a.working + plane_of(a) * h * w;
  const float* real = a.spectrum + plane_of(a) * 2 * h * bins;
  const float* imag = real + u64(h) * bins;
  Lines v = lines_of(shared, w * lanes);
  for (int i = threadIdx.x; i < bins * lanes; i += blockDim.x) {
    int lane = i / bins, k = i % bins, y = 2 * (first + lane), at = y * bins + k;
    bool paired = y + 1 < h;
    float ar = real[at], ai = imag[at], br = paired ? real[at + bins] : 0.0f, bi = paired ? imag[at + bins] : 0.0f;
    v.xr[k * lanes + lane] = ar - bi;
    v.xi[k * lanes + lane] = ai + br;
    if (k > 0 && 2 * k < w) {
      v.xr[(w - k) * lanes + lane] = ar + bi;
      v.xi[(w - k) * lanes + lane] = br - ai;
    }
  }
  transform_back(v, w, lanes, a.factors_x, a.tables);
  float scale = 0.5f / float(h * w);
  for (int i = threadIdx.x; i < w * lanes; i += blockDim.x) {
    int lane = i / w, x = i % w, y = 2 * (first + lane);
    plane[y * w + x] = u8(int(clip(fma_(v.xr[x * lanes + lane], scale, 0.5f), 255.0f)));
    if (y + 1 < h) plane[(y + 1) * w + x] = u8(int(clip(fma_(v.xi[x * lanes + lane], scale, 0.5f), 255.0f)));
  }
}
