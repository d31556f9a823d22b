/* Runs the model in its plain uses and prints what comes out. Arguments: threads. */
#include "scale.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

int main(int argc, char **argv) {
  scale_options options = scale_options_default();
  options.threads = argc > 1 ? atoi(argv[1]) : 1;
  scale_context *context;
  if (scale_create(&options, &context) != scale_OK) {
    printf("create: %s\n", scale_error(context));
    scale_destroy(context);
    return 1;
  }
  float x[8] = {1, -2, 3, -4, 5, 6, -7, 8}, y[5] = {0}, out[8] = {0}, positive[8] = {0};
  scale_inputs inputs = scale_inputs_default();
  inputs.x.data = x;
  inputs.x.shape[0] = 2;
  inputs.batch_y.data = y;
  inputs.batch_y.shape[0] = 5;
  inputs.n = 7;
  scale_outputs outputs = scale_outputs_default();
  if (scale_output_shapes(context, &inputs, &outputs) != scale_OK) return printf("%s\n", scale_error(context));
  printf("needed: out %lld (%lld x %lld), positive %lld (%lld)\n", (long long)outputs.out.capacity,
         (long long)outputs.out.shape[0], (long long)outputs.out.shape[1], (long long)outputs.positive.capacity,
         (long long)outputs.positive.shape[0]);
  outputs.out.data = out;
  outputs.positive.data = positive;
  for (int call = 0; call < 3; call++) {
    if (scale_run(context, &inputs, &outputs) != scale_OK) return printf("%s\n", scale_error(context));
  }
  printf("out");
  for (int i = 0; i < 8; i++) printf(" %g", out[i]);
  printf("\npositive (%lld)", (long long)outputs.positive.shape[0]);
  for (int i = 0; i < outputs.positive.shape[0]; i++) printf(" %g", positive[i]);
  printf("\ntotal %lld, y[0] %g, calls %lld\n", (long long)outputs.total, y[0],
         (long long)*scale_state_counter_calls(context));

  scale_state_bias(context)[0] = 100;
  scale_run(context, &inputs, &outputs);
  printf("changed bias: %g\n", out[0]);
  scale_reset(context);
  scale_run(context, &inputs, &outputs);
  printf("after reset: %g, calls %lld\n", out[0], (long long)*scale_state_counter_calls(context));

  x[5] = NAN;
  printf("NaN: status %d, %s\n", scale_run(context, &inputs, &outputs), scale_error(context));
  x[5] = 6;
  printf("again: status %d, \"%s\"\n", scale_run(context, &inputs, &outputs), scale_error(context));

  /* An empty batch needs no data at all. */
  inputs = scale_inputs_default();
  inputs.batch_y.data = y;
  inputs.batch_y.shape[0] = 1;
  inputs.n = 2;
  outputs = scale_outputs_default();
  printf("empty: status %d, %s\n", scale_run(context, &inputs, &outputs), scale_error(context));
  printf("empty shapes %lld x %lld, %lld\n", (long long)outputs.out.shape[0], (long long)outputs.out.shape[1],
         (long long)outputs.positive.shape[0]);

  const struct pt2c_model *model = scale_model();
  printf("model %s: %d inputs, first word of n %d, dim text %s, y position %d\n", model->name, (int)model->input_count,
         (int)model->inputs[2].first_word, model->inputs[1].dims[0].text, (int)model->inputs[1].position);
  scale_destroy(context);
  scale_destroy(NULL);
  return 0;
}
