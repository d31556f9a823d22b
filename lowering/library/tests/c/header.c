/* The header alone, and the descriptor's structs against the sizes that the Rust side asserts. */
#include "types.h"

typedef char check_program[sizeof(pt2c_program) == 8 ? 1 : -1];
typedef char check_size[sizeof(pt2c_size) == 32 ? 1 : -1];
typedef char check_leaf[sizeof(pt2c_leaf) == 72 ? 1 : -1];
typedef char check_symbol[sizeof(pt2c_symbol) == 24 ? 1 : -1];
typedef char check_binding[sizeof(pt2c_binding) == 32 ? 1 : -1];
typedef char check_constraint[sizeof(pt2c_constraint) == 32 ? 1 : -1];
typedef char check_buffer[sizeof(pt2c_buffer) == 32 ? 1 : -1];
typedef char check_state[sizeof(pt2c_state) == 56 ? 1 : -1];
typedef char check_model[sizeof(pt2c_model) == 256 ? 1 : -1];

types_inputs make(void);
types_inputs make(void) {
  types_inputs inputs = types_inputs_default();
  types_outputs outputs = types_outputs_default();
  inputs.class_.shape[0] = (int64_t)sizeof(outputs);
  return inputs;
}
