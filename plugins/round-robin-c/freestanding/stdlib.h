/* What the bindings need of <stdlib.h>. */
#ifndef FREESTANDING_STDLIB_H
#define FREESTANDING_STDLIB_H

#include <stddef.h>

/* Memory, aligned to 8; NULL when the host gives no more. */
void *realloc(void *old, size_t size);
void free(void *memory);

/* Traps: the host rebuilds the instance. */
_Noreturn void abort(void);

#endif
