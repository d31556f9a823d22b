#!/usr/bin/env python3
"""Latency of another runtime on a recorded program, one JSON line on stdout.

Usage: python bench/peers.py PEER MODEL.pt2 --inputs F.safetensors --threads N --iterations N [--cache DIR] [--serve]
       PEER is torch, torch-compile, aotinductor (frozen weights), onnxruntime, openvino or executorch (XNNPACK)

Prints {"peer", "version", "threads", "median_ms", "min_ms", "iterations", "max_abs_diff"}; the difference is against
the recorded outputs beside the inputs (F with `outputs` for `inputs`), so that a peer that computes something else shows.
On failure it prints {"peer", "error"} and exits with 1. `--serve`: one such line at once, then one more for each line read
from stdin, measured anew, so that rounds of several programs can alternate without loading anything again. Thread pools are fixed before the libraries load; pinning to CPUs is
the caller's (compare.py uses taskset).
"""

import argparse
import hashlib
import json
import os
import statistics
import sys
import tempfile
import time
import warnings
from importlib.metadata import version
from pathlib import Path


PEERS = ("torch", "torch-compile", "aotinductor", "onnxruntime", "openvino", "executorch")


def arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("peer", choices=tuple(PEERS))
    parser.add_argument("model", type=Path)
    parser.add_argument("--inputs", type=Path, required=True)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--iterations", type=int, default=0, help="0: as many as fit in --seconds")
    parser.add_argument("--seconds", type=float, default=1.0)
    parser.add_argument("--serve", action="store_true", help="measure again for each line of stdin")
    parser.add_argument("--cache", type=Path, help="keep converted programs here")
    return parser.parse_args()


options = arguments()
for variable in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
    os.environ[variable] = str(options.threads)

import torch  # noqa: E402
from safetensors.torch import load_file  # noqa: E402
from torch.utils import _pytree as pytree  # noqa: E402

try:
    import torchvision  # noqa: E402,F401  operators of torchvision in the archive
    import transformers.modeling_outputs  # noqa: E402,F401  output classes of transformers in the archive
except ImportError:
    pass


def measure(call) -> dict:
    """Warm up, then time single calls until the count or the time is reached."""
    start = time.perf_counter()
    for _ in range(3):
        call()
    once = (time.perf_counter() - start) / 3
    count = options.iterations or max(5, min(2000, int(options.seconds / max(once, 1e-6))))
    times = []
    for _ in range(count):
        begin = time.perf_counter()
        call()
        times.append((time.perf_counter() - begin) * 1e3)
    return {"median_ms": statistics.median(times), "min_ms": min(times), "iterations": count}


def rebuild(exported, recorded: dict):
    """(args, kwargs) from the recorded leaves; constant leaves come from the example inputs of the archive."""
    spec = exported.call_spec.in_spec
    examples = pytree.tree_leaves(exported.example_inputs) if exported.example_inputs else [None] * spec.num_leaves
    leaves = []
    for position in range(spec.num_leaves):
        tensor = recorded.get(f"{position:04}")
        if tensor is None:
            leaves.append(examples[position])
        elif isinstance(examples[position], int) and not isinstance(examples[position], bool):
            leaves.append(int(tensor))
        else:
            leaves.append(tensor)
    return pytree.tree_unflatten(leaves, spec)


def difference(results, expected: dict) -> float:
    worst = 0.0
    for position, value in enumerate(results):
        key = f"{position:04}"
        if key not in expected or not isinstance(value, torch.Tensor):
            continue
        if value.is_complex():
            value = torch.view_as_real(value)
        if value.numel():
            worst = max(worst, (value.double() - expected[key].double()).abs().max().item())
    return worst


def run_torch(exported, args, kwargs, compiled: bool):
    module = exported.module()
    if compiled:
        module = torch.compile(module)
    with torch.inference_mode():
        result = pytree.tree_leaves(module(*args, **kwargs))
        return lambda: module(*args, **kwargs), result, torch.__version__


def converted(suffix: str, convert) -> Path:
    """The file that `convert(path)` writes, kept in the cache from call to call."""
    folder = options.cache or Path(tempfile.mkdtemp())
    folder.mkdir(parents=True, exist_ok=True)
    identity = hashlib.sha256(options.model.read_bytes()).hexdigest()[:16]
    path = folder / f"{options.model.stem}-{identity}{suffix}"
    if not path.exists():
        convert(path)
    return path


