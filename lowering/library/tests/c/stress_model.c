/* A model that does nothing but divide tiny tasks: n of them, each adding 1 to every element of out. */
#include <stdint.h>

#define JOIN2(a, b) a##b
#define JOIN(a, b) JOIN2(a, b)

void pt2c_rt_parallel_for(void *call, void (*task)(void **, int64_t, int64_t), void **args, int64_t extent, int64_t grain);

static void add_one(void **args, int64_t begin, int64_t end) {
  int64_t *out = args[0];
  for (int64_t i = begin; i < end; i++) out[i] += 1;
}

/* A task that divides again: the inner division runs undivided. */
static void nested(void **args, int64_t begin, int64_t end) {
  (void)begin;
  int64_t *out = args[0];
  void *inner[] = {out + begin};
  pt2c_rt_parallel_for(args[1], add_one, inner, end - begin, 1);
}

int32_t JOIN(MODEL, __main)(void *const *values, int64_t *symbols, void *call) {
  int64_t *out = values[0];
  for (int i = 0; i < 13; i++) out[i] = 0;
  void *args[] = {out, call};
  for (int64_t i = 0; i < symbols[0]; i++) pt2c_rt_parallel_for(call, i % 8 ? add_one : nested, args, 13, 1 + i % 5);
  return 0;
}
