"""Records what PyTorch's symbolic functions print and evaluate to, as an independent check of the parsers.

    python record.py > recorded.tsv

Each line: notation, text, then `assignment:value` pairs. Notations: srepr and str as sympy prints them (the forms in
exported archives), guard as `ExportedProgram.guards_code` has it. Values are computed by sympy's and PyTorch's own
evaluation (srepr, str) and by Python's evaluation of the text itself (guard).
"""

import math
import random

import sympy
import torch
from torch.fx.experimental.symbolic_shapes import ShapeGuardPythonPrinter
from torch.utils._sympy import functions as f

rng = random.Random(20)
NAMES = ["s0", "s1", "s77"]
SYMBOLS = [sympy.Symbol(n, positive=True, integer=True) for n in NAMES]
GUARD_TEXT = {"s0": "L['x'].size()[0]", "s1": "L['d']['k'][1].size()[2]", "s77": "L['n']"}
VALUES = [(1, 1, 1), (2, 3, 5), (7, 4, 12), (64, 17, 33), (100, 1, 9), (1023, 255, 8)]


def integer(depth):
    """A random non-negative-ish integer expression."""
    if depth == 0 or rng.random() < 0.15:
        return rng.choice(SYMBOLS) if rng.random() < 0.75 else sympy.Integer(rng.randint(1, 9))
    a = integer(depth - 1)
    b = integer(depth - 1)
    k = sympy.Integer(rng.randint(2, 9))
    divisor = b if rng.random() < 0.3 else k
    return rng.choice(
        [
            lambda: a + b,
            lambda: a - k,
            lambda: k * a + 1,
            lambda: a * b,
            lambda: f.FloorDiv(a, divisor),
            lambda: f.FloorDiv(a - 1, k) + 1,
            lambda: f.PythonMod(a - b, divisor),
            lambda: f.Mod(f.Max(a, 0), k),
            lambda: f.ModularIndexing(f.Max(a, 0), k, f.Max(divisor, 1)),
            lambda: f.Max(a, b),
            lambda: f.Min(a, b),
            lambda: f.CeilDiv(a, k),
            lambda: f.CeilToInt(f.IntTrueDiv(a, k)),
            lambda: f.FloorToInt(f.IntTrueDiv(a, k)),
            lambda: f.TruncToInt(f.IntTrueDiv(a, k)),
            lambda: f.RoundToInt(f.IntTrueDiv(a, sympy.Integer(2))),
            lambda: f.FloorToInt(f.ToFloat(a) * sympy.Float(1.5)),
            lambda: f.Where(condition(depth - 1), a, b),
            lambda: f.PowByNatural(rng.choice(SYMBOLS), sympy.Integer(2)),
            lambda: f.Identity(a) + 1,
            lambda: f.CleanDiv(a * 6, sympy.Integer(3)),
            lambda: sympy.Abs(a - b),
        ]
    )()


def condition(depth):
    a, b = integer(depth), integer(max(depth - 1, 0))
    relation = rng.choice([sympy.Eq, sympy.Ne, sympy.Lt, sympy.Le, sympy.Gt, sympy.Ge])
    result = relation(a, b)
    if depth > 1:
        kind = rng.random()
        if kind < 0.2:
            return sympy.And(result, condition(depth - 1))
        if kind < 0.4:
            return sympy.Or(result, condition(depth - 1))
        if kind < 0.5:
            return sympy.Not(result)
    return result


def evaluate(expr, values):
    done = expr.xreplace({s: sympy.Integer(v) for s, v in zip(SYMBOLS, values)})
    if done in (sympy.true, sympy.false):
        return int(bool(done))
    return int(done) if done.is_Integer else None


class Sized:
    def __init__(self, sizes):
        self.sizes = sizes

    def size(self):
        return self.sizes


def evaluate_text(text, values):
    s0, s1, s77 = values
    scope = {"x": Sized([s0]), "d": {"k": [None, Sized([0, 0, s1])]}, "n": s77}
    return int(eval(text, {"math": math, "torch": torch, "L": scope, "Where": lambda c, a, b: a if c else b}))


def attempt(make):
    """The result, or None where sympy refuses (division by zero and the like)."""
    try:
        return make()
    except (ZeroDivisionError, AssertionError, ValueError, TypeError, AttributeError, NameError, NotImplementedError, RecursionError):
        return None


def line(notation, text, results):
    pairs = [f"{','.join(map(str, v))}:{r}" for v, r in results if r is not None and abs(r) < 2**62]
    if pairs and "\n" not in text and len(text) < 600:
        print("\t".join([notation, text, *pairs]))


class Named:
    """A stand-in for the sources of symbols, whose text is the name."""

    def __init__(self, name):
        self.name = name


def main():
    sources = {s: [Named(GUARD_TEXT[s.name])] for s in SYMBOLS}
    printer = ShapeGuardPythonPrinter(sources, lambda source: source.name, sources)
    for number in range(400):
        is_condition = number % 3 == 0
        expr = attempt(lambda: condition(3) if is_condition else integer(3))
        if expr is None or not expr.free_symbols or expr.has(sympy.nan, sympy.zoo):
            continue
        results = [(v, attempt(lambda: evaluate(expr, v))) for v in VALUES]
        suffix = "_pred" if is_condition else ""
        line("srepr" + suffix, sympy.srepr(expr), results)
        line("str" + suffix, str(expr), results)
        if is_condition:
            text = attempt(lambda: printer.doprint(expr))
            if text is not None:
                line("guard", text, [(v, attempt(lambda: evaluate_text(text, v))) for v in VALUES])


main()
