// How a float32 leaves a kernel: conversions by the number of the output type (0 float32, 1 float16,
// 2 bfloat16, 3 uint8), as kernels/fused.py stores them.

template <int TYPE> struct Output { typedef u16 type; };
template <> struct Output<0> { typedef float type; };
template <> struct Output<3> { typedef u8 type; };

// Two to the 23: adding it to a small integer puts the integer into the mantissa.
#define MAGIC 8388608.0f

#ifndef FIELDLOOM_SHIM
FUNCTION u16 half_bits(float f) {
  u16 bits;
  asm("cvt.rn.f16.f32 %0, %1;" : "=h"(bits) : "f"(f));
  return bits;
}
#endif

// To nearest, ties to even; no NaN comes here.
FUNCTION u16 bfloat16_bits(float v) {
#if !defined(FIELDLOOM_SHIM) && __CUDA_ARCH__ >= 800
  u16 bits;
  asm("cvt.rn.bf16.f32 %0, %1;" : "=h"(bits) : "f"(v));
  return bits;
#else
  u32 bits = __float_as_uint(v);
  return u16((bits + 0x7FFFu + (bits >> 16 & 1u)) >> 16);
#endif
}

template <int TYPE> FUNCTION typename Output<TYPE>::type convert(float v) {
  if constexpr (TYPE == 0) return v;
  else if constexpr (TYPE == 1) return half_bits(v);
  else if constexpr (TYPE == 2) return bfloat16_bits(v);
  // Adding MAGIC downwards leaves the whole part in the lowest bits: cheaper than a conversion.
  else return u8(__float_as_uint(__fadd_rd(clip(v + 0.5f, 255.0f), MAGIC)));
}
