// Stage 1 (kernels/lattice.py): random fields and composed controls at the nodes of a coarse lattice.
// One block makes one sample's nodes. A node's controls live in its place of the output from start to end,
// and only the thread that owns the node touches them; threads meet at barriers for what all of them read:
// the noise, its first product with the basis, and reductions.

struct LatticeArgs {
  const Sample* samples;
  const Transform* transforms;
  const float* basis;
  float* nodes;    // (n, nodes_y, nodes_x, NODE)
  float* fields;   // scratch (n, 4, nodes_y, nodes_x)
  float* columns;  // scratch (n, nodes_y, widest kx)
  int* modes;      // (n,): color mode of each sample
  int n_transforms, widest;
  int nodes_y, nodes_x, pitch, height, width;
  u32 seed_low, seed_high;
  float center;
};

#define MOST_THREADS 256

// Largest (or smallest, for sign = -1) value over the block; exact, so its order does not matter. Callers
// meet at a barrier between two calls, so nobody writes a partial result that another still reads.
FUNCTION float block_largest(float value, float sign, float* partial) {
  partial[threadIdx.x] = sign * value;
  __syncthreads();
  float largest = partial[0];
  for (int i = 1; i < int(blockDim.x); ++i) largest = larger(largest, partial[i]);
  return sign * largest;
}

FUNCTION int n_fields(int kind) { return kind == ROTATE ? 1 : kind == COLOR ? 4 : kind == HSV ? 3 : 2; }

// One random field at every node, scaled to `amplitude`; z is shared scratch, column and field are global.
// Two barriers a field suffice: whoever writes the next field's noise has passed the second, before which
// all have read this one's, and whoever writes the next columns has passed the first of that field.
FUNCTION void draw_field(const LatticeArgs& a, const Sample& s, const Transform& t, float gamma, int f,
                         float amplitude, float* z, float* column, float* field, float* partial) {
  int n_nodes = a.nodes_y * a.nodes_x, n_noise = t.ky * t.kx;
  if (t.law == CONSTANT || amplitude == 0.0f) {
    if (t.law != CONSTANT) amplitude = 0.0f;  // not -0.0
    for (int i = threadIdx.x; i < n_nodes; i += blockDim.x) field[i] = amplitude;
    return;
  }
  u32 first = (t.first_field + u32(f) + 1u) * FIELD_DRAWS;
  for (int i = threadIdx.x; 4 * i < n_noise; i += blockDim.x) {
    float four[4];
    normals({s.sample, s.epoch, s.stream | t.slot, first + u32(i)}, a.seed_low, a.seed_high, four);
    for (int k = 0; k < 4 && 4 * i + k < n_noise; ++k) {
      int at = 4 * i + k;
      float spectrum = 1.0f;
      if (t.law == POWER) spectrum = exp2_(fma_(-0.5f * gamma, a.basis[t.log_k + at], a.basis[t.bonus + at]));
      z[at] = t.law == POWER ? four[k] * spectrum : four[k];
    }
  }
  __syncthreads();
  for (int i = threadIdx.x; i < a.nodes_y * t.kx; i += blockDim.x) {
    int y = i / t.kx, b = i % t.kx;
    float sum = 0.0f;
    for (int k = 0; k < t.ky; ++k) sum = fma_(a.basis[t.by + y * t.ky + k], z[k * t.kx + b], sum);
    column[i] = sum;
  }
  __syncthreads();
  float largest = 0.0f;
  for (int i = threadIdx.x; i < n_nodes; i += blockDim.x) {
    int y = i / a.nodes_x, x = i % a.nodes_x;
    float sum = 0.0f;
    for (int k = 0; k < t.kx; ++k) sum = fma_(column[y * t.kx + k], a.basis[t.bx + k * a.nodes_x + x], sum);
    field[i] = sum;
    largest = larger(largest, fabsf(sum));
  }
  float inverse = 1.0f;
  if (t.law == POWER) {
    largest = block_largest(largest, 1.0f, partial);
    inverse = largest > 0.0f ? 1.0f / largest : 0.0f;
  }
  for (int i = threadIdx.x; i < n_nodes; i += blockDim.x) field[i] = field[i] * inverse * amplitude;
}

