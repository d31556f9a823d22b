/* Runs and times any compiled library through its descriptor: the linked C code itself, no Python and no compiler around it.
 *
 * Build:  cc -O2 -DPT2C_NAME=model -DPT2C_HEADER='"model.h"' -I DIR bench/harness.c DIR/libmodel.a -lm -pthread -o harness
 * Use:    harness INPUTS.safetensors [--threads N] [--iterations N] [--seconds S] [--serve]
 *                 [--outputs F] [--inputs-after F] [--state-out F]
 *
 * Inputs are found by flattened position (0000, 0001, ...); an integer input is a 0-d int64 tensor. Results are written after
 * the first call, complex tensors as real pairs. Prints {"median_ms", "min_ms", "iterations", "threads"} once, and with
 * --serve once more for each line of stdin, measured anew. --iterations 0 means as many as fit in --seconds;
 * --iterations -1 means one call and no timing. State and changed inputs are left as the call before made them.
 */
#define _POSIX_C_SOURCE 200809L
#include <inttypes.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include PT2C_HEADER

#define JOIN2(a, b) a##b
#define JOIN(a, b) JOIN2(a, b)
#define API(suffix) JOIN(PT2C_NAME, suffix)

static void die(const char *what, const char *detail) {
  fprintf(stderr, "harness: %s%s%s\n", what, detail ? ": " : "", detail ? detail : "");
  exit(1);
}

static void *allocate(size_t bytes) {
  void *memory = NULL;
  if (posix_memalign(&memory, 64, bytes ? bytes : 64) != 0) die("out of memory", NULL);
  memset(memory, 0, bytes ? bytes : 64);
  return memory;
}

/* Bytes and safetensors name of an element, by the descriptor's type code; complex types as their parts. */
static const struct {
  size_t bytes;
  const char *name;
  int complex;
} TYPES[] = {
    {1, "BOOL", 0}, {1, "U8", 0},   {1, "I8", 0},  {2, "U16", 0}, {2, "I16", 0},     {4, "U32", 0},     {4, "I32", 0},
    {8, "U64", 0},  {8, "I64", 0},  {2, "F16", 0}, {2, "BF16", 0}, {4, "F32", 0},     {8, "F64", 0},     {4, "F16", 1},
    {8, "F32", 1},  {16, "F64", 1}, {1, "F8_E4M3", 0}, {1, "F8_E5M2", 0},
};

static void check_type(uint32_t dtype) {
  if (dtype >= sizeof TYPES / sizeof *TYPES) die("an element type that safetensors lacks", NULL);
}

/* --- reading safetensors ----------------------------------------------------------------------------------------------- */

typedef struct {
  char *header;
  char *data;
} archive;

static archive read_archive(const char *path) {
  FILE *file = fopen(path, "rb");
  if (!file) die("cannot open", path);
  uint64_t length = 0;
  if (fread(&length, 8, 1, file) != 1 || length > (1u << 26)) die("not a safetensors file", path);
  archive found;
  found.header = allocate(length + 1);
  if (fread(found.header, 1, length, file) != length) die("short file", path);
  long start = ftell(file);
  fseek(file, 0, SEEK_END);
  long bytes = ftell(file) - start;
  fseek(file, start, SEEK_SET);
  found.data = allocate((size_t)bytes);
  if (fread(found.data, 1, (size_t)bytes, file) != (size_t)bytes) die("short file", path);
  fclose(file);
  return found;
}

/* Copies the numbers of the JSON list `"key":[...]` after `entry`; returns how many. */
static int list(const char *entry, const char *key, int64_t *values, int room) {
  const char *at = strstr(entry, key);
  if (!at) die("malformed safetensors header", key);
  at = strchr(at, '[');
  int count = 0;
  for (at++; *at && *at != ']';) {
    char *end;
    long long value = strtoll(at, &end, 10);
    if (end == at) {
      at++;
      continue;
    }
    if (count < room) values[count] = value;
    count++;
    at = end;
  }
  return count;
}

