// Erase, mix, normalize, store (kernels/stages/finish.py): one launch behind all other stages.
// A thread makes 4 neighboring pixels of a row. Where the width is a multiple of 4, planes are read by aligned
// words of 4 bytes and outputs written 4 elements at a time.
#define HAS_FINISH

#ifndef DTYPE
#define DTYPE 0
#endif
#ifndef PLANAR
#define PLANAR 1
#endif

// Mirrors of kernels/stages/records.py.
enum FinishMode { FINISH_UNMIXED, FINISH_BLEND, FINISH_BOX, FINISH_PASTE, FINISH_MASKS };
enum FinishErase { FINISH_CONSTANT, FINISH_REGION, FINISH_PIXEL };

struct Finish {
  u64 masks;
  int mode, ways, partner[3];
  float weight;
  int box[4];
  int antialias;
  int erase[4];
  int erase_kind;
};

typedef Output<DTYPE>::type finish_out_t;

struct FinishArgs {
  const Finish* finish;
  const Sample* samples;
  const u8* working;
  finish_out_t* out;
  int height, width;
  u32 seed_low, seed_high, erase_slot;
  float scale[3], bias[3], erase_fill[3], erase_spread[3];
};

struct FinishColor { float c[3]; };
struct FinishPixels { FinishColor p[4]; };
struct alignas(4 * sizeof(finish_out_t)) FinishFour { finish_out_t v[4]; };

// `count` bytes in a row as a word; whole words lie aligned.
FUNCTION u32 finish_word(const u8* at, int count, bool aligned) {
  if (aligned) return *(const u32*)at;
  u32 word = 0;
#pragma unroll
  for (int k = 0; k < 4; ++k)
    if (k < count) word |= u32(at[k]) << (8 * k);
  return word;
}

FUNCTION float finish_byte(u32 word, int k) { return float(word >> (8 * k) & 255u); }

// v.p[k] = color, where an index would move the pixels to local memory.
FUNCTION void finish_put(FinishPixels& v, int k, const FinishColor& color) {
#pragma unroll
  for (int j = 0; j < 4; ++j)
    if (j == k) v.p[j] = color;
}

FUNCTION bool finish_is_erased(const Finish& f, int y, int x) {
  return y >= f.erase[0] && y < f.erase[2] && x >= f.erase[1] && x < f.erase[3];
}

// What pixel (y, x) of a sample is erased with.
FUNCTION FinishColor finish_color(const FinishArgs& a, const Finish& f, int sample, int y, int x) {
  if (f.erase_kind == FINISH_CONSTANT) return {{a.erase_fill[0], a.erase_fill[1], a.erase_fill[2]}};
  const Sample& s = a.samples[sample];
  u32 draw = f.erase_kind == FINISH_PIXEL ? FIELD_DRAWS + u32(y) * u32(a.width) + u32(x) : 0u;
  float z[4];
  normals({s.sample, s.epoch, s.stream | a.erase_slot, draw}, a.seed_low, a.seed_high, z);
  FinishColor color;
#pragma unroll
  for (int c = 0; c < 3; ++c) color.c[c] = fma_(z[c], a.erase_spread[c], a.erase_fill[c]);
  return color;
}

FUNCTION const u8* finish_row(const FinishArgs& a, int sample, int c, int y) {
  return a.working + ((u64(sample) * 3 + c) * u32(a.height) + u32(y)) * u32(a.width);
}

// Pixels x .. x + count - 1 of row y of a sample, erased.
FUNCTION FinishPixels finish_load(const FinishArgs& a, int sample, int y, int x, int count, bool aligned) {
  FinishPixels v;
#pragma unroll
  for (int c = 0; c < 3; ++c) {
    u32 word = finish_word(finish_row(a, sample, c, y) + x, count, aligned);
#pragma unroll
    for (int k = 0; k < 4; ++k) v.p[k].c[c] = finish_byte(word, k);
  }
  const Finish& f = a.finish[sample];
  if (y >= f.erase[0] && y < f.erase[2] && x < f.erase[3] && x + count > f.erase[1]) {
#pragma unroll 1
    for (int k = 0; k < count; ++k)
      if (finish_is_erased(f, y, x + k)) finish_put(v, k, finish_color(a, f, sample, y, x + k));
  }
  return v;
}

FUNCTION FinishColor finish_pixel(const FinishArgs& a, const Finish& f, int sample, int y, int x) {
  if (finish_is_erased(f, y, x)) return finish_color(a, f, sample, y, x);
  FinishColor color;
#pragma unroll
  for (int c = 0; c < 3; ++c) color.c[c] = float(finish_row(a, sample, c, y)[x]);
  return color;
}

// First of the `source` pixels that pixel `index` of `target` <= `source` stands for; each has one.
FUNCTION u32 finish_part(u32 index, u32 source, u32 target) { return index * source / target; }

