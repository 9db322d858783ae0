// Types, records and arithmetic shared by the kernels. The files base, random, shrink, lattice and fused
// are compiled as one source (kernels/cuda.py joins them); no header is included, so users need no CUDA
// toolkit. Every multiply-add is an explicit fma and no math library is called: together with --fmad=false
// this gives the bits of the CPU twin (the Numba functions of the same names).
//
// Kernels use block-stride loops only (for (i = threadIdx.x; i < n; i += blockDim.x)), so that a block of
// one thread is a legal launch: the tests run this very source on a CPU that way (tests/shim).

typedef unsigned char u8;
typedef unsigned short u16;
typedef unsigned int u32;
typedef unsigned long long u64;
typedef long long i64;

#ifndef FIELDLOOM_SHIM
#define FUNCTION __device__ __forceinline__
#define DYNAMIC_SHARED(name) extern __shared__ float name[]
#endif

// Mirrors of kernels/records.py.
enum Kind { TRANSLATE, SCALE, SHEAR, ROTATE, COLOR, HSV };
enum Law { CONSTANT, GAUSSIAN, POWER };
enum ColorMode { LINEAR = 1, ADDITIVE_HSV = 2 };
enum Border { REFLECT, EDGE, FILL };
#define MAX_TRANSFORMS 8
#define FIELD_DRAWS 65536u
#define FOLD_MARGIN 0.05f
#define ONE_255TH 0.00392156863f

// Floats of a node: sx, sy, gain, offset | p, q, hue, saturation | value, 3 unused.
#define NODE 12

struct Transform {
  int kind, law;
  u32 slot, first_field;
  int ky, kx, by, bx, log_k, bonus, guard, pad;
};

struct Sample {
  u64 source;
  i64 stride;
  u64 copy;  // where the prefilter writes; 0: stage 2 reads the source itself
  int height, width;
  int reduce[2];
  u16 taps[2][4];
  float affine[6];
  u32 sample, epoch, stream, active;
  int order[MAX_TRANSFORMS];
  float gamma[MAX_TRANSFORMS];
  float amplitude[MAX_TRANSFORMS][4];
};

FUNCTION float fma_(float a, float b, float c) { return __fmaf_rn(a, b, c); }

// As Numba's max and min select: for equal values (and for zeros of either sign) the first.
FUNCTION float larger(float a, float b) { return b > a ? b : a; }
FUNCTION float smaller(float a, float b) { return b < a ? b : a; }
FUNCTION int at_most(int a, int b) { return b < a ? b : a; }
FUNCTION int at_least(int a, int b) { return b > a ? b : a; }

// v limited to [0, high]: two instructions where selections take four. The device orders zeros (-0 < +0), so
// -0.0 becomes 0.0 as in the CPU twin. saturate costs nothing behind an addition or a multiply-add.
FUNCTION float clip(float v, float high) { return fminf(fmaxf(v, 0.0f), high); }
FUNCTION float saturate(float v) { return __saturatef(v); }

// a + t (b - a)
FUNCTION float lerp(float a, float b, float t) { return fma_(t, b - a, a); }

// Natural logarithm of a positive, normal float.
FUNCTION float log_(float x) {
  u32 shifted = __float_as_uint(x) - 0x3F2AAAABu;
  int e = int(shifted) >> 23;
  float m = __uint_as_float((shifted & 0x7FFFFFu) + 0x3F2AAAABu) - 1.0f;
  float p = -0.130310059f;
  p = fma_(p, m, 0.140869141f);
  p = fma_(p, m, -0.121483512f);
  p = fma_(p, m, 0.139814854f);
  p = fma_(p, m, -0.166846126f);
  p = fma_(p, m, 0.200120345f);
  p = fma_(p, m, -0.249996200f);
  p = fma_(p, m, 0.333331972f);
  p = fma_(p, m, -0.5f);
  p = p * m;
  p = fma_(p, m, m);
  return fma_(float(e), 0.693147182f, p);
}

// 2^x for -126 <= x < 128; smaller x give 2^-126.
FUNCTION float exp2_(float x) {
  x = larger(x, -126.0f);
  float n = floorf(x + 0.5f);
  float t = x - n;
  float p = 1.535336188e-4f;
  p = fma_(p, t, 1.339887440e-3f);
  p = fma_(p, t, 9.618437357e-3f);
  p = fma_(p, t, 5.550332471e-2f);
  p = fma_(p, t, 2.402264791e-1f);
  p = fma_(p, t, 6.931472028e-1f);
  p = fma_(p, t, 1.0f);
  return p * __uint_as_float(u32(int(n) + 127) << 23);
}

// sin and cos of pi x for |x| < 2^20.
FUNCTION void sincospi_(float x, float& sine, float& cosine) {
  float q = floorf(fma_(x, 2.0f, 0.5f));
  float t = fma_(q, -0.5f, x);
  float v = t * t;
  int k = int(q) & 3;
  float s = fma_(0.0807f, v, -0.5992371f);
  s = fma_(s, v, 2.5501631f);
  s = fma_(s, v, -5.1677124f);
  s = fma_(s, v, 3.14159265f) * t;
  float c = fma_(0.2356f, v, -1.3352574f);
  c = fma_(c, v, 4.0587083f);
  c = fma_(c, v, -4.9348021f);
  c = fma_(c, v, 1.0f);
  sine = k & 1 ? c : s;
  cosine = k & 1 ? s : c;
  if (k & 2) sine = -sine;
  if ((k + 1) & 2) cosine = -cosine;
}
