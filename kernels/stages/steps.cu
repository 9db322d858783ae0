// What the files of the program stage share: its structs, and loops over the bytes of planes. Where planes are
// whole words, a thread takes four pixels at a time.

enum Operation {
  OP_IDENTITY, OP_NEAREST, OP_BILINEAR, OP_BRIGHTNESS, OP_COLOR, OP_CONTRAST, OP_SHARPNESS, OP_POSTERIZE,
  OP_SOLARIZE, OP_SOLARIZE_ADD, OP_INVERT, OP_AUTOCONTRAST, OP_EQUALIZE, OP_FILL_BOX, OP_BLUR, OP_NOISE,
  OP_RESTORE, OP_ACCUMULATE, OP_RESOLVE
};

struct Step {
  int op;
  int whole[8];
  u8 fill[4];
  float value;
};

struct ProgramArgs {
  const Step* program;
  const Sample* samples;
  u8* working;  // n samples of three planes; scratch and origin likewise, all of them aligned to words
  u8* scratch;
  u8* origin;  // only where the program has RESTORE
  u32* sums;   // only where it has ACCUMULATE
  int n_steps, height, width;
  u32 seed_low, seed_high;
};

#define EACH(i, n) for (u32 i = threadIdx.x; i < (n); i += blockDim.x)

namespace program_steps {

FUNCTION u32 byte_of(u32 word, int k) { return word >> (8 * k) & 255u; }

// visit(byte) of each byte, by words where they are aligned; bytes stay as they are.
template <class F> FUNCTION void each_read(const u8* p, u32 n, F visit) {
  u32 head = u32(-u64(p) & 3u);
  head = head < n ? head : n;
  u32 words = (n - head) / 4, tail = head + 4 * words;
  const u32* aligned = (const u32*)(p + head);
  EACH(i, head) visit(u32(p[i]));
  EACH(i, words) {
    u32 word = aligned[i];
    for (int k = 0; k < 4; ++k) visit(byte_of(word, k));
  }
  EACH(i, n - tail) visit(u32(p[tail + i]));
}

// Each byte becomes change(byte), below 256.
template <class F> FUNCTION void each_byte(u8* p, u32 n, F change) {
  u32 head = u32(-u64(p) & 3u);
  head = head < n ? head : n;
  u32 words = (n - head) / 4, tail = head + 4 * words;
  u32* aligned = (u32*)(p + head);
  EACH(i, head) p[i] = u8(change(u32(p[i])));
  EACH(i, words) {
    u32 word = aligned[i], out = 0;
    for (int k = 0; k < 4; ++k) out |= change(byte_of(word, k)) << (8 * k);
    aligned[i] = out;
  }
  EACH(i, n - tail) p[tail + i] = u8(change(u32(p[tail + i])));
}

// change(r, g, b) of each pixel of three planes, by reference.
template <class F> FUNCTION void each_pixel(u8* p, u32 area, F change) {
  if (area & 3u) {  // some plane does not begin with a word
    EACH(i, area) {
      u32 r = p[i], g = p[area + i], b = p[2 * area + i];
      change(r, g, b);
      p[i] = u8(r);
      p[area + i] = u8(g);
      p[2 * area + i] = u8(b);
    }
    return;
  }
  u32 *red = (u32*)p, *green = (u32*)(p + area), *blue = (u32*)(p + 2 * area);
  EACH(i, area / 4) {
    u32 rs = red[i], gs = green[i], bs = blue[i], out_r = 0, out_g = 0, out_b = 0;
    for (int k = 0; k < 4; ++k) {
      u32 r = byte_of(rs, k), g = byte_of(gs, k), b = byte_of(bs, k);
      change(r, g, b);
      out_r |= r << (8 * k);
      out_g |= g << (8 * k);
      out_b |= b << (8 * k);
    }
    red[i] = out_r;
    green[i] = out_g;
    blue[i] = out_b;
  }
}

// From one buffer to another that is aligned alike.
FUNCTION void copy(const u8* from, u8* to, u32 n) {
  u32 head = u32(-u64(to) & 3u);
  head = head < n ? head : n;
  u32 words = (n - head) / 4, tail = head + 4 * words;
  const u32* aligned = (const u32*)(from + head);
  u32* out = (u32*)(to + head);
  EACH(i, head) to[i] = from[i];
  EACH(i, words) out[i] = aligned[i];
  EACH(i, n - tail) to[tail + i] = from[tail + i];
}

}  // namespace program_steps
