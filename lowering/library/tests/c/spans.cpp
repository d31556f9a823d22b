// The C++ header over the test model: the numbers of tests/c/model.c.
#include "scale.hpp"

#include <cstdio>

int main() {
  scale::model model;
  std::vector<float> x{1, -2, 3, 4, 5, 6, 7, 8}, y(5);
  scale::inputs in;
  in.x = {x, {2, 4}};
  in.batch_y = {y, {5}};
  in.n = 3;
  scale::outputs out = model.run(in);
  std::printf("%g %g [%d, %d]\n", out.out.data[0], out.out.data[7], (int)out.out.shape[0], (int)out.out.shape[1]);
  std::printf("%zu positive, total %d, y %g, calls %d\n", out.positive.data.size(), (int)out.total, y[0],
              (int)model.state_counter_calls()[0]);
  in.x.shape[0] = 3;
  try {
    model.run(in);
  } catch (const pt2c::error &error) {
    std::printf("%d: %s\n", error.status, error.what());
  }
  in.x = {std::span(x).first(4), {1, 4}};
  in.batch_y = {std::span(y).first(3), {3}};
  try {
    model.run(in);
  } catch (const pt2c::error &error) {
    std::printf("%d: %s\n", error.status, error.what());
  }
  scale::model moved = std::move(model);
  moved.reset();
  std::printf("calls %d\n", (int)moved.state_counter_calls()[0]);
}
