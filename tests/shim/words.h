// The CUDA intrinsics that the kernels use, by their definitions.
#pragma once

static inline uint32_t __float_as_uint(float f) { uint32_t u; memcpy(&u, &f, 4); return u; }
static inline float __uint_as_float(uint32_t u) { float f; memcpy(&f, &u, 4); return f; }
static inline float __fmaf_rn(float a, float b, float c) { return __builtin_fmaf(a, b, c); }
static inline float __fsqrt_rn(float x) { return __builtin_sqrtf(x); }
// PTX's min, max and saturation: -0 < +0, and a NaN loses.
static inline float device_max(float a, float b) {
  if (a != a || b != b) return a != a ? b : a;
  if (a == b) return __builtin_signbit(a) ? b : a;
  return a > b ? a : b;
}
static inline float device_min(float a, float b) {
  if (a != a || b != b) return a != a ? b : a;
  if (a == b) return __builtin_signbit(a) ? a : b;
  return a < b ? a : b;
}
#define fmaxf device_max
#define fminf device_min
static inline float __saturatef(float x) { return fminf(fmaxf(x, 0.0f), 1.0f); }
static inline float __fadd_rd(float a, float b) {
  // The sum of two floats is exact in double here (both below 2^24), so only the last step rounds.
  double exact = double(a) + double(b);
  float rounded = float(exact);
  return double(rounded) > exact ? __builtin_nextafterf(rounded, -__builtin_inff()) : rounded;
}
static inline uint32_t __umulhi(uint32_t a, uint32_t b) { return uint32_t((uint64_t(a) * b) >> 32); }
static inline uint32_t __funnelshift_r(uint32_t low, uint32_t high, uint32_t shift) {
  return uint32_t((uint64_t(high) << 32 | low) >> (shift & 31));
}
static inline uint32_t __byte_perm(uint32_t x, uint32_t y, uint32_t selector) {
  uint64_t bytes = uint64_t(y) << 32 | x;
  uint32_t out = 0;
  for (int i = 0; i < 4; ++i) out |= uint32_t((bytes >> (8 * (selector >> (4 * i) & 7))) & 255) << (8 * i);
  return out;
}
static inline int atomicAdd(int* p, int value) { return __atomic_fetch_add(p, value, __ATOMIC_RELAXED); }
static inline uint32_t atomicAdd(uint32_t* p, uint32_t value) { return __atomic_fetch_add(p, value, __ATOMIC_RELAXED); }
static inline unsigned long long atomicAdd(unsigned long long* p, unsigned long long value) {
  return __atomic_fetch_add(p, value, __ATOMIC_RELAXED);
}
static inline uint32_t atomicMin(uint32_t* p, uint32_t value) {
  uint32_t old = __atomic_load_n(p, __ATOMIC_RELAXED);
  while (value < old && !__atomic_compare_exchange_n(p, &old, value, true, __ATOMIC_RELAXED, __ATOMIC_RELAXED)) {}
  return old;
}
static inline uint32_t atomicMax(uint32_t* p, uint32_t value) {
  uint32_t old = __atomic_load_n(p, __ATOMIC_RELAXED);
  while (value > old && !__atomic_compare_exchange_n(p, &old, value, true, __ATOMIC_RELAXED, __ATOMIC_RELAXED)) {}
  return old;
}
static inline uint16_t half_bits(float f) { _Float16 h = (_Float16)f; uint16_t u; memcpy(&u, &h, 2); return u; }
static inline uint32_t load_word(const uint32_t* p) { return *p; }