/* A copy of the tensor at `position`; fills its shape. */
static void *load(const archive *from, const pt2c_leaf *leaf, int64_t *shape, int *rank) {
  char key[32];
  snprintf(key, sizeof key, "\"%04" PRIu32 "\"", leaf->position);
  const char *entry = strstr(from->header, key);
  if (!entry) die("the inputs lack", leaf->path);
  int64_t offsets[2] = {0, 0};
  *rank = list(entry, "\"shape\"", shape, 16);
  list(entry, "\"data_offsets\"", offsets, 2);
  char type[32];
  check_type(leaf->dtype);
  snprintf(type, sizeof type, "\"dtype\":\"%s\"", TYPES[leaf->dtype].name);
  const char *stop = strchr(entry, '}');
  const char *given = strstr(entry, type);
  if (!given || given > stop) die("wrong element type", leaf->path);
  void *copy = allocate((size_t)(offsets[1] - offsets[0]));
  memcpy(copy, from->data + offsets[0], (size_t)(offsets[1] - offsets[0]));
  return copy;
}

/* --- writing safetensors ----------------------------------------------------------------------------------------------- */

typedef struct {
  char key[256];
  uint32_t dtype;
  uint32_t rank;
  const int64_t *shape;
  const void *data;
} item;

static void write_archive(const char *path, const item *items, size_t count) {
  size_t room = 64 + count * 512, used = 0;
  char *header = allocate(room);
  uint64_t offset = 0;
  used += (size_t)snprintf(header + used, room - used, "{");
  for (size_t i = 0; i < count; i++) {
    uint64_t bytes = TYPES[items[i].dtype].bytes;
    used += (size_t)snprintf(header + used, room - used, "%s\"%s\":{\"dtype\":\"%s\",\"shape\":[", i ? "," : "", items[i].key,
                             TYPES[items[i].dtype].name);
    for (uint32_t d = 0; d < items[i].rank; d++) {
      bytes *= (uint64_t)items[i].shape[d];
      used += (size_t)snprintf(header + used, room - used, "%s%" PRId64, d ? "," : "", items[i].shape[d]);
    }
    if (TYPES[items[i].dtype].complex) used += (size_t)snprintf(header + used, room - used, "%s2", items[i].rank ? "," : "");
    used += (size_t)snprintf(header + used, room - used, "],\"data_offsets\":[%" PRIu64 ",%" PRIu64 "]}", offset, offset + bytes);
    offset += bytes;
  }
  used += (size_t)snprintf(header + used, room - used, "}");
  while (used % 8) header[used++] = ' ';
  FILE *file = fopen(path, "wb");
  uint64_t length = used;
  if (!file || fwrite(&length, 8, 1, file) != 1 || fwrite(header, 1, used, file) != used) die("cannot write", path);
  for (size_t i = 0; i < count; i++) {
    size_t bytes = TYPES[items[i].dtype].bytes;
    for (uint32_t d = 0; d < items[i].rank; d++) bytes *= (size_t)items[i].shape[d];
    if (bytes && fwrite(items[i].data, 1, bytes, file) != bytes) die("cannot write", path);
  }
  if (fclose(file) != 0) die("cannot write", path);
  free(header);
}

/* --- running ----------------------------------------------------------------------------------------------------------- */

static double now_ms(void) {
  struct timespec at;
  clock_gettime(CLOCK_MONOTONIC, &at);
  return (double)at.tv_sec * 1e3 + (double)at.tv_nsec * 1e-6;
}

static int ascending(const void *a, const void *b) {
  double x = *(const double *)a, y = *(const double *)b;
  return (x > y) - (x < y);
}

typedef struct {
  API(_context) * context;
  const pt2c_model *model;
  int64_t *inputs;
  int64_t *outputs;
} program;

static void call(program *p) {
  if (API(_run)(p->context, (const API(_inputs) *)(const void *)p->inputs, (API(_outputs) *)(void *)p->outputs) != 0)
    die("the call failed", API(_error)(p->context));
}

