// Stage 2 (kernels/fused.py): lattice -> source coordinates -> bilinear gather -> color -> normalize -> store.
// A thread makes ROWS pixels, one below the other, of one lattice cell; a warp spans 32 neighboring pixels of
// a row. So a cell's controls are loaded once for ROWS pixels, and loads and stores of a warp are adjacent.
//
// Compile-time variants: DTYPE (0 float32, 1 float16, 2 bfloat16, 3 uint8), PLANAR (1 NCHW, 0 NHWC),
// BORDER, COLOR_MODE (the most that a sample of the recipe uses), ROWS (4, 2 or 1; divides the pitch).

#ifndef DTYPE
#define DTYPE 0
#endif
#ifndef PLANAR
#define PLANAR 1
#endif
#ifndef BORDER
#define BORDER REFLECT
#endif
#ifndef COLOR_MODE
#define COLOR_MODE 3
#endif
#ifndef ROWS
#define ROWS 1
#endif

typedef Output<DTYPE>::type out_t;

struct FusedArgs {
  const Sample* samples;
  const float* nodes;
  const int* modes;
  out_t* out;
  int nodes_y, nodes_x, pitch_log2, height, width;
  float fill[3];
  float scales[2][3];  // without and with a color stage
  float bias[3];
};

struct Color { float r, g, b; };
struct Controls { float v[9]; };

#ifndef FIELDLOOM_SHIM
FUNCTION u32 load_word(const u32* p) {
  u32 word;
  asm("ld.global.nc.u32 %0, [%1];" : "=r"(word) : "l"(p));
  return word;
}
#endif

// Byte k of a word as MAGIC + byte, in one byte permutation; differences of two such floats are exact.
FUNCTION float magic_byte(u32 word, int k) { return __uint_as_float(__byte_perm(word, 0x4B000000u, 0x7540u + k)); }

// Two neighboring RGB pixels `offset` bytes behind an aligned address, by aligned words: at most 3 bytes
// beyond them are touched, and those lie in the same word.
FUNCTION void load_pair(const u8* aligned, u32 offset, Color& left, Color& right) {
  const u32* words = (const u32*)(aligned + (offset & ~3u));
  u32 w0 = load_word(words), w1 = load_word(words + 1), w2 = (offset & 3u) == 3u ? load_word(words + 2) : 0u;
  u32 shift = offset * 8;  // of which the funnel takes 5 bits
  u32 low = __funnelshift_r(w0, w1, shift), high = __funnelshift_r(w1, w2, shift);
  left = {magic_byte(low, 0), magic_byte(low, 1), magic_byte(low, 2)};
  right = {magic_byte(low, 3), magic_byte(high, 0), magic_byte(high, 1)};
}

FUNCTION float bilinear(float a, float b, float c, float d, float u, float v) {
  return lerp(fma_(u, b - a, a - MAGIC), fma_(u, d - c, c - MAGIC), v);
}

// The whole part of 0 <= x < 2^22, at most `last` (given as last + MAGIC), comes as MAGIC + whole part, whose
// bits serve as the index: conversions are slow.
FUNCTION u32 split(float x, float last, float& fraction) {
  float whole = fminf(__fadd_rd(x, MAGIC), last);
  fraction = x - (whole - MAGIC);
  return __float_as_uint(whole);
}

// The image that stage 2 reads: the prefiltered copy, or the source itself.
struct Image {
  const u8* aligned;  // the word that holds the first byte
  u32 stride, origin;  // the first byte lies at origin + (bits of MAGIC) * (stride + 3), modulo 2^32
  float x_max, y_max, last_column, last_row;
};

FUNCTION Image image_of(const Sample& s) {
  int height = s.height, width = s.width;
  Image image;
  u64 pixels = s.source;
  image.stride = u32(s.stride);
  if (s.copy) {  // without one nothing is reduced: most threads are spared the divisions
    height = reduced(height, s.reduce[0]);
    width = reduced(width, s.reduce[1]);
    pixels = s.copy;
    image.stride = 3u * u32(at_least(width, 2));
  }
  image.aligned = (const u8*)(pixels & ~u64(3));
  image.origin = u32(pixels & 3) - __float_as_uint(MAGIC) * (image.stride + 3u);
  image.x_max = float(width - 1);
  image.y_max = float(height - 1);
  image.last_column = float(at_least(width - 2, 0)) + MAGIC;
  image.last_row = float(at_least(height - 2, 0)) + MAGIC;
  return image;
}

