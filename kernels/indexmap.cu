// Index masks along the geometry of their images, by nearest neighbor (kernels/indexmap.py has the definition).
// Behind a `lattice` launch over the same records. A thread makes ROWS pixels, one below the other, of one
// lattice cell; a warp spans 32 neighboring pixels of a row, as in fused.cu.
//
// Compile-time variants: BORDER, ROWS (4, 2 or 1; divides the pitch). Ids of both types are in each variant.

#ifndef BORDER
#define BORDER REFLECT
#endif
#ifndef ROWS
#define ROWS 1
#endif

struct IndexArgs {
  const Sample* samples;
  const float* nodes;
  u64 out;  // (n, height, width), u8 or int
  int nodes_y, nodes_x, pitch_log2, height, width, ignore;
};

// One axis of a window: what turns a position into its nearest pixel.
struct Axis { float fold, scale, shift, last; };

FUNCTION Axis axis_of(int side, int by) {
  return {float((side + by - 1) / by - 1), float(by), 0.5f * float(by - 1), float(side - 1)};
}

// Whole number of the nearest pixel, which may lie outside the window.
FUNCTION float nearest(const Axis& axis, float p) {
#if BORDER == 0
  float u = fabsf(p);
  p = u > axis.fold ? fma_(axis.fold, 2.0f, -u) : u;
#endif
  return floorf(fma_(p, axis.scale, axis.shift) + 0.5f);
}

struct alignas(8) Position { float x, y; };

FUNCTION Position lerp_position(Position a, Position b, float t) { return {lerp(a.x, b.x, t), lerp(a.y, b.y, t)}; }
FUNCTION Position position_of(const float* node) { return *(const Position*)node; }

template <class Id> FUNCTION void follow(const IndexArgs& a) {
  int n = blockIdx.z;
  const Sample& s = a.samples[n];
  const Axis across = axis_of(s.width, s.reduce[1]), down = axis_of(s.height, s.reduce[0]);
  const u8* source = (const u8*)s.source;
  const u64 stride = u64(s.stride);
  const float* nodes = a.nodes + u64(n) * u32(a.nodes_y * a.nodes_x * NODE);
  Id* out = (Id*)a.out + u64(n) * (u32(a.height) * u32(a.width));
  const int inside = (1 << a.pitch_log2) - 1;
  const float step = __uint_as_float(u32(127 - a.pitch_log2) << 23);  // 1 / pitch
  for (int t = threadIdx.x; t < 256; t += blockDim.x) {
    int x = int(blockIdx.x) * 32 + (t & 31), y = (int(blockIdx.y) * 8 + (t >> 5)) * ROWS;
    if (x >= a.width || y >= a.height) continue;
    const float* node = nodes + u32(((y >> a.pitch_log2) * a.nodes_x + (x >> a.pitch_log2)) * NODE);
    const float* below = node + u32(a.nodes_x * NODE);
    float tx = (float(x & inside) + 0.5f) * step, first_ty = (float(y & inside) + 0.5f) * step;
    Position upper = lerp_position(position_of(node), position_of(node + NODE), tx);
    Position lower = lerp_position(position_of(below), position_of(below + NODE), tx);
#pragma unroll
    for (int j = 0; j < ROWS; ++j) {
      if (y + j >= a.height) break;
      // Exact, as the pitch is a power of two.
      Position p = lerp_position(upper, lower, fma_(float(j), step, first_ty));
      float column = nearest(across, p.x), row = nearest(down, p.y);
      u64 offset = u32(clip(row, down.last)) * stride + u32(clip(column, across.last)) * u32(sizeof(Id));
      Id id = *(const Id*)(source + offset);
#if BORDER == 2
      if (!(column >= 0.0f && column <= across.last && row >= 0.0f && row <= down.last)) id = Id(a.ignore);
#endif
      out[u64(u32(y + j)) * u32(a.width) + u32(x)] = id;
    }
  }
}

extern "C" __global__ void __launch_bounds__(256) index_uint8(const IndexArgs a) { follow<u8>(a); }
extern "C" __global__ void __launch_bounds__(256) index_int32(const IndexArgs a) { follow<int>(a); }
