/* Breaks every rule of the interface once and prints status and message. */
#include "scale.h"

#include <stdio.h>

static float x[4 * 66], y[2 * 66 + 1], out[4 * 66], positive[4 * 66];
static scale_context *context;
static scale_inputs inputs;
static scale_outputs outputs;

static void fresh(void) {
  inputs = scale_inputs_default();
  inputs.x.data = x;
  inputs.x.shape[0] = 2;
  inputs.batch_y.data = y;
  inputs.batch_y.shape[0] = 5;
  inputs.n = 7;
  outputs = scale_outputs_default();
  outputs.out.data = out;
  outputs.out.capacity = 4 * 66;
  outputs.positive.data = positive;
  outputs.positive.capacity = 4 * 66;
}

static void try(const char *what) {
  int status = scale_run(context, &inputs, &outputs);
  printf("%s: %d %s\n", what, status, scale_error(context));
  fresh();
  if (scale_run(context, &inputs, &outputs) != scale_OK) printf("NOT USABLE AFTERWARDS: %s\n", scale_error(context));
}

int main(void) {
  scale_options options = scale_options_default();
  options.threads = 1;
  if (scale_create(&options, &context) != scale_OK) return 1;
  fresh();
  inputs.x.shape[1] = 5;
  try("fixed size");
  inputs.x.shape[0] = 66;
  try("above range");
  inputs.x.shape[0] = -1;
  try("negative");
  inputs.n = 1;
  try("integer below range");
  inputs.batch_y.shape[0] = 6;
  try("derived");
  inputs.x.shape[0] = 3;
  inputs.batch_y.shape[0] = 7;
  try("divisibility");
  inputs.x.shape[0] = 20;
  inputs.batch_y.shape[0] = 41;
  inputs.n = 2;
  try("two symbols");
  inputs.x.data = NULL;
  try("null input");
  inputs.x.data = (const float *)((const char *)x + 1);
  try("misaligned input");
  outputs.out.data = NULL;
  try("null output");
  outputs.out.capacity = 7;
  try("small output");
  outputs.out.data = (float *)((char *)out + 2);
  try("misaligned output");
  x[0] = 1;
  outputs.positive.capacity = 0;
  try("small computed output");
  printf("null structs: %d", scale_run(context, NULL, &outputs));
  printf(" %s;", scale_error(context));
  printf(" %d", scale_run(context, &inputs, NULL));
  printf(" %s; %d %s\n", scale_error(context), scale_run(NULL, &inputs, &outputs), scale_error(NULL));
  scale_destroy(context);

  options.threads = -1;
  int status = scale_create(&options, &context);
  printf("threads: %d %s\n", status, scale_error(context));
  status = scale_run(context, &inputs, &outputs);
  printf("run on it: %d %s\n", status, scale_error(context));
  scale_destroy(context);
  options = scale_options_default();
  options.size = 8;
  status = scale_create(&options, &context);
  printf("size: %d %s\n", status, scale_error(context));
  scale_destroy(context);
  options = scale_options_default();
  options.capacity.s0 = 65;
  status = scale_create(&options, &context);
  printf("capacity: %d %s\n", status, scale_error(context));
  scale_destroy(context);
  printf("create without a place: %d\n", scale_create(NULL, NULL));
  return 0;
}