def arrays(args, kwargs) -> list:
    return [t.contiguous() for t in pytree.tree_leaves((args, kwargs)) if isinstance(t, torch.Tensor)]


def run_aotinductor(exported, args, kwargs):
    import torch._inductor as inductor

    def convert(path):
        with torch.no_grad():
            inductor.aoti_compile_and_package(exported, package_path=str(path), inductor_configs={"freezing": True})

    module = inductor.aoti_load_package(str(converted(".aoti.pt2", convert)))
    return lambda: module(*args, **kwargs), pytree.tree_leaves(module(*args, **kwargs)), torch.__version__


def run_onnxruntime(exported, args, kwargs):
    import onnxruntime

    def convert(path):
        program = torch.onnx.export(exported, args, kwargs=kwargs, dynamo=True, verbose=False)
        path.write_bytes(program.model_proto.SerializeToString())

    settings = onnxruntime.SessionOptions()
    settings.intra_op_num_threads = options.threads
    settings.inter_op_num_threads = 1
    settings.log_severity_level = 3
    model = converted(".onnx", convert).read_bytes()
    session = onnxruntime.InferenceSession(model, settings, providers=["CPUExecutionProvider"])
    feed = {i.name: t.numpy() for i, t in zip(session.get_inputs(), arrays(args, kwargs))}
    result = [torch.from_numpy(v) if hasattr(v, "dtype") else v for v in session.run(None, feed)]
    return lambda: session.run(None, feed), result, onnxruntime.__version__


def run_openvino(exported, args, kwargs):
    import openvino

    def convert(path):
        openvino.save_model(openvino.convert_model(exported), str(path), compress_to_fp16=False)

    settings = {
        "INFERENCE_NUM_THREADS": options.threads,
        "NUM_STREAMS": 1,
        "PERFORMANCE_HINT": "LATENCY",
        "INFERENCE_PRECISION_HINT": "f32",
    }
    model = openvino.Core().compile_model(str(converted(".xml", convert)), "CPU", settings)
    request = model.create_infer_request()
    for position, tensor in enumerate(arrays(args, kwargs)):
        request.set_input_tensor(position, openvino.Tensor(tensor.numpy()))
    request.infer()
    result = [torch.from_numpy(request.get_output_tensor(i).data.copy()) for i in range(len(model.outputs))]
    return request.infer, result, openvino.__version__


def run_executorch(exported, args, kwargs):
    from executorch.extension.pybindings import portable_lib

    def convert(path):
        from executorch.backends.xnnpack.partition.xnnpack_partitioner import XnnpackPartitioner
        from executorch.exir import to_edge_transform_and_lower

        program = to_edge_transform_and_lower(exported, partitioner=[XnnpackPartitioner()]).to_executorch()
        with open(path, "wb") as file:
            program.write_to_file(file)

    portable_lib._unsafe_reset_threadpool(options.threads)
    module = portable_lib._load_for_executorch(str(converted(".pte", convert)))
    given = arrays(args, kwargs)
    return lambda: module.forward(given), list(module.forward(given)), version("executorch")


RUN = {
    "torch": lambda *call: run_torch(*call, compiled=False),
    "torch-compile": lambda *call: run_torch(*call, compiled=True),
    "aotinductor": run_aotinductor,
    "onnxruntime": run_onnxruntime,
    "openvino": run_openvino,
    "executorch": run_executorch,
}


def main() -> int:
    warnings.simplefilter("ignore")
    torch.set_num_threads(options.threads)
    stdout = os.dup(1)
    os.dup2(2, 1)  # exporters print progress: keep stdout for the JSON lines
    answer = {"peer": options.peer, "threads": options.threads}

    def reply(**more):
        os.write(stdout, (json.dumps(answer | more) + "\n").encode())

    try:
        exported = torch.export.load(str(options.model))
        args, kwargs = rebuild(exported, load_file(options.inputs))
        call, result, answer["version"] = RUN[options.peer](exported, args, kwargs)
        outputs = options.inputs.with_name(options.inputs.name.replace(".inputs", ".outputs"))
        if outputs.exists():
            answer["max_abs_diff"] = difference(result, load_file(outputs))
        with torch.inference_mode():
            reply(**measure(call))
            if options.serve:
                for _ in sys.stdin:
                    reply(**measure(call))
    except Exception as error:
        reply(error=f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
