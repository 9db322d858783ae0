// FMix masks (kernels/stages/masks.py, mask_ranks.py): a random field a mask, thresholded by rank. One block
// makes one mask. From the nodes to the pixels all is whole numbers, so counts do not depend on the
// number of threads, and a pixel's level is computed anew wherever it is needed instead of stored.
#define HAS_MASKS

struct Mask {
  u64 out;
  int sample, count, soft;
  u32 slot;
};

struct MasksArgs {
  const Mask* masks;
  const Sample* samples;
  const float* tables;
  float* columns;  // scratch (k, nodes_y, waves)
  float* fields;   // scratch (k, nodes_y, nodes_x)
  int* nodes;      // scratch (k, nodes_y, nodes_x)
  int* ties;       // scratch (k, width)
  int waves, nodes_y, nodes_x, shift;  // pitch = 1 << shift
  int height, width;
  u32 seed_low, seed_high;
};

#define MASK_THREADS 256
#define MASK_LEVELS 65536
#define MASK_BINS 1024
#define MASK_STEPS 24
#define MASK_TOP 65535.0f

// One mask's field at the nodes.
struct MaskField {
  const int* nodes;
  int nodes_x, shift, pitch, height, width;
};

// Sum over the block, known to all. The last barrier lets the next call write.
FUNCTION int mask_sum(int value, int* partial) {
  int t = threadIdx.x, threads = blockDim.x;
  partial[t] = value;
  for (int half = MASK_THREADS / 2; half > 0; half /= 2) {
    __syncthreads();
    if (t < half && t + half < threads) partial[t] += partial[t + half];
  }
  __syncthreads();
  int total = partial[0];
  __syncthreads();
  return total;
}

// Largest value over the block; exact, so its order does not matter.
FUNCTION float mask_largest(float value, float* partial) {
  int t = threadIdx.x, threads = blockDim.x;
  partial[t] = value;
  for (int half = MASK_THREADS / 2; half > 0; half /= 2) {
    __syncthreads();
    if (t < half && t + half < threads) partial[t] = larger(partial[t], partial[t + half]);
  }
  __syncthreads();
  float largest = partial[0];
  __syncthreads();
  return largest;
}

// The field of one mask at its nodes, stretched to whole numbers 0..65535; the caller puts a barrier behind it.
FUNCTION void mask_nodes(const MasksArgs& a, const Mask& m, float* z, float* column, float* field, int* nodes,
                         float* partial) {
  const Sample& s = a.samples[m.sample];
  int n_noise = a.waves * a.waves, n_nodes = a.nodes_y * a.nodes_x;
  for (int i = threadIdx.x; 4 * i < n_noise; i += blockDim.x) {
    float four[4];
    normals({s.sample, s.epoch, s.stream | m.slot, FIELD_DRAWS + u32(i)}, a.seed_low, a.seed_high, four);
    for (int k = 0; k < 4 && 4 * i + k < n_noise; ++k) z[4 * i + k] = four[k] * a.tables[4 * i + k];
  }
  const float* by = a.tables + n_noise;
  const float* bx = by + a.nodes_y * a.waves;
  __syncthreads();
  for (int i = threadIdx.x; i < a.nodes_y * a.waves; i += blockDim.x) {
    int y = i / a.waves, b = i % a.waves;
    float sum = 0.0f;
    for (int k = 0; k < a.waves; ++k) sum = fma_(by[y * a.waves + k], z[k * a.waves + b], sum);
    column[i] = sum;
  }
  __syncthreads();
  float low = 3.0e38f, high = -3.0e38f;
  for (int i = threadIdx.x; i < n_nodes; i += blockDim.x) {
    int y = i / a.nodes_x, x = i % a.nodes_x;
    float sum = 0.0f;
    for (int k = 0; k < a.waves; ++k) sum = fma_(column[y * a.waves + k], bx[k * a.nodes_x + x], sum);
    field[i] = sum;
    low = smaller(low, sum);
    high = larger(high, sum);
  }
  high = mask_largest(high, partial);
  low = -mask_largest(-low, partial);
  float scale = high > low ? MASK_TOP / (high - low) : 0.0f;
  for (int i = threadIdx.x; i < n_nodes; i += blockDim.x) nodes[i] = int(fma_(field[i] - low, scale, 0.5f));
}