FUNCTION Color sample_image(const Image& image, float x, float y, const float* fill) {
#if BORDER == 0
  // 2 x_max - |x| is the smaller one just where |x| > x_max, and then below x_max.
  float u = fabsf(x), v = fabsf(y);
  x = fmaxf(fminf(u, fma_(image.x_max, 2.0f, -u)), 0.0f);
  y = fmaxf(fminf(v, fma_(image.y_max, 2.0f, -v)), 0.0f);
#else
#if BORDER == 2
  float cover = saturate(fminf(x + 1.0f, image.x_max + 1.0f - x)) *
                saturate(fminf(y + 1.0f, image.y_max + 1.0f - y));
#endif
  x = clip(x, image.x_max);
  y = clip(y, image.y_max);
#endif
  float fx, fy;
  u32 column = split(x, image.last_column, fx), row = split(y, image.last_row, fy);
  u32 offset = row * image.stride + (column * 3u + image.origin);
  Color a, b, c, d;
  load_pair(image.aligned, offset, a, b);
  load_pair(image.aligned, offset + image.stride, c, d);
  Color out = {bilinear(a.r, b.r, c.r, d.r, fx, fy), bilinear(a.g, b.g, c.g, d.g, fx, fy),
               bilinear(a.b, b.b, c.b, d.b, fx, fy)};
#if BORDER == 2
  out = {lerp(fill[0], out.r, cover), lerp(fill[1], out.g, cover), lerp(fill[2], out.b, cover)};
#endif
  return out;
}

FUNCTION float hsv_channel(float n, float hue6, float value, float chroma) {
  float k = n + hue6;
  k = k >= 6.0f ? k - 6.0f : k;
  return fma_(-chroma, saturate(fminf(k, 4.0f - k)), value);
}

// 0..255 in, 0..1 out: add in HSV; hue wraps, saturation and value clip.
FUNCTION Color add_hsv(Color color, float hue, float saturation, float value) {
  float red = color.r * ONE_255TH, green = color.g * ONE_255TH, blue = color.b * ONE_255TH;
  float high = fmaxf(fmaxf(red, green), blue);
  float chroma = high - fminf(fminf(red, green), blue);
  bool gray = chroma == 0.0f;
  float inverse = 1.0f / (gray ? 1.0f : chroma);
  float h = high == red     ? (green - blue) * inverse
            : high == green ? fma_(blue - red, inverse, 2.0f)
                            : fma_(red - green, inverse, 4.0f);
  h = gray ? 0.0f : h;
  float s = chroma / (high > 0.0f ? high : 1.0f);
  h = fma_(hue, 6.0f, h);
  h = h - 6.0f * floorf(h * 0.16666667f);
  h = h >= 6.0f ? h - 6.0f : h;
  s = saturate(s + saturation);
  float v = saturate(high + value), c = v * s;
  return {hsv_channel(5.0f, h, v, c), hsv_channel(3.0f, h, v, c), hsv_channel(1.0f, h, v, c)};
}

// Luma gain and offset, chroma rotation and gain (YIQ); 0..1 out, clipped.
FUNCTION Color linear_color(Color color, float gain, float offset, float p, float q) {
  float luma = fma_(0.299f, color.r, fma_(0.587f, color.g, 0.114f * color.b));
  float i = fma_(0.595716f, color.r, fma_(-0.274453f, color.g, -0.321263f * color.b));
  float j = fma_(0.211456f, color.r, fma_(-0.522591f, color.g, 0.311135f * color.b));
  luma = fma_(gain, luma, offset);
  float turned = fma_(p, i, -(q * j));
  j = fma_(q, i, p * j);
  return {saturate(fma_(0.9563f, turned, fma_(0.6210f, j, luma))),
          saturate(fma_(-0.2721f, turned, fma_(-0.6474f, j, luma))),
          saturate(fma_(-1.1070f, turned, fma_(1.7046f, j, luma)))};
}