/* Calls with room for the results; where only the run tells a size, a call with too little room tells how much is needed. */
static void call_with_room(program *p) {
  const pt2c_model *m = p->model;
  for (uint64_t i = 0; i < m->output_count; i++) {
    const pt2c_leaf *leaf = &m->outputs[i];
    if (leaf->kind == 1) continue;
    check_type(leaf->dtype);
    int64_t *words = p->outputs + leaf->first_word;
    if (words[1] < 0) words[1] = 0;
    words[0] = (int64_t)(intptr_t)allocate((size_t)words[1] * TYPES[leaf->dtype].bytes);
  }
  for (uint64_t attempt = 0; attempt <= 2 * m->output_count; attempt++) {
    int status = API(_run)(p->context, (const API(_inputs) *)(const void *)p->inputs, (API(_outputs) *)(void *)p->outputs);
    if (status == 0) return;
    if (status != API(_ERROR_CAPACITY)) break;
    for (uint64_t i = 0; i < m->output_count; i++) {
      const pt2c_leaf *leaf = &m->outputs[i];
      if (leaf->kind == 1) continue;
      int64_t *words = p->outputs + leaf->first_word;
      int64_t needed = 1;
      for (uint32_t d = 0; d < leaf->rank; d++) needed = words[2 + d] < 0 ? 0 : needed * words[2 + d];
      if (needed <= words[1]) continue;
      free((void *)(intptr_t)words[0]);
      words[0] = (int64_t)(intptr_t)allocate((size_t)needed * TYPES[leaf->dtype].bytes);
      words[1] = needed;
    }
  }
  die("the call failed", API(_error)(p->context));
}

static void measure(program *p, int iterations, double seconds, int threads) {
  double start = now_ms();
  for (int i = 0; i < 3; i++) call(p);
  double once = (now_ms() - start) / 3;
  int count = iterations;
  if (!count) {
    double fit = seconds * 1e3 / (once > 1e-4 ? once : 1e-4);
    count = fit < 5 ? 5 : fit > 20000 ? 20000 : (int)fit;
  }
  double *times = allocate((size_t)count * sizeof *times);
  for (int i = 0; i < count; i++) {
    double begin = now_ms();
    call(p);
    times[i] = now_ms() - begin;
  }
  qsort(times, (size_t)count, sizeof *times, ascending);
  double median = count % 2 ? times[count / 2] : (times[count / 2 - 1] + times[count / 2]) / 2;
  printf("{\"median_ms\": %.6f, \"min_ms\": %.6f, \"iterations\": %d, \"threads\": %d}\n", median, times[0], count, threads);
  fflush(stdout);
  free(times);
}

