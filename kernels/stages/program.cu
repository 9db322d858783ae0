// Programs of 8-bit operations (kernels/stages/program.py): a block runs all steps of one sample. Steps that look
// at one pixel work in place, the others from one of two buffers into the other.
#define HAS_PROGRAM

// Four blocks beside each other; left to itself, ptxas spills for them on sm_100 and fits fewer on sm_75.
extern "C" __global__ void __launch_bounds__(256, 4) program(const ProgramArgs a) {
  using namespace program_steps;
  const int height = a.height, width = a.width;
  const u32 area = u32(height) * u32(width), n = 3 * area;
  const u64 offset = u64(blockIdx.x) * n;
  const Step* steps = a.program + u64(blockIdx.x) * u32(a.n_steps);
  u8 *home = a.working + offset, *now = home, *next = a.scratch + offset;
  bool restores = false, summed = false;
  for (int j = 0; j < a.n_steps; ++j) restores |= steps[j].op == OP_RESTORE;
  if (restores) {
    copy(now, a.origin + offset, n);
    __syncthreads();
  }
  for (int j = 0; j < a.n_steps; ++j) {
    const Step& step = steps[j];
    const int op = step.op, whole = step.whole[0], other = step.whole[1];
    const float value = step.value;
    bool moved = false;  // to the other buffer
    switch (op) {
      case OP_IDENTITY: continue;
      case OP_NEAREST:
        if (width % 4) nearest<1>(now, next, step, height, width);
        else nearest<4>(now, next, step, height, width);
        moved = true;
        break;
      case OP_BILINEAR:
        if (width % 4) bilinear_<1>(now, next, step, height, width);
        else bilinear_<4>(now, next, step, height, width);
        moved = true;
        break;
      case OP_BRIGHTNESS: blend_with(now, n, 0, value); break;
      case OP_COLOR: color(now, area, value); break;
      case OP_CONTRAST: blend_with(now, n, mean_luma(now, area), value); break;
      case OP_SHARPNESS:
        sharpness(now, next, value, height, width);
        moved = true;
        break;
      case OP_POSTERIZE: {
        u32 mask = 255u << (8 - whole) & 255u;
        each_byte(now, n, [=](u32 x) { return x & mask; });
        break;
      }
      case OP_SOLARIZE:
      case OP_INVERT: {
        u32 threshold = op == OP_INVERT ? 0u : u32(whole);
        each_byte(now, n, [=](u32 x) { return x < threshold ? x : 255u - x; });
        break;
      }
      case OP_SOLARIZE_ADD:
        each_byte(now, n, [=](u32 x) { return u32(int(x) < other ? at_most(int(x) + whole, 255) : int(x)); });
        break;
      case OP_AUTOCONTRAST: autocontrast(now, area); break;
      case OP_EQUALIZE: equalize(now, area); break;
      case OP_FILL_BOX: fill_box(now, step, area, width); break;
      case OP_BLUR:
        if (value > 0.0f) {
          blur(now, next, value, height, width);
          moved = true;
        }
        break;
      case OP_NOISE: {
        const Sample& s = a.samples[blockIdx.x];
        noise(now, {s.sample, s.epoch, s.stream | u32(whole), 0}, a, area, value);
        break;
      }
      case OP_RESTORE: copy(a.origin + offset, now, n); break;
      case OP_ACCUMULATE:
        accumulate(now, a.sums + offset, n, u32(whole), !summed);
        summed = true;
        break;
      case OP_RESOLVE:
        if (summed) resolve(a.sums + offset, now, n);
        summed = false;
        break;
    }
    __syncthreads();
    if (moved) {
      u8* swap = now;
      now = next;
      next = swap;
    }
  }
  if (now != home) copy(now, home, n);
}