// `pitch` times the field on row i of the nodes at column x.
FUNCTION int mask_across(const MaskField& f, int i, int x) {
  const int* node = f.nodes + i * f.nodes_x + (x >> f.shift);
  int t = x & (f.pitch - 1);
  return node[0] * (f.pitch - t) + node[1] * t;
}

// A strip of pixels of one column between two rows of nodes: pitch^2 times the field, and its step.
struct MaskStrip { int x, y, rows, value, slope; };

FUNCTION MaskStrip mask_strip(const MaskField& f, int i, int x) {
  int upper = mask_across(f, i, x), lower = mask_across(f, i + 1, x), y = i << f.shift;
  return {x, y, at_most(f.pitch, f.height - y), upper * f.pitch, lower - upper};
}

FUNCTION int mask_strips(const MaskField& f) { return ((f.height + f.pitch - 1) >> f.shift) * f.width; }

// Pixels of at least this level.
FUNCTION int mask_count(const MaskField& f, int level, int* partial) {
  int n = 0, least = level << (2 * f.shift);
  for (int k = threadIdx.x; k < mask_strips(f); k += blockDim.x) {
    MaskStrip strip = mask_strip(f, k / f.width, k % f.width);
    for (int r = 0; r < strip.rows; ++r) {
      n += strip.value >= least;
      strip.value += strip.slope;
    }
  }
  return mask_sum(n, partial);
}

// A level from which on there are `target` pixels (or more, for ties), and how many: `find_level` step by step.
FUNCTION int mask_level(const MaskField& f, int target, int& n_low, int* partial) {
  n_low = 0;
  if (target <= 0) return MASK_LEVELS;
  n_low = f.height * f.width;
  if (target >= n_low) return 0;
  int low = 0, high = MASK_LEVELS, last = 0;
  float surplus = float(n_low - target), deficit = float(target);
  for (int step = 0; high - low > 1; ++step) {
    int middle = (low + high) / 2;
    if (step < MASK_STEPS) {
      middle = low + int(float(high - low) * (surplus / (surplus + deficit)));
      middle = at_most(at_least(middle, low + 1), high - 1);
    }
    int n = mask_count(f, middle, partial);
    if (n == target) {
      n_low = n;
      return middle;
    }
    if (n > target) {
      low = middle;
      n_low = n;
      surplus = float(n - target);
      if (last == 1) deficit *= 0.5f;
      last = 1;
    } else {
      high = middle;
      deficit = float(target - n);
      if (last == -1) surplus *= 0.5f;
      last = -1;
    }
  }
  return low;
}

FUNCTION void mask_harden(const MaskField& f, int level, u8* out) {
  int least = level << (2 * f.shift);
  for (int k = threadIdx.x; k < mask_strips(f); k += blockDim.x) {
    MaskStrip strip = mask_strip(f, k / f.width, k % f.width);
    for (int r = 0; r < strip.rows; ++r) {
      out[i64(strip.y + r) * f.width + strip.x] = strip.value >= least ? 0 : 255;
      strip.value += strip.slope;
    }
  }
}

// As `mask_harden`, but of the pixels of this very level only the first n_own, by column, then by row.
FUNCTION void mask_harden_ties(const MaskField& f, int level, int n_own, int* ties, u8* out) {
  int last = ((f.height + f.pitch - 1) >> f.shift) - 1;
  for (int x = threadIdx.x; x < f.width; x += blockDim.x) {
    int n = 0;
    for (int i = 0; i <= last; ++i) {
      MaskStrip strip = mask_strip(f, i, x);
      for (int r = 0; r < strip.rows; ++r) {
        n += strip.value >> (2 * f.shift) == level;
        strip.value += strip.slope;
      }
    }
    ties[x] = n;
  }
  __syncthreads();
  for (int x = threadIdx.x; x < f.width; x += blockDim.x) {
    int keep = n_own;
    for (int k = 0; k < x; ++k) keep -= ties[k];
    for (int i = 0; i <= last; ++i) {
      MaskStrip strip = mask_strip(f, i, x);
      for (int r = 0; r < strip.rows; ++r) {
        int at = strip.value >> (2 * f.shift);
        out[i64(strip.y + r) * f.width + x] = at > level || (at == level && keep-- > 0) ? 0 : 255;
        strip.value += strip.slope;
      }
    }
  }
}

