// A program of its own around the joined CUDA source and what runs a kernel by name (entry.h, entry_stages.h), for
// the sanitizers: reads memory blocks and launches from a file (tests/sanitized.py writes it) and runs them. Each
// block is allocated by itself and at its exact size, so that the address sanitizer sees every byte beyond it.
#pragma once
#include <cstdio>
#include <cstdlib>
#include <vector>

static int64_t number(FILE* file) {
  int64_t value;
  if (fread(&value, 8, 1, file) != 1) exit(3);
  return value;
}

int main(int, char** arguments) {
  FILE* file = fopen(arguments[1], "rb");
  if (!file) return 2;
  std::vector<char*> blocks(number(file));
  for (char*& block : blocks) {
    size_t size = number(file);
    block = (char*)malloc(size);
    if (size && fread(block, size, 1, file) != 1) return 3;
  }
  // Addresses within blocks: block a at byte i gets the address of block b at byte j.
  for (int64_t left = number(file); left > 0; --left) {
    int64_t a = number(file), i = number(file), b = number(file), j = number(file);
    char* address = blocks[b] + j;
    memcpy(blocks[a] + i, &address, 8);
  }
  for (int64_t left = number(file); left > 0; --left) {
    const char* name = blocks[number(file)];  // a string in a block of its own
    int x = number(file), y = number(file), z = number(file), shared_floats = number(file);
    if (run_kernel(name, x, y, z, shared_floats, blocks[number(file)])) return 4;
  }
  fclose(file);
  for (char* block : blocks) free(block);
  puts("done");
  return 0;
}
