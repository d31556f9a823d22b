/* A tensor that a custom operator is given or fills: dense and row-major. The same in every library. */
#ifndef PT2C_TENSOR_1
#define PT2C_TENSOR_1

typedef struct pt2c_tensor {
  void *data; /* of an argument: only to be read */
  const int64_t *sizes;
  int32_t rank;
  int32_t dtype; /* 0 bool, 1 uint8, 2 int8, 3 uint16, 4 int16, 5 uint32, 6 int32, 7 uint64, 8 int64, 9 float16, 10 bfloat16,
                  * 11 float32, 12 float64 */
} pt2c_tensor;

#endif