// 0 from level `high` on, 255 below `low`, linear in rank between; `rank` is that of the first pixel below `high`.
FUNCTION void mask_soften(const MaskField& f, int low, int high, int rank, int soft, int* bins, int* ranks,
                          int* partial, u8* out) {
  int shift = 0, t = threadIdx.x, threads = blockDim.x;
  while ((high - 1 - low) >> shift >= MASK_BINS) ++shift;
  for (int b = t; b < MASK_BINS; b += threads) bins[b] = 0;
  __syncthreads();
  for (int k = t; k < mask_strips(f); k += threads) {
    MaskStrip strip = mask_strip(f, k / f.width, k % f.width);
    for (int r = 0; r < strip.rows; ++r) {
      int level = strip.value >> (2 * f.shift);
      if (level >= low && level < high) atomicAdd(&bins[(level - low) >> shift], 1);
      strip.value += strip.slope;
    }
  }
  __syncthreads();
  // From the highest bin down: a run of bins a thread, behind those of all later threads.
  int run = (MASK_BINS + threads - 1) / threads, first = at_most(t * run, MASK_BINS), n = 0;
  int last = at_most(first + run, MASK_BINS) - 1;
  for (int b = first; b <= last; ++b) n += bins[b];
  partial[t] = n;
  __syncthreads();
  for (int k = t + 1; k < threads; ++k) rank += partial[k];
  for (int b = last; b >= first; --b) {
    ranks[b] = rank;
    rank += bins[b];
  }
  __syncthreads();
  float per_rank = 127.5f / float(soft), step = 1.0f / float(1 << shift);
  for (int k = t; k < mask_strips(f); k += threads) {
    MaskStrip strip = mask_strip(f, k / f.width, k % f.width);
    for (int r = 0; r < strip.rows; ++r) {
      int level = strip.value >> (2 * f.shift), value = level >= high ? 0 : 255;
      if (level >= low && level < high) {
        int b = (level - low) >> shift, count = bins[b];
        float base = fma_(step * -0.5f, float(count), float(ranks[b] + count));
        float within = fma_(-(float(count) * step), float(level - low - (b << shift)), base);
        value = int(clip(fma_(within, per_rank, 0.5f), 255.0f));
      }
      out[i64(strip.y + r) * f.width + strip.x] = u8(value);
      strip.value += strip.slope;
    }
  }
}

extern "C" __global__ void __launch_bounds__(MASK_THREADS) masks(const MasksArgs a) {
  DYNAMIC_SHARED(z);
  __shared__ float extremes[MASK_THREADS];
  __shared__ int partial[MASK_THREADS], bins[MASK_BINS], ranks[MASK_BINS];
  int k = blockIdx.x;
  u64 n_nodes = u64(a.nodes_y) * a.nodes_x;
  const Mask& m = a.masks[k];
  int* nodes = a.nodes + k * n_nodes;
  mask_nodes(a, m, z, a.columns + u64(k) * a.nodes_y * a.waves, a.fields + k * n_nodes, nodes, extremes);
  __syncthreads();
  MaskField f{nodes, a.nodes_x, a.shift, 1 << a.shift, a.height, a.width};
  u8* out = (u8*)m.out;
  int n = 0;
  if (m.soft > 0) {
    int high = mask_level(f, m.count - m.soft, n, partial), other = 0;
    if (n > m.count - m.soft && high < MASK_LEVELS) {
      high += 1;
      n = high < MASK_LEVELS ? mask_count(f, high, partial) : 0;
    }
    int low = mask_level(f, m.count + m.soft, other, partial);
    mask_soften(f, low, high, n - (m.count - m.soft), m.soft, bins, ranks, partial, out);
    return;
  }
  // A level above all, or below none, where the mask has one owner.
  int level = mask_level(f, m.count, n, partial);
  if (n <= m.count || m.count <= 0) mask_harden(f, level, out);
  else {
    int above = level + 1 < MASK_LEVELS ? mask_count(f, level + 1, partial) : 0;
    mask_harden_ties(f, level, m.count - above, a.ties + u64(k) * a.width, out);
  }
}
