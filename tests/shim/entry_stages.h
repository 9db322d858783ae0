// What Python calls: one kernel of the stages by name, behind their joined CUDA source.
#pragma once

#define RUN(kernel, Args) \
  if (!strcmp(name, #kernel)) return launch(kernel, grid, shared_floats, *(const Args*)args), 0

extern "C" int run_kernel(const char* name, int x, int y, int z, long shared_floats, const void* args) {
  Index grid{x, y, z};
#ifdef HAS_PROGRAM
  RUN(program, ProgramArgs);
#endif
#ifdef HAS_SPECTRUM
  RUN(spectrum_rows, SpectrumArgs);
  RUN(spectrum_columns, SpectrumArgs);
  RUN(spectrum_back, SpectrumArgs);
#endif
#ifdef HAS_MASKS
  RUN(masks, MasksArgs);
#endif
#ifdef HAS_FINISH
  RUN(finish, FinishArgs);
#endif
  return 1;
}

extern "C" int struct_size(const char* name) {
#define SIZE(Struct) \
  if (!strcmp(name, #Struct)) return sizeof(Struct)
  SIZE(Sample);
#ifdef HAS_PROGRAM
  SIZE(Step);
  SIZE(ProgramArgs);
#endif
#ifdef HAS_SPECTRUM
  SIZE(SpectrumArgs);
#endif
#ifdef HAS_MASKS
  SIZE(Mask);
  SIZE(MasksArgs);
#endif
#ifdef HAS_FINISH
  SIZE(Finish);
  SIZE(FinishArgs);
#endif
  return -1;
}
