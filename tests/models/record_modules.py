"""Records the programs of tests/models/modules: modules called several times, shared, nested, with kept signatures.

Usage: record_modules.py OUT_DIR
"""

import torch, sys
torch.set_num_threads(1)
class Norm(torch.nn.Module):
    def __init__(self):
        super().__init__(); self.gain = torch.nn.Parameter(torch.linspace(.5,1.5,4))
    def forward(self, x, scale):
        return x * self.gain * scale
class Block(torch.nn.Module):
    def __init__(self, shared):
        super().__init__(); self.linear = torch.nn.Linear(4,4); self.norm = shared; self.register_buffer("seen", torch.zeros(()))
    def forward(self, x, scale, *, bias=None):
        self.seen.add_(1)
        y = torch.relu(self.norm(self.linear(x), scale))
        if bias is not None: y = y + bias
        return self.norm(y, scale), {"sum": y.sum(1), "raw": y}
class Model(torch.nn.Module):
    def __init__(self):
        super().__init__()
        shared = Norm()
        self.blocks = torch.nn.ModuleList([Block(shared), Block(shared)])
        self.head = torch.nn.Linear(4,2)
        self.register_buffer("scale", torch.tensor([1.,2.,3.,4.]))
        self.tied = torch.nn.Linear(4,4,bias=False); self.tied.weight = self.blocks[0].linear.weight
    def forward(self, x):
        extra = None
        for block in self.blocks:
            x, more = block(x, self.scale, bias=extra)
            extra = more["raw"]
        x, more = self.blocks[0](x, self.scale * 0.5, bias=extra)
        return self.head(self.tied(x)), more["sum"]
torch.manual_seed(0)
m=Model().eval(); x=torch.randn(3,4)
out=sys.argv[1]
from safetensors.torch import save_file
for name,keep in (("modules",()),("modules_preserved",("blocks.0","blocks.1","head"))):
    torch.manual_seed(0); m=Model().eval()
    ep=torch.export.export(m,(x,),dynamic_shapes={"x":{0:torch.export.Dim("n",min=1,max=32)}},preserve_module_call_signature=keep)
    torch.export.save(ep,f"{out}/{name}.pt2")
    torch.manual_seed(0); m=Model().eval(); o=m(x)
    save_file({"0000":x},f"{out}/{name}.inputs.safetensors"); save_file({f"{i:04d}":t.detach().contiguous() for i,t in enumerate(o)},f"{out}/{name}.outputs.safetensors")
    # What each call of a kept module gets and returns, in the order of its pytrees.
    leaves = torch.utils._pytree.tree_leaves
    def save(kind, call, values):
        tensors = {"%04d" % i: v.detach().clone().contiguous() for i, v in enumerate(values) if isinstance(v, torch.Tensor)}
        save_file(tensors, f"{out}/{name}.{call}.{kind}.safetensors")
    counts = {}
    def hook(path):
        def record(module, args, kwargs, result):
            count = counts.get(path, 0)
            counts[path] = count + 1
            call = path if count == 0 else f"{path}@{count}"
            if name == "modules_preserved":
                save("inputs", call, leaves((args, kwargs)))
                save("outputs", call, leaves(result))
        return record
    torch.manual_seed(0); m=Model().eval()
    for path in keep:
        m.get_submodule(path).register_forward_hook(hook(path), with_kwargs=True)
    m(x)
