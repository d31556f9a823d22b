#!/usr/bin/env python3
"""Write schemas.txt: the schema of every operator overload that an exported program can call, as PyTorch prints it.

Usage: python tests/conformance/dump_schemas.py > tests/conformance/schemas.txt

One line per overload, sorted: the text of `str(op._schema)`, a tab, then comma-separated markers.

  functional   mutates nothing and returns nothing that aliases an input
  view         a result aliases an input that is not written (`Tensor(a) self`)
  mutable      writes an argument (`Tensor(a!) self`)
  out          an `.out` overload: writes results into keyword arguments (left out of the functional table)
  inplace      the name ends in `_`: the first argument is written and returned
  composite    PyTorch implements it by calling other operators (CompositeImplicitAutograd)
  core         a member of the Core ATen operator set
  pointwise, reduction, nondeterministic_seeded, data_dependent_output, dynamic_output_shape, inplace_view, view_copy
               PyTorch's own tags

Namespaces: aten, plus the foreign ones that exports carry (torchvision, quantized_decomposed).
"""

import sys

import torch
import torchvision  # noqa: F401  registers torchvision::*
import torch.ao.quantization.fx._decomposed  # noqa: F401  registers quantized_decomposed::*
import torch.nn.modules.linear_cross_entropy  # noqa: F401  registers torch_nn::*
import torchao.quantization  # noqa: F401  registers torchao::* (of which the file has what pt2c knows)
import transformers.integrations.moe  # noqa: F401  registers transformers::*

NAMESPACES = ("aten", "torchvision", "quantized_decomposed")
TAGS = (
    "core",
    "pointwise",
    "reduction",
    "nondeterministic_seeded",
    "data_dependent_output",
    "dynamic_output_shape",
    "inplace_view",
    "view_copy",
)


def overload(name: str):
    """The OpOverload of a dispatcher name such as `aten::add.Tensor`."""
    qualified, _, variant = name.partition(".")
    namespace, op = qualified.split("::")
    return getattr(getattr(getattr(torch.ops, namespace), op), variant or "default")


def markers(op) -> list[str]:
    schema = op._schema
    infos = [a.alias_info for a in schema.arguments if a.alias_info is not None]
    writes = any(i.is_write for i in infos)
    aliases = any(r.alias_info is not None for r in schema.returns)
    found = []
    if writes:
        found.append("mutable")
        if any(a.is_out for a in schema.arguments):
            found.append("out")
        elif schema.name.endswith("_") and not schema.name.endswith("__"):
            found.append("inplace")
    elif aliases:
        found.append("view")
    else:
        found.append("functional")
    if torch._C._dispatch_has_kernel_for_dispatch_key(op.name(), "CompositeImplicitAutograd"):
        found.append("composite")
    names = {t.name for t in op.tags}
    found.extend(t for t in TAGS if t in names)
    return found


def main() -> None:
    lines = []
    for name in torch._C._dispatch_get_all_op_names():
        if name.split("::")[0] not in NAMESPACES:
            continue
        op = overload(name)
        lines.append(f"{op._schema}\t{','.join(markers(op))}\n")
    sys.stdout.writelines(sorted(lines))


if __name__ == "__main__":
    main()
