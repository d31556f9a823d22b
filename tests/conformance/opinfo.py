"""Samples drawn from PyTorch's own operator database (torch.testing._internal `op_db`), for breadth.

Each sample input of each operator is traced as `torch.export` would (before autograd, composites kept whole), and every
functional ATen call on the way is recorded with the real values it saw. Small samples only, a few per overload and dtype:
the full database is far too large to commit.
"""

import unittest
import warnings
from collections import Counter
from functools import partial
from pathlib import Path

import torch
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.fx.experimental.proxy_tensor import make_fx
from torch.fx.experimental.symbolic_shapes import ShapeEnv

from recorder import DTYPE_NAMES, Recorder, bind, op_name, tensor_leaves

PER_DTYPE = {torch.float32: 5, torch.int64: 2, torch.bool: 1, torch.bfloat16: 1, torch.float16: 1, torch.complex64: 1}
MAX_ELEMENTS = 220
MAX_SAMPLES_TRIED = 24
TAKEN = ("linalg.", "nn.functional.", "fft.", "special.")
# Results that depend on choices outside the operator's contract (vectors unique up to sign or order).
NOT_UNIQUE = ("svd", "eig", "lobpcg", "pca_lowrank", "svd_lowrank", "geqrf", "ormqr")


def family(info) -> str:
    for prefix in TAKEN:
        if info.name.startswith(prefix):
            return "opinfo_" + prefix.rstrip(".").replace(".", "_")
    first = info.name.lstrip("_").lower()[0]
    return "opinfo_a_l" if first <= "l" else "opinfo_m_z"


class Capture(torch.fx.Interpreter):
    """Runs the traced graph and hands every operator call to the recorder."""

    def __init__(self, module, on_call):
        super().__init__(module)
        self.on_call = on_call

    def call_function(self, target, args, kwargs):
        if isinstance(target, torch._ops.OpOverload):
            self.on_call(target, args, kwargs)
        return super().call_function(target, args, kwargs)


def leaves(value):
    return [v for v in torch.utils._pytree.tree_leaves(value) if isinstance(v, torch.Tensor)]


def record(folder: Path) -> None:
    from torch.testing._internal.common_methods_invocations import op_db

    recorders, counts = {}, Counter()
    for info in sorted(op_db, key=lambda o: (o.name, o.variant_test_name)):
        if any(part in info.name for part in NOT_UNIQUE):
            continue
        recorder = recorders.setdefault(family(info), Recorder(family(info)))
        for dtype, limit in PER_DTYPE.items():
            if dtype not in info.supported_dtypes("cpu"):
                continue
            torch.manual_seed(0)
            try:
                samples = list_samples(info, dtype)
            except (RuntimeError, TypeError, ValueError, unittest.SkipTest, AssertionError, ImportError):
                continue
            for sample in samples:
                trace(info, sample, dtype, limit, recorder, counts)
    for recorder in recorders.values():
        recorder.write(folder)
        print(f"{recorder.family}: {len(recorder.samples)} samples, {len(recorder.tensors)} tensors")


def list_samples(info, dtype):
    found = []
    generator = info.sample_inputs("cpu", dtype, requires_grad=False)
    for sample in generator:
        if sum(t.numel() for t in leaves((sample.input, sample.args, sample.kwargs))) <= MAX_ELEMENTS:
            found.append(sample)
        if len(found) >= MAX_SAMPLES_TRIED:
            break
    if hasattr(generator, "close"):
        generator.close()
    return found


def states_its_sizes(op, args, kwargs) -> bool:
    """Whether the sizes that an exported program states for the call are those of the result: the kernel of bf16
    `embedding_bag`, for one, leaves out what PyTorch's shape function promises, and no program can rely on it."""
    with FakeTensorMode(allow_non_fake_inputs=True, shape_env=ShapeEnv()) as mode:
        try:
            fixed = partial(mode.from_tensor, static_shapes=True)
            fake = torch.utils._pytree.tree_map_only(torch.Tensor, fixed, (args, kwargs))
            stated = leaves(op(*fake[0], **fake[1]))
        except Exception:  # no shape function: nothing is stated
            return True
    real = leaves(op(*args, **kwargs))
    return all(
        not isinstance(want, int) or want == size
        for s, r in zip(stated, real)
        for want, size in zip(s.shape, r.shape)
    )


def trace(info, sample, dtype, limit, recorder, counts) -> None:
    inputs = (sample.input, sample.args, sample.kwargs)
    flat, spec = torch.utils._pytree.tree_flatten(inputs)
    positions = [n for n, v in enumerate(flat) if isinstance(v, torch.Tensor)]
    tensors = [flat[n] for n in positions]
    if any(t.dtype not in DTYPE_NAMES or t.layout != torch.strided for t in tensors):
        return

    def run(*values):
        filled = list(flat)
        for n, v in zip(positions, values):
            filled[n] = v
        first, args, kwargs = torch.utils._pytree.tree_unflatten(filled, spec)
        return info.op(first, *args, **kwargs)

    def on_call(op, args, kwargs):
        name = op_name(op)
        if op._schema.is_mutable or name.split(".")[0] != "aten" or counts[name, dtype] >= limit:
            return
        random = torch.Tag.nondeterministic_seeded in op.tags or name.startswith(("aten.empty", "aten.new_empty"))
        try:
            bound = bind(op._schema, args, kwargs)
            if sum(t.numel() for t in tensor_leaves(list(bound.values()))) > 2 * MAX_ELEMENTS:
                return
            before = len(recorder.samples)
            if not states_its_sizes(op, args, kwargs):
                return
            recorder.record(op, bound, random)
            counts[name, dtype] += len(recorder.samples) - before
        except (RuntimeError, NotImplementedError, TypeError, ValueError, IndexError, AssertionError, KeyError):
            return

    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")
        try:
            module = make_fx(run, pre_dispatch=True)(*[t.clone() for t in tensors])
            Capture(module, on_call).run(*[t.clone() for t in tensors])
        except Exception:  # whatever PyTorch cannot trace has nothing to compare with
            return
