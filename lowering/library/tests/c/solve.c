/* Sizes that determine symbols only through a formula: prints what the library makes of some. Arguments: the two sizes. */
#include "solve.h"

#include <stdio.h>
#include <stdlib.h>

int main(int argc, char **argv) {
  if (argc < 3) return 2;
  solve_context *context;
  int status = solve_create(NULL, &context);
  if (status != solve_OK) {
    printf("%d %s", status, solve_error(context));
    solve_destroy(context);
    return 0;
  }
  solve_inputs inputs = solve_inputs_default();
  inputs.a.shape[0] = atoll(argv[1]);
  inputs.b.shape[0] = atoll(argv[2]);
  solve_outputs outputs = solve_outputs_default();
  status = solve_output_shapes(context, &inputs, &outputs);
  printf("%d %s%lld %lld", status, solve_error(context), (long long)outputs.y.shape[0], (long long)outputs.y.shape[1]);
  solve_destroy(context);
  return 0;
}