// The partner's pixel that shows at (y, x) of a box into which its whole image was shrunk.
FUNCTION FinishColor finish_pasted(const FinishArgs& a, const Finish& f, int y, int x) {
  int partner = f.partner[0];
  const Finish& other = a.finish[partner];
  u32 rows = f.box[2] - f.box[0], columns = f.box[3] - f.box[1], dy = y - f.box[0], dx = x - f.box[1];
  u32 row = finish_part(dy, a.height, rows), column = finish_part(dx, a.width, columns);
  if (!f.antialias) return finish_pixel(a, other, partner, row, column);
  u32 last_row = finish_part(dy + 1, a.height, rows), last_column = finish_part(dx + 1, a.width, columns);
  u64 sums[3] = {0, 0, 0};
  for (u32 r = row; r < last_row; ++r)
    for (u32 s = column; s < last_column; ++s) {
      FinishColor color = finish_pixel(a, other, partner, r, s);
#pragma unroll
      for (int c = 0; c < 3; ++c) sums[c] += u32(clip(floorf(color.c[c] + 0.5f), 255.0f));
    }
  u32 count = (last_row - row) * (last_column - column);
  FinishColor mean;
#pragma unroll
  for (int c = 0; c < 3; ++c) {
    // Divisions of 64 bits are slow: 2 * 255 * count + count fits into 32 up to here.
    if (count < 1u << 22) mean.c[c] = float((2 * u32(sums[c]) + count) / (2 * count));
    else mean.c[c] = float(u32((2 * sums[c] + count) / (2 * u64(count))));
  }
  return mean;
}

FUNCTION FinishColor finish_lerp(const FinishColor& from, const FinishColor& to, const FinishColor& v, float t) {
  FinishColor out;
#pragma unroll
  for (int c = 0; c < 3; ++c) out.c[c] = fma_(t, to.c[c] - from.c[c], v.c[c]);
  return out;
}

FUNCTION FinishPixels finish_mix(const FinishArgs& a, int sample, int y, int x, int count, bool aligned) {
  const Finish& f = a.finish[sample];
  const int mode = f.mode;
  FinishPixels own = finish_load(a, sample, y, x, count, aligned), v = own;
  bool boxed = y >= f.box[0] && y < f.box[2] && x < f.box[3] && x + count > f.box[1];
  if (mode == FINISH_UNMIXED || ((mode == FINISH_BOX || mode == FINISH_PASTE) && !boxed)) return v;
  if (mode == FINISH_PASTE) {
#pragma unroll 1
    for (int k = 0; k < count; ++k)
      if (x + k >= f.box[1] && x + k < f.box[3]) finish_put(v, k, finish_pasted(a, f, y, x + k));
    return v;
  }
  const u64 area = u64(a.height) * u32(a.width);
  const u8* mask = (const u8*)f.masks + u64(y) * u32(a.width) + x;
#pragma unroll 1
  for (int way = 1; way < f.ways; ++way, mask += area) {
    FinishPixels b = finish_load(a, f.partner[way - 1], y, x, count, aligned);
    u32 word = mode == FINISH_MASKS ? finish_word(mask, count, aligned) : 0u;
#pragma unroll
    for (int k = 0; k < 4; ++k) {
      bool inside = x + k >= f.box[1] && x + k < f.box[3];
      float t = mode == FINISH_BLEND ? f.weight : finish_byte(word, k) * ONE_255TH;
      if (mode != FINISH_BOX) v.p[k] = finish_lerp(own.p[k], b.p[k], v.p[k], t);
      else if (inside) v.p[k] = b.p[k];
    }
  }
  return v;
}

FUNCTION void finish_store(const FinishArgs& a, int sample, int y, int x, int count, bool aligned,
                           const FinishPixels& v) {
  finish_out_t e[4][3];
#pragma unroll
  for (int k = 0; k < 4; ++k)
#pragma unroll
    for (int c = 0; c < 3; ++c) e[k][c] = convert<DTYPE>(fma_(v.p[k].c[c], a.scale[c], a.bias[c]));
  u64 area = u64(a.height) * u32(a.width), at = u64(y) * u32(a.width) + x;
  finish_out_t* out = a.out + u64(sample) * 3 * area;
#if PLANAR
#pragma unroll
  for (int c = 0; c < 3; ++c) {
    finish_out_t* row = out + c * area + at;
    if (aligned) *(FinishFour*)row = {{e[0][c], e[1][c], e[2][c], e[3][c]}};
    else
#pragma unroll
      for (int k = 0; k < 4; ++k)
        if (k < count) row[k] = e[k][c];
  }
#else
  out += 3 * at;
  if (aligned) {
    ((FinishFour*)out)[0] = {{e[0][0], e[0][1], e[0][2], e[1][0]}};
    ((FinishFour*)out)[1] = {{e[1][1], e[1][2], e[2][0], e[2][1]}};
    ((FinishFour*)out)[2] = {{e[2][2], e[3][0], e[3][1], e[3][2]}};
    return;
  }
#pragma unroll
  for (int k = 0; k < 4; ++k)
#pragma unroll
    for (int c = 0; c < 3; ++c)
      if (k < count) out[3 * k + c] = e[k][c];
#endif
}

// Blocks beside each other: from sm_100 on, a third would cost spills.
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 1000
#define FINISH_BLOCKS 2
#else
#define FINISH_BLOCKS 3
#endif

extern "C" __global__ void __launch_bounds__(256, FINISH_BLOCKS) finish(const FinishArgs a) {
  const u32 across = u32(a.width + 3) >> 2, all = across * u32(a.height);
  const bool aligned = (a.width & 3) == 0;
  for (int t = threadIdx.x; t < 256; t += blockDim.x) {
    u32 place = u32(blockIdx.x) * 256u + u32(t);
    if (place >= all) continue;
    int y = int(place / across), x = int(place - u32(y) * across) * 4, sample = blockIdx.y;
    int count = at_most(a.width - x, 4);
    finish_store(a, sample, y, x, count, aligned, finish_mix(a, sample, y, x, count, aligned));
  }
}
