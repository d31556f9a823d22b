/* Two programs of one library, "both_a" and "both_b": their weights are one, their state can be. */
#include "both.h"

#include <stdio.h>

static int64_t calls_of_b(both_b_context *b) { return *both_b_state_counter_calls(b); }

int main(void) {
  both_a_context *a;
  both_b_context *b;
  if (both_a_create(0, &a) != both_a_OK || both_b_create(0, &b) != both_b_OK) return 1;
  printf("weights %s\n", both_a_model()->weights == both_b_model()->weights ? "shared" : "twice");
  float x[8] = {1, 1, 1, 1, 1, 1, 1, 1}, y[5] = {0}, out[8], positive[8];
  both_a_inputs inputs = both_a_inputs_default();
  inputs.x.data = x;
  inputs.x.shape[0] = 2;
  inputs.batch_y.data = y;
  inputs.batch_y.shape[0] = 5;
  inputs.n = 3;
  both_a_outputs outputs = both_a_outputs_default();
  outputs.out.data = out;
  outputs.out.capacity = 8;
  outputs.positive.data = positive;
  outputs.positive.capacity = 8;
  if (both_a_run(a, &inputs, &outputs) != both_a_OK) {
    puts(both_a_error(a));
    return 2;
  }
  printf("%g %g, b counted %d\n", out[0], out[3], (int)calls_of_b(b));
  if (both_b_share_state_of_a(b, a) != both_b_OK) return 3;
  printf("b counted %d\n", (int)calls_of_b(b));
  both_a_run(a, &inputs, &outputs);
  printf("b counted %d\n", (int)calls_of_b(b));
  if (both_b_share_state_of_a(b, 0) != both_b_ERROR_ARGUMENT) return 4;
  puts(both_b_error(b));
  both_b_reset(b);
  printf("a counted %d\n", (int)*both_a_state_counter_calls(a));
  both_b_destroy(b);
  both_a_destroy(a);
  return 0;
}
