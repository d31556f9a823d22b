/* Counts what the library allocates (the linker sends its calls here, see the test) at creation and during calls. */
#include "scale.h"

#include <stdio.h>
#include <stdlib.h>

static int count;

int __real_posix_memalign(void **pointer, size_t alignment, size_t size);
int __wrap_posix_memalign(void **pointer, size_t alignment, size_t size);
void __real_free(void *pointer);
void __wrap_free(void *pointer);
void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t count, size_t size);
void *__wrap_realloc(void *pointer, size_t size);
void *__wrap_mmap(void);

int __wrap_posix_memalign(void **pointer, size_t alignment, size_t size) {
  count++;
  return __real_posix_memalign(pointer, alignment, size);
}
void __wrap_free(void *pointer) {
  count += pointer != NULL;
  __real_free(pointer);
}
/* The runtime is not supposed to use these at all. */
void *__wrap_malloc(size_t size) { (void)size; abort(); }
void *__wrap_calloc(size_t items, size_t size) { (void)items; (void)size; abort(); }
void *__wrap_realloc(void *pointer, size_t size) { (void)pointer; (void)size; abort(); }
void *__wrap_mmap(void) { abort(); }

static float x[4 * 64], y[129], out[4 * 64], positive[4 * 64];

static int call(scale_context *context, int rows) {
  scale_inputs inputs = scale_inputs_default();
  inputs.x.data = x;
  inputs.x.shape[0] = rows;
  inputs.batch_y.data = y;
  inputs.batch_y.shape[0] = 2 * rows + 1;
  inputs.n = 100;
  scale_outputs outputs = scale_outputs_default();
  outputs.out.data = out;
  outputs.out.capacity = outputs.positive.capacity = 4 * 64;
  outputs.positive.data = positive;
  int before = count, status = scale_run(context, &inputs, &outputs);
  printf("%d rows: status %d, %d allocations%s%s\n", rows, status, count - before, status ? ", " : "",
         status ? scale_error(context) : "");
  return status;
}

int main(void) {
  scale_context *context;
  scale_options options = scale_options_default();
  options.threads = 2;
  if (scale_create(&options, &context) != scale_OK) return 1;
  call(context, 2);
  call(context, 2);
  call(context, 64);
  call(context, 8);
  call(context, 64);
  scale_destroy(context);

  options.no_grow = 1;
  options.capacity.s0 = 32;
  if (scale_create(&options, &context) != scale_OK) return 1;
  call(context, 32);
  call(context, 34);
  scale_inputs sizes = scale_inputs_default();
  sizes.x.shape[0] = 64;
  sizes.batch_y.shape[0] = 129;
  sizes.n = 100;
  printf("reserve: %d\n", scale_reserve(context, &sizes));
  call(context, 64);
  scale_destroy(context);
  return 0;
}
