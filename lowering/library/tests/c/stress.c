/* Runs the stress model: threads and number of tasks are the arguments. Prints the 13 sums. */
#include "stress.h"

#include <stdio.h>
#include <stdlib.h>

int main(int argc, char **argv) {
  if (argc < 3) return 2;
  stress_options options = stress_options_default();
  options.threads = atoi(argv[1]);
  stress_context *context;
  if (stress_create(&options, &context) != stress_OK) return printf("%s\n", stress_error(context));
  int64_t out[stress_OUTPUT_out_ELEMENTS];
  stress_inputs inputs = stress_inputs_default();
  inputs.n = atoi(argv[2]);
  stress_outputs outputs = stress_outputs_default();
  outputs.out.data = out;
  outputs.out.capacity = stress_OUTPUT_out_ELEMENTS;
  if (stress_run(context, &inputs, &outputs) != stress_OK) return printf("%s\n", stress_error(context));
  for (int i = 0; i < 13; i++) printf("%lld ", (long long)out[i]);
  stress_destroy(context);
  return 0;
}
