/* An allocator and the memory functions, for a module without a C library.
 *
 * Blocks are powers of two, at least 16 bytes, each with its size class in the 8 bytes before it. A freed block goes to
 * the list of its class and is the next to be given out. Memory is never given back, nor can it be in WebAssembly; what
 * a plugin ever used at once is bounded by the host's limits on lists and strings, so lists settle and nothing grows. */

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define PAGE 65536u
#define SMALLEST_CLASS 4u
/* The class of 1 GiB. What is larger fails. */
#define LARGEST_CLASS 30u

struct block {
  uint32_t class;
  /* In a free block: the next of its list. In one that is in use: nothing. */
  struct block *next_free;
};

_Static_assert(sizeof(struct block) == 8, "the memory after a header must be aligned to 8");

/* Placed by the linker at the end of data and stack. */
extern unsigned char __heap_base;

static struct block *free_blocks[LARGEST_CLASS + 1];
/* The end of what was ever given out; 0 before the first block. */
static uintptr_t used;

/* The smallest class whose blocks hold a header and this much. */
static uint32_t class_of(size_t size) {
  uint32_t class = SMALLEST_CLASS;
  while (class < LARGEST_CLASS && ((size_t)1 << class) - sizeof(struct block) < size) class++;
  return class;
}

static struct block *block_of(void *memory) { return (struct block *)memory - 1; }

static struct block *take_from_end(uint32_t class) {
  if (used == 0) used = ((uintptr_t)&__heap_base + 15) & ~(uintptr_t)15;
  uint64_t end = (uint64_t)used + ((uint64_t)1 << class);
  if (end > UINT32_MAX) return NULL;
  uint64_t have = (uint64_t)__builtin_wasm_memory_size(0) * PAGE;
  if (end > have) {
    uint64_t pages = (end - have + PAGE - 1) / PAGE;
    if (__builtin_wasm_memory_grow(0, (size_t)pages) == SIZE_MAX) return NULL;
  }
  struct block *block = (struct block *)used;
  used = (uintptr_t)end;
  return block;
}

static void *allocate(size_t size) {
  uint32_t class = class_of(size);
  if (((size_t)1 << class) - sizeof(struct block) < size) return NULL;
  struct block *block = free_blocks[class];
  if (block != NULL) {
    free_blocks[class] = block->next_free;
  } else {
    block = take_from_end(class);
    if (block == NULL) return NULL;
    block->class = class;
  }
  return block + 1;
}

void *realloc(void *old, size_t size) {
  if (old == NULL) return allocate(size);
  size_t old_size = ((size_t)1 << block_of(old)->class) - sizeof(struct block);
  if (size <= old_size) return old;
  void *new = allocate(size);
  if (new != NULL) {
    memcpy(new, old, old_size);
    free(old);
  }
  return new;
}

void free(void *memory) {
  if (memory == NULL) return;
  struct block *block = block_of(memory);
  block->next_free = free_blocks[block->class];
  free_blocks[block->class] = block;
}

_Noreturn void abort(void) { __builtin_trap(); }

void *memcpy(void *restrict to, const void *restrict from, size_t size) {
  unsigned char *restrict out = to;
  const unsigned char *restrict in = from;
  for (size_t i = 0; i < size; i++) out[i] = in[i];
  return to;
}

void *memset(void *to, int byte, size_t size) {
  unsigned char *out = to;
  for (size_t i = 0; i < size; i++) out[i] = (unsigned char)byte;
  return to;
}

size_t strlen(const char *text) {
  size_t length = 0;
  while (text[length] != 0) length++;
  return length;
}
