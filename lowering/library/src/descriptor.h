/* The description of a model, the same in every library: for callers that drive any model without its typed structs. Such a
 * caller passes arrays of 8-byte words for inputs and outputs: a tensor input is data, shape[rank]; a tensor output is
 * data, capacity, shape[rank]; an integer is one word; first_word says where a leaf begins. */
#ifndef PT2C_DESCRIPTOR_2
#define PT2C_DESCRIPTOR_2

/* A formula in postfix form: words start to start + length of pt2c_model.programs; length 0 = none. */
typedef struct pt2c_program {
  uint32_t start;
  uint32_t length;
} pt2c_program;

typedef struct pt2c_size {
  pt2c_program program;
  const char *text; /* "s0", "2*s0 + 1", "1024" */
  int64_t min;
  int64_t max; /* INT64_MAX = no bound */
} pt2c_size;

typedef struct pt2c_leaf {
  const char *name; /* member of the typed struct */
  const char *path; /* PyTorch's name */
  uint32_t kind; /* 0 tensor, 1 integer */
  uint32_t dtype; /* 0 bool, 1 uint8, 2 int8, 3 uint16, 4 int16, 5 uint32, 6 int32, 7 uint64, 8 int64, 9 float16, 10 bfloat16,
                   * 11 float32, 12 float64, 13 complex32, 14 complex64, 15 complex128, 16 float8_e4m3fn, 17 float8_e5m2,
                   * 18 float8_e4m3fnuz, 19 float8_e5m2fnuz, 20 float8_e8m0fnu */
  uint32_t rank;
  uint32_t flags; /* 1: the call changes this input; 2: the size of this output is known during the call */
  uint32_t position; /* among the flattened leaves of the exported program */
  uint32_t first_word;
  uint32_t late; /* of such an output: the symbol that decides its size */
  uint32_t reserved;
  const pt2c_size *dims;
  pt2c_program value; /* of an integer */
  pt2c_program most; /* greatest number of elements of a late output */
} pt2c_leaf;

typedef struct pt2c_symbol {
  const char *name;
  int64_t min;
  int64_t max;
} pt2c_symbol;

typedef struct pt2c_binding {
  uint32_t symbol;
  uint32_t source; /* 0: size dim of tensor input = scale * symbol + offset; 1: the same for an integer; 2: computed by the call */
  uint32_t input;
  uint32_t dim;
  int64_t scale;
  pt2c_program offset;
} pt2c_binding;

typedef struct pt2c_constraint {
  pt2c_program program; /* must not be 0 */
  uint32_t input;
  uint32_t dim;
  const char *text;
  uint32_t late; /* the computed symbol after which it is checked; 0xffffffff: at the start */
  uint32_t reserved;
} pt2c_constraint;

typedef struct pt2c_state {
  const char *name;
  const char *path; /* PyTorch's name of the buffer */
  uint32_t dtype;
  uint32_t rank;
  const int64_t *shape;
  uint64_t size; /* bytes */
  uint64_t offset;
  uint64_t initial;
} pt2c_state;

typedef struct pt2c_buffer {
  uint32_t kind; /* 0 input, 1 output, 2 working memory, 3 state, 4 weights */
  uint32_t index;
  pt2c_program offset;
  pt2c_program size;
  uint32_t late;
  uint32_t reserved;
} pt2c_buffer;

typedef struct pt2c_model {
  uint64_t magic; /* "pt2cmodl" */
  uint32_t abi_version; /* 2 */
  uint32_t struct_size; /* sizeof(pt2c_model) */
  const char *name;
  const char *cpu;
  uint64_t cpu_features;
  const pt2c_leaf *inputs;
  uint64_t input_count;
  const pt2c_leaf *outputs;
  uint64_t output_count;
  const pt2c_symbol *symbols;
  uint64_t symbol_count;
  const pt2c_binding *bindings;
  uint64_t binding_count;
  const pt2c_constraint *constraints;
  uint64_t constraint_count;
  const pt2c_state *states;
  uint64_t state_count;
  uint64_t state_size;
  const pt2c_buffer *buffers;
  uint64_t buffer_count;
  const char *const *messages;
  uint64_t message_count;
  const int64_t *programs;
  uint64_t program_words;
  pt2c_program arena_size;
  uint64_t input_words;
  uint64_t output_words;
  const uint8_t *weights;
  uint64_t weights_size;
  uint64_t weights_hash;
  const char *weights_file;
  int32_t (*main)(void *const *values, int64_t *symbols, void *call);
} pt2c_model;

#endif
