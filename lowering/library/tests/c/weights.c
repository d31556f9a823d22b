/* Creates a context with the weights file given as argument (none: the default) and prints one result or the error. */
#include "scale.h"

#include <stdio.h>

int main(int argc, char **argv) {
  scale_options options = scale_options_default();
  options.threads = 1;
  if (argc > 1) options.weights_file = argv[1];
  if (argc > 2) options.verify_weights = 1;
  scale_context *context;
  int status = scale_create(&options, &context);
  if (status != scale_OK) {
    printf("%d %s\n", status, scale_error(context));
    scale_destroy(context);
    return 0;
  }
  float x[8] = {1, 1, 1, 1, 1, 1, 1, 1}, y[5] = {0}, out[8], positive[8];
  scale_inputs inputs = scale_inputs_default();
  inputs.x.data = x;
  inputs.x.shape[0] = 2;
  inputs.batch_y.data = y;
  inputs.batch_y.shape[0] = 5;
  inputs.n = 7;
  scale_outputs outputs = scale_outputs_default();
  outputs.out.data = out;
  outputs.out.capacity = outputs.positive.capacity = 8;
  outputs.positive.data = positive;
  status = scale_run(context, &inputs, &outputs);
  printf("%d %g\n", status, out[3]);
  scale_destroy(context);
  return 0;
}