// Controls of a node that this variant uses, by 16-byte loads.
struct alignas(16) Quad { float x, y, z, w; };

FUNCTION Controls load_node(const float* node) {
  const Quad* quads = (const Quad*)node;
  Controls c = {};
  Quad first = quads[0];
  c.v[0] = first.x;
  c.v[1] = first.y;
#if COLOR_MODE != 0
  Quad second = quads[1];
  c.v[2] = first.z;
  c.v[3] = first.w;
  c.v[4] = second.x;
  c.v[5] = second.y;
  c.v[6] = second.z;
  c.v[7] = second.w;
#endif
#if COLOR_MODE & 2
  c.v[8] = node[8];
#endif
  return c;
}

FUNCTION bool is_used(int control) {
  return control < 2 || (control < 6 ? (COLOR_MODE & 1) != 0 : (COLOR_MODE & 2) != 0);
}

FUNCTION Controls lerp_controls(const Controls& a, const Controls& b, float t) {
  Controls c = {};
#pragma unroll
  for (int k = 0; k < 9; ++k)
    if (is_used(k)) c.v[k] = lerp(a.v[k], b.v[k], t);
  return c;
}

FUNCTION void store(const FusedArgs& a, int n, int x, int y, Color color, Color scale) {
  out_t r = convert<DTYPE>(fma_(color.r, scale.r, a.bias[0]));
  out_t g = convert<DTYPE>(fma_(color.g, scale.g, a.bias[1]));
  out_t b = convert<DTYPE>(fma_(color.b, scale.b, a.bias[2]));
  u32 area = u32(a.height) * u32(a.width), at = u32(y) * u32(a.width) + u32(x);
  out_t* out = a.out + u64(n) * (3 * area);
#if PLANAR
  out[at] = r;
  out[at + area] = g;
  out[at + 2 * u64(area)] = b;
#else
  out[3 * u64(at)] = r;
  out[3 * u64(at) + 1] = g;
  out[3 * u64(at) + 2] = b;
#endif
}

extern "C" __global__ void __launch_bounds__(256) fused(const FusedArgs a) {
  int n = blockIdx.z;
  const Image image = image_of(a.samples[n]);
  const int mode = a.modes[n];
  // Selected one by one: an index into the arguments would move them to local memory.
  const Color scale = {mode ? a.scales[1][0] : a.scales[0][0], mode ? a.scales[1][1] : a.scales[0][1],
                       mode ? a.scales[1][2] : a.scales[0][2]};
  const float* nodes = a.nodes + u64(n) * u32(a.nodes_y * a.nodes_x * NODE);
  const int pitch = 1 << a.pitch_log2, inside = pitch - 1;
  const float step = __uint_as_float(u32(127 - a.pitch_log2) << 23);  // 1 / pitch
  for (int t = threadIdx.x; t < 256; t += blockDim.x) {
    int x = int(blockIdx.x) * 32 + (t & 31), y = (int(blockIdx.y) * 8 + (t >> 5)) * ROWS;
    if (x >= a.width || y >= a.height) continue;
    const float* node = nodes + u32(((y >> a.pitch_log2) * a.nodes_x + (x >> a.pitch_log2)) * NODE);
    const float* below = node + u32(a.nodes_x * NODE);
    float tx = (float(x & inside) + 0.5f) * step, first_ty = (float(y & inside) + 0.5f) * step;
    Controls upper = lerp_controls(load_node(node), load_node(node + NODE), tx);
    Controls lower = lerp_controls(load_node(below), load_node(below + NODE), tx);
#pragma unroll
    for (int j = 0; j < ROWS; ++j) {
      if (y + j >= a.height) break;
      // Exact, as the pitch is a power of two.
      Controls c = lerp_controls(upper, lower, fma_(float(j), step, first_ty));
      Color color = sample_image(image, c.v[0], c.v[1], a.fill);
#if COLOR_MODE & 2
      if (mode & ADDITIVE_HSV) color = add_hsv(color, c.v[6], c.v[7], c.v[8]);
#endif
#if COLOR_MODE & 1
      if (mode & LINEAR) color = linear_color(color, c.v[2], c.v[3], c.v[4], c.v[5]);
#endif
      store(a, n, x, y + j, color, scale);
    }
  }
}
