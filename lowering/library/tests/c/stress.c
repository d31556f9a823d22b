/* Runs the stress model: threads and number of tasks are the arguments. Prints the 13 sums. With a third argument the process
 * forks after its call, and the new one calls the same context, destroys it and makes another. */
#include "stress.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

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
  if (argc > 3) {
    fflush(stdout);
    pid_t child = fork();
    if (child == 0) {
      alarm(60); /* instead of waiting for threads that are not there */
      if (stress_run(context, &inputs, &outputs) != stress_OK) return 3;
      stress_destroy(context);
      for (int i = 0; i < 13; i++) printf("%lld ", (long long)out[i]);
      if (stress_create(&options, &context) != stress_OK) return 4;
      if (stress_run(context, &inputs, &outputs) != stress_OK) return 5;
    }
    int status;
    if (child > 0 && (waitpid(child, &status, 0) != child || status != 0)) return 6;
    if (child > 0 && stress_run(context, &inputs, &outputs) != stress_OK) return 7;
    for (int i = 0; i < 13; i++) printf("%lld ", (long long)out[i]);
  }
  stress_destroy(context);
  return 0;
}
