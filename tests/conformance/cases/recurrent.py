"""LSTM, GRU and RNN as one operator: layers, directions, biases, projections, layouts; and the cells."""

from values import *


def parameters(gates, inputs, hidden, layers, bidirectional, biases, projection=0):
    directions = 2 if bidirectional else 1
    found = []
    out = projection or hidden
    for layer in range(layers):
        size = inputs if layer == 0 else out * directions
        for _ in range(directions):
            found += [f(gates * hidden, size) * 0.4, f(gates * hidden, out) * 0.4]
            if biases:
                found += [f(gates * hidden) * 0.4, f(gates * hidden) * 0.4]
            if projection:
                found.append(f(projection, hidden) * 0.4)
    return found


def cases(r):
    for layers, both, biases, batch_first in ((1, False, True, False), (1, False, False, True), (2, False, True, True), (1, True, True, False), (2, True, True, True)):
        states = layers * (2 if both else 1)
        x = f(2, 5, 3) if batch_first else f(5, 2, 3)
        tail = (biases, layers, 0.0, False, both, batch_first)
        h, cell = f(states, 2, 4), f(states, 2, 4)
        r("aten.lstm.input", x, [h, cell], parameters(4, 3, 4, layers, both, biases), *tail)
        r("aten.gru.input", x, h, parameters(3, 3, 4, layers, both, biases), *tail)
        r("aten.rnn_tanh.input", x, h, parameters(1, 3, 4, layers, both, biases), *tail)
        r("aten.rnn_relu.input", x, h, parameters(1, 3, 4, layers, both, biases), *tail)
    x = f(5, 2, 3)
    r("aten.lstm.input", x, [f(1, 2, 2), f(1, 2, 4)], parameters(4, 3, 4, 1, False, True, 2), True, 1, 0.0, False, False, False)
    r("aten.lstm.input", x, [f(4, 2, 2), f(4, 2, 4)], parameters(4, 3, 4, 2, True, False, 2), False, 2, 0.0, False, True, False)
    r("aten.lstm.input", f(5, 3), [f(1, 4), f(1, 4)], parameters(4, 3, 4, 1, False, True), True, 1, 0.0, False, False, False)
    r("aten.lstm.input", f(1, 1, 3), [f(1, 1, 4), f(1, 1, 4)], parameters(4, 3, 4, 1, False, True), True, 1, 0.0, False, False, False)
    r("aten.lstm.input", f(5, 0, 3), [f(1, 0, 4), f(1, 0, 4)], parameters(4, 3, 4, 1, False, True), True, 1, 0.0, False, False, False)
    r("aten.lstm.input", f(5, 2, 3, dtype=f64), [f(1, 2, 4, dtype=f64), f(1, 2, 4, dtype=f64)], [p.to(f64) for p in parameters(4, 3, 4, 1, False, True)], True, 1, 0.0, False, False, False)
    packed = torch.nn.utils.rnn.pack_padded_sequence(f(4, 3, 3), t([4, 2, 1], i64))
    for op, gates in (("lstm", 4), ("gru", 3)):
        state = [f(1, 3, 4), f(1, 3, 4)] if op == "lstm" else f(1, 3, 4)
        r(f"aten.{op}.data", packed.data, packed.batch_sizes, state, parameters(gates, 3, 4, 1, False, True), True, 1, 0.0, False, False)
    r("aten.lstm_cell.default", f(2, 3), [f(2, 4), f(2, 4)], f(16, 3), f(16, 4), f(16), f(16))
    r("aten.lstm_cell.default", f(2, 3), [f(2, 4), f(2, 4)], f(16, 3), f(16, 4))
    r("aten.gru_cell.default", f(2, 3), f(2, 4), f(12, 3), f(12, 4), f(12), f(12))
    r("aten.gru_cell.default", f(2, 3), f(2, 4), f(12, 3), f(12, 4))
    r("aten.rnn_tanh_cell.default", f(2, 3), f(2, 4), f(4, 3), f(4, 4), f(4), f(4))
    r("aten.rnn_relu_cell.default", f(2, 3), f(2, 4), f(4, 3), f(4, 4), f(4), f(4))
