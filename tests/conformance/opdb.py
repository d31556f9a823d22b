"""Exports PyTorch's own operator database with torch.export, one archive for each sample, into a cache on disk.

A sample is a module whose forward is one call of an operator (`op(input, *args, **kwargs)`): its tensors are inputs,
everything else is a constant. Beside `KEY.pt2` lie `KEY.safetensors` (tensors `in.NNNN` and `out.NNNN` by leaf; complex
ones as real pairs) and `KEY.json` (dtypes, tolerances, or why PyTorch does not export the sample). What is in the cache is
not exported again.

The dynamic variant exports samples that have a size above 1 with every dimension `Dim.AUTO` and records the results at
several sizes (`KEY.N.safetensors`): the sample's own, 1, 2, 7, one more, twice and one more, and the bounds that PyTorch
recorded. Sizes that PyTorch itself refuses are kept with its reason: the library has to refuse them as well.
"""

import contextlib
import json
import math
import random
import re
import signal
import unittest.mock
import warnings
from pathlib import Path

import torch
from safetensors.torch import save_file

from recorder import DTYPE_NAMES, EPS, OVERFLOWS, RTOL, WIDER

DTYPES = {
    "f32": torch.float32,
    "f64": torch.float64,
    "i64": torch.int64,
    "bool": torch.bool,
    "f16": torch.float16,
    "bf16": torch.bfloat16,
    "c64": torch.complex64,
}
# Larger samples test nothing more and take long in the interpreter.
MAX_ELEMENTS = 20_000
EXPORT_SECONDS = 60
# What op_db calls an operator but tests something else (tracing helpers, in-place random fills, sparse tensors).
FORMATS_UNKNOWN = "no strided tensors of the dtypes that archives hold"


class Call(torch.nn.Module):
    """One call of an operator; tensors are the inputs, everything else is fixed."""

    def __init__(self, info, sample, leaves, spec, positions):
        super().__init__()
        self.info, self.sample, self.leaves, self.spec, self.positions = info, sample, leaves, spec, positions

    def forward(self, *tensors):
        return self.call(self.leaves, tensors)

    def call(self, leaves, tensors):
        leaves = list(leaves)
        for position, tensor in zip(self.positions, tensors):
            leaves[position] = tensor
        first, args, kwargs = torch.utils._pytree.tree_unflatten(leaves, self.spec)
        result = self.info.op(first, *args, **kwargs)
        # What makes the result unique, for factors that are so only up to sign or phase.
        result = self.sample.output_process_fn_grad(result)
        return tensors_of(result)

    def wide(self, tensors, rounded=False):
        """The same call in f64; `rounded` with every element off by one rounding of its own dtype."""
        leaves = [WIDER.get(v, v) if isinstance(v, torch.dtype) else v for v in self.leaves]

        def widened(t):
            wide = t.to(WIDER[t.dtype])
            return wide * (1 + EPS[t.dtype] / 2 * (torch.randint_like(t.real, 2) * 2 - 1).double()) if rounded else wide

        return self.call(leaves, [widened(t) if t.dtype in WIDER else t for t in tensors])


def tensors_of(value):
    return [t for t in torch.utils._pytree.tree_leaves(value) if isinstance(t, torch.Tensor)]


def name_of(info) -> str:
    name = info.name + ("." + info.variant_test_name if info.variant_test_name else "")
    return re.sub(r"[^A-Za-z0-9_.]", "_", name)


class TooLong(Exception):
    pass


@contextlib.contextmanager
def limited(seconds):
    def expired(signum, frame):
        raise TooLong(f"longer than {seconds} s")

    before = signal.signal(signal.SIGALRM, expired)
    signal.alarm(seconds)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


@contextlib.contextmanager
def default_dtype(dtype):
    torch.set_default_dtype(dtype)
    try:
        yield
    finally:
        torch.set_default_dtype(torch.float32)


