/* Saves the state of one context, gives it to another, and offers what is no state of this model. */
#include "scale.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void attempt(scale_context *context, const char *what, const void *bytes, uint64_t size) {
  scale_status status = scale_load_state(context, bytes, size);
  printf("%s: %d %s; calls %lld\n", what, (int)status, scale_error(context), (long long)*scale_state_counter_calls(context));
}

int main(void) {
  scale_context *first, *second;
  if (scale_create(NULL, &first) != scale_OK || scale_create(NULL, &second) != scale_OK) return 1;
  *scale_state_counter_calls(first) = 41;
  scale_state_bias(first)[0] = 2.5f;

  uint64_t size = 0;
  if (scale_save_state(first, NULL, &size) != scale_OK) return 2;
  unsigned char *bytes = malloc(size), *bad = malloc(size);
  uint64_t small = size - 1;
  printf("small: %d %s\n", (int)scale_save_state(first, bytes, &small), scale_error(first));
  printf("needed again: %d\n", small == size);
  if (scale_save_state(first, bytes, &size) != scale_OK) return 3;
  printf("saved: %.8s version %d, %d buffers\n", (char *)bytes, bytes[8], bytes[12]);

  attempt(second, "cut", bytes, size - 1);
  attempt(second, "short", bytes, 10);
  attempt(second, "null", NULL, size);
  for (int at = 0; at < 4; at++) {
    static const int place[4] = {0, 8, 16, 44};
    memcpy(bad, bytes, size);
    bad[place[at]] ^= 2;
    attempt(second, "changed", bad, size);
  }
  attempt(second, "good", bytes, size);
  printf("bias %g\n", scale_state_bias(second)[0]);
  scale_reset(second);
  printf("reset: calls %lld\n", (long long)*scale_state_counter_calls(second));
  free(bytes);
  free(bad);
  scale_destroy(first);
  scale_destroy(second);
  return 0;
}
