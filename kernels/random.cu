// Counter-based random numbers (kernels/philox.py): Philox 4x32-10 and Box-Muller normals.

struct Words { u32 a, b, c, d; };

// One block: counter w, key (k, m).
FUNCTION Words philox(Words w, u32 k, u32 m) {
#pragma unroll
  for (int round = 0; round < 10; ++round) {
    u32 p_high = __umulhi(0xD2511F53u, w.a), p_low = 0xD2511F53u * w.a;
    u32 q_high = __umulhi(0xCD9E8D57u, w.c), q_low = 0xCD9E8D57u * w.c;
    w = {q_high ^ w.b ^ k, q_low, p_high ^ w.d ^ m, p_low};
    k += 0x9E3779B9u;
    m += 0xBB67AE85u;
  }
  return w;
}

// Two words -> two standard normals.
FUNCTION void normal_pair(u32 u, u32 v, float& first, float& second) {
  float radius = __fsqrt_rn(-2.0f * log_(fma_(float(u >> 8), 5.9604644775390625e-8f, 2.98023223876953125e-8f)));
  float sine, cosine;
  sincospi_(fma_(float(v >> 8), 1.1920928955078125e-7f, -1.0f), sine, cosine);
  first = radius * cosine;
  second = radius * sine;
}

// Normals 4 i .. 4 i + 3 of a stream.
FUNCTION void normals(Words counter, u32 seed_low, u32 seed_high, float z[4]) {
  Words w = philox(counter, seed_low, seed_high);
  normal_pair(w.a, w.b, z[0], z[1]);
  normal_pair(w.c, w.d, z[2], z[3]);
}
