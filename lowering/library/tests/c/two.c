/* Two models in one program, each with contexts on two threads at once; several threads inside each call. Prints the sums. */
#include "other.h"
#include "scale.h"

#include <pthread.h>
#include <stdio.h>

#define CALLS 200

static void *run_scale(void *argument) {
  float x[4 * 64], y[129] = {0}, out[4 * 64], positive[4 * 64];
  scale_options options = scale_options_default();
  options.threads = 2;
  scale_context *context;
  if (scale_create(&options, &context) != scale_OK) return NULL;
  double sum = 0;
  for (int call = 0; call < CALLS; call++) {
    int rows = 2 * (call % 33);
    for (int i = 0; i < 4 * rows; i++) x[i] = (float)(i % 7) - 3;
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
    if (scale_run(context, &inputs, &outputs) != scale_OK) return NULL;
    for (int i = 0; i < 4 * rows; i++) sum += out[i];
    for (int i = 0; i < outputs.positive.shape[0]; i++) sum += positive[i];
  }
  scale_destroy(context);
  *(double *)argument = sum;
  return argument;
}

static void *run_other(void *argument) {
  float x[8] = {1, 2, 3, 4, 5, 6, 7, 8}, y[5] = {0}, out[8];
  float positive[8];
  other_options options = other_options_default();
  options.threads = 3;
  other_context *context;
  if (other_create(&options, &context) != other_OK) return NULL;
  double sum = 0;
  for (int call = 0; call < CALLS; call++) {
    other_inputs inputs = other_inputs_default();
    inputs.x.data = x;
    inputs.x.shape[0] = 2;
    inputs.batch_y.data = y;
    inputs.batch_y.shape[0] = 5;
    inputs.n = 100;
    other_outputs outputs = other_outputs_default();
    outputs.out.data = out;
    outputs.out.capacity = outputs.positive.capacity = 8;
    outputs.positive.data = positive;
    if (other_run(context, &inputs, &outputs) != other_OK) return NULL;
    for (int i = 0; i < 8; i++) sum += out[i];
  }
  other_destroy(context);
  *(double *)argument = sum;
  return argument;
}

int main(void) {
  pthread_t threads[4];
  double sums[4];
  for (int i = 0; i < 4; i++) pthread_create(&threads[i], NULL, i < 2 ? run_scale : run_other, &sums[i]);
  for (int i = 0; i < 4; i++) {
    void *result = NULL;
    pthread_join(threads[i], &result);
    if (!result) return printf("thread %d failed\n", i);
  }
  for (int i = 0; i < 4; i++) printf("%.0f\n", sums[i]);
  return 0;
}