def pick(samples: list, count: int) -> list:
    """`count` of the samples with their positions, spread evenly."""
    if len(samples) <= count:
        return list(enumerate(samples))
    return [(i * len(samples) // count, samples[i * len(samples) // count]) for i in range(count)]


def samples_of(info, dtype, count: int, dynamic: bool):
    """The chosen samples of an operator as (position, module, inputs)."""
    torch.manual_seed(0)
    random.seed(0)
    found = []
    for sample in info.sample_inputs("cpu", dtype, requires_grad=False):
        leaves, spec = torch.utils._pytree.tree_flatten((sample.input, sample.args, sample.kwargs))
        positions = [i for i, v in enumerate(leaves) if isinstance(v, torch.Tensor)]
        inputs = [leaves[i] for i in positions]
        if any(t.layout != torch.strided or t.dtype not in DTYPE_NAMES for t in inputs):
            continue
        if sum(t.numel() for t in inputs) > MAX_ELEMENTS:
            continue
        # Sizes 0 and 1 of an example are never dynamic.
        if dynamic and not (any(n > 1 for t in inputs for n in t.shape) and all(t.numel() for t in inputs)):
            continue
        # An archive says nothing about the memory of its inputs: they are dense.
        inputs = [t.detach().resolve_conj().resolve_neg().clone(memory_format=torch.contiguous_format) for t in inputs]
        found.append((Call(info, sample, leaves, spec, positions), inputs))
    return [(i, *s) for i, s in pick(found, count)]


def stored(t: torch.Tensor) -> torch.Tensor:
    t = t.detach().resolve_conj().resolve_neg()
    return torch.view_as_real(t).contiguous().clone() if t.is_complex() else t.contiguous().clone()


def copies(tensors):
    return [t.clone() for t in tensors]


def evaluate(module, inputs):
    with torch.no_grad():
        torch.manual_seed(1)
        return module(*copies(inputs))


def is_random(module, inputs, outputs) -> bool:
    """Whether another seed gives another result. Some entries of the database set a seed of their own: not here."""
    for seed in range(2, 8):
        torch.manual_seed(seed)
        with torch.no_grad(), unittest.mock.patch("torch.manual_seed"):
            again = module(*copies(inputs))
        if any(a.shape != b.shape or not same(a, b) for a, b in zip(outputs, again)):
            return True
    return False


def same(a, b) -> bool:
    return torch.equal(torch.nan_to_num(stored(a)), torch.nan_to_num(stored(b)))


def tolerances(outputs, wide, pointwise: bool, rounded=None):
    """[rtol, atol] of each output by the rule of README.md; `wide` is the result in f64 or None, `rounded` that of inputs
    which are rounded once more."""
    found = []
    for n, got in enumerate(outputs):
        rtol = RTOL.get(got.dtype, 0.0)
        atol = 0.0
        kind = torch.complex128 if got.is_complex() else torch.float64
        if rtol and got.numel():
            got64 = got.to(kind)
            finite = torch.isfinite(got64)
            reference = got64
            if wide is not None and len(wide) == len(outputs) and wide[n].shape == got.shape:
                reference = wide[n].to(kind)
                finite &= torch.isfinite(reference)
            if finite.any():
                error = (got64 - reference)[finite].abs()
                if pointwise:
                    error = error[error > rtol / 4 * reference[finite].abs()]
                    atol = max([0.0, *(4 * error).tolist()])
                else:
                    scale = got64[finite].abs().max().item()
                    atol = max(4 * error.max().item(), 2 * EPS[got.dtype] * scale)
                if rounded is not None and len(rounded) == len(outputs) and rounded[n].shape == got.shape:
                    # An ill-conditioned problem is not solved better than its data are known.
                    change = (rounded[n].to(kind) - reference)[finite].abs().max().item()
                    atol = max(atol, 4 * change) if math.isfinite(change) else atol
        found.append([rtol, atol])
    return found


# Pointwise sums of products, which may cancel: errors are relative to what is added, not to the result.
SUMS = ("aten.addcmul", "aten.addcdiv", "aten.lerp")


def is_pointwise(program) -> bool:
    targets = [n.target for n in program.graph.nodes if n.op == "call_function"]
    return not any(str(t).startswith(SUMS) for t in targets) and all(torch.Tag.pointwise in getattr(t, "tags", ()) for t in targets)


def first_line(error) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return f"{type(error).__name__}: {lines[0] if lines else ''}"[:300]


# Their results have no values.
UNINITIALISED = ("aten.empty", "aten.new_empty")


def record(module, inputs, outputs, pointwise, extra, uninitialised=False, resized=False) -> tuple[dict, dict]:
    """The tensors and the description of one call; resized inputs are repeated elements, often an ill-conditioned problem."""
    tensors = {f"in.{i:04}": stored(t) for i, t in enumerate(inputs)}
    tensors |= {f"out.{i:04}": stored(t) for i, t in enumerate(outputs)}
    wide = rounded = None
    floating = any(t.dtype in WIDER for t in outputs)
    if floating:
        with contextlib.suppress(Exception), default_dtype(torch.float64), torch.no_grad(), limited(EXPORT_SECONDS):
            torch.manual_seed(1)
            wide = module.wide(copies(inputs))
            if resized and not pointwise:
                rounded = module.wide(copies(inputs), rounded=True)
    about = {
        "outputs": [DTYPE_NAMES.get(t.dtype, str(t.dtype)) for t in outputs],
        "tolerances": tolerances(outputs, wide, pointwise, rounded),
        "random": uninitialised or is_random(module, inputs, outputs),
    }
    return tensors, about | extra


def overflows(module, inputs, outputs, targets) -> bool:
    """Whether PyTorch's result is not finite, in half precision, where the true one is and fits."""
    if not any(t.startswith(tuple(o.replace("::", ".") for o in OVERFLOWS)) for t in targets):
        return False
    with default_dtype(torch.float64), torch.no_grad():
        wide = module.wide(copies(inputs))
    fits = [(w.abs() < torch.finfo(t.dtype).max / 2) & ~torch.isfinite(t) for t, w in zip(outputs, wide)]
    return any(f.any() for f in fits)


def export(module, inputs, stem: Path, dynamic: bool) -> dict:
    """Exports one sample to `stem`; what is known about it."""
    outputs = evaluate(module, inputs)
    if not outputs:
        return {"skipped": "no tensor results"}
    if any(t.layout != torch.strided or t.dtype not in DTYPE_NAMES for t in outputs):
        return {"skipped": FORMATS_UNKNOWN}
    shapes = None
    if dynamic:
        shapes = (tuple({d: torch.export.Dim.AUTO for d in range(t.dim())} for t in inputs),)
    with torch.no_grad():
        program = torch.export.export(module, tuple(copies(inputs)), dynamic_shapes=shapes, strict=False)
    with torch.no_grad():
        # A few exported programs refuse the very inputs they were made with (a bound that is too narrow).
        torch.manual_seed(1)
        program.module()(*copies(inputs))
    torch.export.save(program, stem.with_name(stem.name + ".pt2"))
    pointwise = is_pointwise(program)
    targets = sorted({str(n.target) for n in program.graph.nodes if n.op == "call_function"})
    uninitialised = any(t.startswith(UNINITIALISED) for t in targets)
    tensors, about = record(module, inputs, outputs, pointwise, {"targets": targets}, uninitialised)
    if overflows(module, inputs, outputs, targets):
        return {"skipped": "PyTorch overflows on the way to a result that its dtype holds"}
    save_file(tensors, stem.with_name(stem.name + ".safetensors"))
    if dynamic:
        about["sizes"] = other_sizes(module, program, inputs, pointwise, stem, targets)
    return about


def other_sizes(module, program, inputs, pointwise, stem: Path, targets: list[str]) -> list[dict]:
    """Records the call at other sizes; what is known about each."""
    found = []
    uninitialised = any(t.startswith(UNINITIALISED) for t in targets)
    placeholders = {n.name: n.meta["val"] for n in program.graph.nodes if n.op == "placeholder"}
    facts = [placeholders[i.arg.name] for i in program.graph_signature.input_specs]
    roots = {}
    for fact, t in zip(facts, inputs):
        for size, value in zip(fact.shape, t.shape):
            if isinstance(size, torch.SymInt) and size.node.expr.is_Symbol:
                roots.setdefault(size.node.expr, value)
    if not roots:
        return found
    values = {n.name: n.meta.get("val") for n in program.graph.nodes}
    declared = [t for t in map(values.get, program.graph_signature.user_outputs) if isinstance(t, torch.Tensor)]
    bounds = {symbol: program.range_constraints.get(symbol) for symbol in roots}
    generator = torch.Generator().manual_seed(3)
    tried = [roots]
    for choose in (
        lambda s, n: 1,
        lambda s, n: 2,
        lambda s, n: 7,
        lambda s, n: n + 1,
        lambda s, n: 2 * n + 1,
        lambda s, n: within(bounds[s], "lower", n),
        lambda s, n: within(bounds[s], "upper", n),
    ):
        chosen = {symbol: choose(symbol, value) for symbol, value in roots.items()}
        if chosen in tried:
            continue
        tried.append(chosen)
        resized = []
        for fact, t in zip(facts, inputs):
            sizes = [int(s.node.expr.subs(chosen)) if isinstance(s, torch.SymInt) else s for s in fact.shape]
            if any(n < 0 for n in sizes):
                resized = None
                break
            count = math.prod(sizes)
            # Values of the sample itself: indices stay in range, arguments in the domain.
            index = torch.randint(t.numel(), (count,), generator=generator)
            resized.append(t.reshape(-1)[index].reshape(sizes))
        if resized is None or sum(t.numel() for t in resized) > MAX_ELEMENTS:
            continue
        extra = {"sizes": {str(k): v for k, v in chosen.items()}, "targets": targets}
        try:
            # What the exported program computes: a dimension that was larger than 1 is not squeezed.
            outputs = evaluate(program.module(), resized)
        except Exception as error:
            tensors, about = {f"in.{i:04}": stored(t) for i, t in enumerate(resized)}, {"raises": first_line(error)} | extra
        else:
            if any(t.dim() != r.dim() for t, r in zip(outputs, declared)):
                continue  # eager squeezes a dimension of 1 that the exported program says is there
            if any("cholesky_ex" in t for t in targets) and outputs[1].any():
                continue  # what a factorisation leaves that fails is not defined
            tensors, about = record(module, resized, outputs, pointwise, extra, uninitialised, resized=True)
        save_file(tensors, stem.with_name(f"{stem.name}.{len(found) + 1}.safetensors"))
        found.append(about)
    return found


def within(bounds, end: str, otherwise: int) -> int:
    """The lower or upper end of a symbol's range, where it is a size worth trying."""
    try:
        return int(getattr(bounds, end)) if 1 <= int(getattr(bounds, end)) <= 64 else otherwise
    except (AttributeError, TypeError, OverflowError, ValueError):  # no range, or an end at infinity
        return otherwise


def export_operator(info, dtype: str, count: int, cache: Path, dynamic: bool) -> list[tuple[Path, dict]]:
    """The samples of an operator for a dtype as (stem, description), from the cache where it has them."""
    folder = cache / ("dynamic" if dynamic else "static") / name_of(info) / dtype
    listing = folder / f"samples-{count}.json"
    if listing.exists():
        return [(folder / key, json.loads((folder / f"{key}.json").read_text())) for key in json.loads(listing.read_text())]
    folder.mkdir(parents=True, exist_ok=True)
    keys = []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            with limited(4 * EXPORT_SECONDS):
                samples = samples_of(info, DTYPES[dtype], count, dynamic)
        except (Exception, unittest.SkipTest):  # PyTorch does not make them (an optional package is missing)
            samples = []
        for position, module, inputs in samples:
            stem = folder / str(position)
            description = stem.with_name(stem.name + ".json")
            keys.append(stem.name)
            if description.exists():
                continue
            try:
                with limited(EXPORT_SECONDS):
                    about = export(module, inputs, stem, dynamic)
            except (Exception, unittest.SkipTest) as error:
                about = {"unexportable": first_line(error)}
            description.write_text(json.dumps(about))
    listing.write_text(json.dumps(keys))
    return [(folder / key, json.loads((folder / f"{key}.json").read_text())) for key in keys]