// Apply one geometric transform to a node's position in centered unit coordinates.
FUNCTION void move(int kind, float first, float second, float& x, float& y) {
  float px = x, py = y;
  if (kind == TRANSLATE) {
    x = px + first;
    y = py + second;
  } else if (kind == SCALE) {
    x = fma_(first, px, px);
    y = fma_(second, py, py);
  } else if (kind == SHEAR) {
    x = fma_(first, py, px);
    y = fma_(second, px, py);
  } else {
    float s, c;
    sincospi_(first, s, c);
    x = fma_(c, px, -(s * py));
    y = fma_(s, px, c * py);
  }
}

// Compose one brightness, contrast, saturation, hue step onto a node's linear color.
FUNCTION void recolor(float b, float c, float s, float h, float center, float* node) {
  float brightness = larger(b + 1.0f, 0.0f), contrast = larger(c + 1.0f, 0.0f);
  float saturation = larger(s + 1.0f, 0.0f);
  float sine, cosine;
  sincospi_(smaller(larger(h, -1.0f), 1.0f), sine, cosine);
  float gain = brightness * contrast, chroma = gain * saturation;
  node[2] = gain * node[2];
  node[3] = fma_(gain, node[3], center * (1.0f - contrast));
  float p = node[4], q = node[5];
  node[4] = chroma * fma_(p, cosine, -(q * sine));
  node[5] = chroma * fma_(p, sine, q * cosine);
}

// Largest factor <= kappa that keeps det(I + factor [[e, f], [g, h]]) >= FOLD_MARGIN below it.
FUNCTION float safe_corner(float e, float f, float g, float h, float kappa) {
  float trace = e + h, det = fma_(e, h, -(f * g)), room = 1.0f - FOLD_MARGIN;
  float inner = fma_(trace, trace, -4.0f * (det * room));
  if (inner >= 0.0f) {
    float divisor = __fsqrt_rn(inner) - trace;
    if (divisor > 0.0f) kappa = smaller(kappa, (room + room) / divisor);
  }
  return kappa;
}

// Largest factor <= 1 for the displacement so that no bilinear cell folds (exact: see the CPU twin).
FUNCTION float unfold_factor(const LatticeArgs& a, const float* ux, const float* uy, float per_pitch, float* partial) {
  float kappa = 1.0f;
  int w = a.nodes_x, cells_x = w - 1, n_cells = (a.nodes_y - 1) * cells_x;
  for (int i = threadIdx.x; i < n_cells; i += blockDim.x) {
    int at = i / cells_x * w + i % cells_x;
    float top_x = (ux[at + 1] - ux[at]) * per_pitch, top_y = (uy[at + 1] - uy[at]) * per_pitch;
    float low_x = (ux[at + w + 1] - ux[at + w]) * per_pitch, low_y = (uy[at + w + 1] - uy[at + w]) * per_pitch;
    float left_x = (ux[at + w] - ux[at]) * per_pitch, left_y = (uy[at + w] - uy[at]) * per_pitch;
    float right_x = (ux[at + w + 1] - ux[at + 1]) * per_pitch, right_y = (uy[at + w + 1] - uy[at + 1]) * per_pitch;
    kappa = safe_corner(top_x, left_x, top_y, left_y, kappa);
    kappa = safe_corner(top_x, right_x, top_y, right_y, kappa);
    kappa = safe_corner(low_x, left_x, low_y, left_y, kappa);
    kappa = safe_corner(low_x, right_x, low_y, right_y, kappa);
  }
  return block_largest(kappa, -1.0f, partial);
}