int main(int argc, char **argv) {
  const char *given = NULL, *outputs = NULL, *after = NULL, *state_out = NULL;
  int threads = 1, iterations = 0, serve = 0;
  double seconds = 1.0;
  for (int i = 1; i < argc; i++) {
    const char *next = i + 1 < argc ? argv[i + 1] : "";
    if (!strcmp(argv[i], "--threads")) threads = atoi(next), i++;
    else if (!strcmp(argv[i], "--iterations")) iterations = atoi(next), i++;
    else if (!strcmp(argv[i], "--seconds")) seconds = atof(next), i++;
    else if (!strcmp(argv[i], "--outputs")) outputs = next, i++;
    else if (!strcmp(argv[i], "--inputs-after")) after = next, i++;
    else if (!strcmp(argv[i], "--state-out")) state_out = next, i++;
    else if (!strcmp(argv[i], "--serve")) serve = 1;
    else if (!given && argv[i][0] != '-') given = argv[i];
    else die("unknown argument", argv[i]);
  }
  if (!given) die("which inputs? harness INPUTS.safetensors [options]; see the first lines of harness.c", NULL);

  program p;
  memset(&p, 0, sizeof p);
  p.model = (const pt2c_model *)API(_model)();
  API(_options) options = API(_options_default)();
  options.threads = threads;
  if (API(_create)(&options, &p.context) != 0) die("cannot create a context", API(_error)(p.context));

  const pt2c_model *m = p.model;
  archive from = read_archive(given);
  p.inputs = allocate((m->input_words + 1) * 8);
  p.outputs = allocate((m->output_words + 1) * 8);
  for (uint64_t i = 0; i < m->input_count; i++) {
    const pt2c_leaf *leaf = &m->inputs[i];
    int64_t shape[16];
    int rank = 0;
    void *data = load(&from, leaf, shape, &rank);
    int64_t *words = p.inputs + leaf->first_word;
    if (leaf->kind == 1) {
      words[0] = *(const int64_t *)data;
      free(data);
      continue;
    }
    if (rank != (int)leaf->rank + TYPES[leaf->dtype].complex) die("wrong number of dimensions", leaf->path);
    words[0] = (int64_t)(intptr_t)data;
    memcpy(words + 1, shape, leaf->rank * 8);
  }
  if (API(_output_shapes)(p.context, (const API(_inputs) *)(const void *)p.inputs, (API(_outputs) *)(void *)p.outputs) != 0)
    die("the inputs are refused", API(_error)(p.context));
  call_with_room(&p);

  if (outputs) {
    item *items = allocate((m->output_count + 1) * sizeof *items);
    for (uint64_t i = 0; i < m->output_count; i++) {
      const pt2c_leaf *leaf = &m->outputs[i];
      const int64_t *words = p.outputs + leaf->first_word;
      snprintf(items[i].key, sizeof items[i].key, "%04" PRIu32, leaf->position);
      items[i].dtype = leaf->kind == 1 ? 8 : leaf->dtype;
      items[i].rank = leaf->kind == 1 ? 0 : leaf->rank;
      items[i].shape = words + 2;
      items[i].data = leaf->kind == 1 ? (const void *)words : (const void *)(intptr_t)words[0];
    }
    write_archive(outputs, items, m->output_count);
    free(items);
  }
  if (after) {
    item *items = allocate((m->input_count + 1) * sizeof *items);
    size_t count = 0;
    for (uint64_t i = 0; i < m->input_count; i++) {
      const pt2c_leaf *leaf = &m->inputs[i];
      if (!(leaf->flags & 1)) continue;
      const int64_t *words = p.inputs + leaf->first_word;
      snprintf(items[count].key, sizeof items[count].key, "%04" PRIu32, leaf->position);
      items[count].dtype = leaf->dtype;
      items[count].rank = leaf->rank;
      items[count].shape = words + 1;
      items[count++].data = (const void *)(intptr_t)words[0];
    }
    write_archive(after, items, count);
    free(items);
  }
  if (state_out) {
    item *items = allocate((m->state_count + 1) * sizeof *items);
    for (uint64_t i = 0; i < m->state_count; i++) {
      snprintf(items[i].key, sizeof items[i].key, "%s", m->states[i].path);
      items[i].dtype = m->states[i].dtype;
      items[i].rank = m->states[i].rank;
      items[i].shape = m->states[i].shape;
      items[i].data = API(_state)(p.context, i, NULL);
    }
    write_archive(state_out, items, m->state_count);
    free(items);
  }

  if (iterations >= 0) {
    measure(&p, iterations, seconds, threads);
    char line[256];
    while (serve && fgets(line, sizeof line, stdin)) measure(&p, iterations, seconds, threads);
  }

  for (uint64_t i = 0; i < m->input_count; i++)
    if (m->inputs[i].kind == 0) free((void *)(intptr_t)p.inputs[m->inputs[i].first_word]);
  for (uint64_t i = 0; i < m->output_count; i++)
    if (m->outputs[i].kind == 0) free((void *)(intptr_t)p.outputs[m->outputs[i].first_word]);
  free(p.inputs);
  free(p.outputs);
  free(from.header);
  free(from.data);
  API(_destroy)(p.context);
  return 0;
}
