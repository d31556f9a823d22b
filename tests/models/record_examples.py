"""Records PyTorch's own examples of torch.export (torch/_export/db/examples): all that export and run.

Usage: python tests/models/record_examples.py DIR      (needs torch 2.15 and safetensors)

Writes DIR/NAME.pt2, NAME.inputs.safetensors, NAME.outputs.safetensors and, where they change, NAME.state.safetensors and
NAME.after.safetensors, as README.md describes; says which examples do not export. Those in tests/models/examples are all.
"""

import pathlib
import sys

import torch
from record_dynamic import keyed
from safetensors.torch import save_file
from torch._export.db.case import SupportLevel
from torch._export.db.examples import all_examples
from torch.utils._pytree import tree_flatten

from recording import with_short_positions

out = pathlib.Path(sys.argv[1])
out.mkdir(exist_ok=True)
torch.manual_seed(0)
torch.set_num_threads(1)
clone = lambda tree: torch.utils._pytree.tree_map(lambda x: x.clone() if isinstance(x, torch.Tensor) else x, tree)

for name, case in sorted(all_examples().items()):
    args, kwargs = case.example_args, case.example_kwargs or {}
    try:
        module = case.model.eval() if isinstance(case.model, torch.nn.Module) else case.model
        program = torch.export.export(module, clone(args), clone(kwargs), dynamic_shapes=case.dynamic_shapes)
        with_short_positions(program, "record_examples.py")
        torch.export.save(program, str(out / f"{name}.pt2"))
        before = {k: v.clone() for k, v in program.state_dict.items()}
        called_args, called_kwargs = clone(args), clone(kwargs)
        inputs = keyed(tree_flatten((called_args, called_kwargs))[0])
        outputs = module(*called_args, **called_kwargs)
    except Exception as error:
        level = "" if case.support_level == SupportLevel.SUPPORTED else " (PyTorch does not claim to support it)"
        print(f"{name}: not recorded{level}: {type(error).__name__}: {str(error).splitlines()[0][:120]}")
        continue
    save_file(inputs, out / f"{name}.inputs.safetensors")
    save_file(keyed(tree_flatten(outputs)[0]), out / f"{name}.outputs.safetensors")
    after = keyed(tree_flatten((called_args, called_kwargs))[0])
    changed = {k: v for k, v in after.items() if not torch.equal(v, inputs[k])}
    if changed:
        save_file(changed, out / f"{name}.after.safetensors")
    current = dict(module.named_buffers()) if isinstance(module, torch.nn.Module) else {}
    state = {k: v.detach().clone() for k, v in current.items() if k in before and not torch.equal(v, before[k])}
    if state:
        save_file(state, out / f"{name}.state.safetensors")
    print(name)