extern "C" __global__ void __launch_bounds__(MOST_THREADS) lattice(const LatticeArgs a) {
  DYNAMIC_SHARED(z);
  __shared__ float partial[MOST_THREADS];
  int n = blockIdx.x, n_nodes = a.nodes_y * a.nodes_x;
  const Sample& s = a.samples[n];
  float* nodes = a.nodes + u64(n) * n_nodes * NODE;
  float* fields = a.fields + u64(n) * n_nodes * 4;
  float* column = a.columns + u64(n) * a.nodes_y * a.widest;
  float unit = 0.5f * float(at_most(a.height, a.width)), per_pixel = 1.0f / unit;
  float middle_x = 0.5f * float(a.width), middle_y = 0.5f * float(a.height);
  for (int i = threadIdx.x; i < n_nodes; i += blockDim.x) {
    float* node = nodes + u64(i) * NODE;
    node[0] = (float(i % a.nodes_x * a.pitch) - middle_x) * per_pixel;
    node[1] = (float(i / a.nodes_x * a.pitch) - middle_y) * per_pixel;
    node[2] = node[4] = 1.0f;
    for (int k = 6; k < NODE; ++k) node[k] = 0.0f;
    node[3] = node[5] = 0.0f;
  }
  int mode = 0;
  bool moved = false, guard = false;
  for (int rank = 0; rank < a.n_transforms; ++rank) {
    int index = s.order[rank];
    if (!(s.active >> index & 1u)) continue;  // the same for the whole block
    const Transform& t = a.transforms[index];
    for (int f = 0; f < n_fields(t.kind); ++f)
      draw_field(a, s, t, s.gamma[index], f, s.amplitude[index][f], z, column, fields + f * n_nodes, partial);
    for (int i = threadIdx.x; i < n_nodes; i += blockDim.x) {
      float* node = nodes + u64(i) * NODE;
      const float* v = fields + i;
      if (t.kind == COLOR) {
        recolor(v[0], v[n_nodes], v[2 * n_nodes], v[3 * n_nodes], a.center, node);
      } else if (t.kind == HSV) {
        node[6] = v[0];
        node[7] = v[n_nodes];
        node[8] = v[2 * n_nodes];
      } else {
        move(t.kind, v[0], t.kind == ROTATE ? 0.0f : v[n_nodes], node[0], node[1]);
      }
    }
    if (t.kind == COLOR) mode |= LINEAR;
    else if (t.kind == HSV) mode |= ADDITIVE_HSV;
    else {
      moved = true;
      guard = guard || t.guard != 0;
    }
  }
  float amount = unit;
  if (moved) {
    for (int i = threadIdx.x; i < n_nodes; i += blockDim.x) {
      const float* node = nodes + u64(i) * NODE;
      fields[i] = node[0] - (float(i % a.nodes_x * a.pitch) - middle_x) * per_pixel;
      fields[n_nodes + i] = node[1] - (float(i / a.nodes_x * a.pitch) - middle_y) * per_pixel;
    }
    if (guard) {
      __syncthreads();  // corners read their neighbors' displacements
      amount = unit * unfold_factor(a, fields, fields + n_nodes, unit / float(a.pitch), partial);
    }
  }
  float scale = mode & ADDITIVE_HSV ? 1.0f : ONE_255TH;
  for (int i = threadIdx.x; i < n_nodes; i += blockDim.x) {
    float* node = nodes + u64(i) * NODE;
    float qx = float(i % a.nodes_x * a.pitch), qy = float(i / a.nodes_x * a.pitch);
    if (moved) {
      qx = fma_(fields[i], amount, qx);
      qy = fma_(fields[n_nodes + i], amount, qy);
    }
    node[0] = fma_(s.affine[0], qx, fma_(s.affine[1], qy, s.affine[2]));
    node[1] = fma_(s.affine[3], qx, fma_(s.affine[4], qy, s.affine[5]));
    node[2] = node[2] * scale;
    node[4] = node[4] * scale;
    node[5] = node[5] * scale;
  }
  if (threadIdx.x == 0) a.modes[n] = mode;
}
