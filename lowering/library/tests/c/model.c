/* The code of the test model, written by hand in place of the code generator. MODEL is the library's name.
 *
 *   out[i][j] = x[i][j] * w[j] + bias[j]      (in parallel, through a temporary in the arena)
 *   positive  = the elements of x that are > 0 (their number is known only now)
 *   y[0] += 1                                  (an input that the call changes)
 *   calls[0] += 1                              (state)
 * NaN in x is a failure of message 0, raised inside the parallel task. */
#include <stdint.h>

#define JOIN2(a, b) a##b
#define JOIN(a, b) JOIN2(a, b)
#define MAIN JOIN(MODEL, __main)
/* The runtime under its own name and under the library's: both are legal in generated code. */
#define PARALLEL_FOR pt2c_rt_parallel_for
#define FAIL JOIN(MODEL, __rt_fail)

void PARALLEL_FOR(void *call, void (*task)(void **, int64_t, int64_t), void **args, int64_t extent, int64_t grain);
void FAIL(void *call, int64_t message, int64_t value);
int32_t pt2c_rt_bind(void *call, int64_t symbol, int64_t value);

static void multiply(void **args, int64_t begin, int64_t end) {
  const float *x = args[0], *w = args[1];
  float *t = args[2];
  for (int64_t i = begin; i < end; i++) {
    for (int j = 0; j < 4; j++) {
      if (x[4 * i + j] != x[4 * i + j]) FAIL(args[3], 0, 4 * i + j);
      t[4 * i + j] = x[4 * i + j] * w[j];
    }
  }
}

static void add(void **args, int64_t begin, int64_t end) {
  const float *t = args[0], *bias = args[1];
  float *out = args[2];
  for (int64_t i = begin; i < end; i++)
    for (int j = 0; j < 4; j++) out[4 * i + j] = t[4 * i + j] + bias[j];
}

int32_t MAIN(void *const *values, int64_t *symbols, void *call) {
  int64_t rows = symbols[0];
  const float *x = values[0];
  float *y = values[1];
  void *first[] = {values[0], values[5], values[3], call};
  PARALLEL_FOR(call, multiply, first, rows, 1);
  void *second[] = {values[3], values[7], values[2]};
  PARALLEL_FOR(call, add, second, rows, 2);
  float *staged = values[4];
  int64_t count = 0;
  for (int64_t k = 0; k < 4 * rows; k++)
    if (x[k] > 0) staged[count++] = x[k];
  if (pt2c_rt_bind(call, 2, count) != 0) return 1;
  float *positive = values[8];
  for (int64_t k = 0; k < count; k++) positive[k] = staged[k];
  if (rows > 0) y[0] += 1;
  *(int64_t *)values[6] += 1;
  return 0;
}
