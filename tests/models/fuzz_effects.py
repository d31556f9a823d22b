"""Random programs that write through views of buffers, inputs and intermediates, with what eager PyTorch computes.

Usage: python tests/models/fuzz_effects.py OUT_DIR [FIRST_SEED [COUNT]]      (needs torch and safetensors)

Each seed becomes OUT_DIR/fuzz_SEED.pt2 with recorded inputs, outputs, changed buffers (state) and changed inputs
(after), in the format of tests/models; check them with `PT2C_MODELS=OUT_DIR make test-models`.
The same seed gives the same program.
"""

import pathlib
import random
import sys

import torch
from safetensors.torch import save_file
from torch import nn
from torch.export import export, save

SHAPES = [[2, 3], [4], [2, 3, 4], [1, 4], [3, 1, 2], []]


def ramp(shape):
    count = torch.Size(shape).numel()
    return (torch.arange(1, 1 + count, dtype=torch.float32) / 8).reshape(shape)


def view(rng, t):
    """A random view of a tensor of this shape, as source with {} for the tensor."""
    rank = t.dim()
    makers = [
        lambda: "{}.view_as({})",
        lambda: "{}.detach()",
        lambda: "{}.contiguous()",
        lambda: f"{{}}.reshape({list(t.shape)})",
    ]
    if rank >= 1:
        d = rng.randrange(rank)
        n = t.shape[d]
        a = rng.randrange(n + 1)
        b = rng.randrange(a, n + 1)
        makers += [
            lambda: f"torch.ops.aten.slice.Tensor({{}}, {d}, {a}, {b})",
            lambda: f"torch.ops.aten.slice.Tensor({{}}, {d}, {min(a, max(n - 1, 0))}, None, 2)",
            lambda: f"{{}}.narrow({d}, {a}, {b - a})",
            lambda: f"{{}}.unsqueeze({rng.randrange(-rank - 1, rank + 1)})",
            lambda: "{}.flatten()",
            lambda: "{}.reshape(-1)",
            lambda: f"{{}}.chunk(2, {d})[0]",
            lambda: "{}.squeeze()",
        ]
        if n:
            makers += [
                lambda: f"{{}}.select({d}, {rng.randrange(-n, n)})",
                lambda: f"{{}}.unbind({d})[{rng.randrange(n)}]",
                lambda: f"{{}}.split(1, {d})[-1]",
                lambda: f"torch.ops.aten.slice.Tensor({{}}, {d - rank}, -{rng.randrange(1, n + 1)})",
            ]
    if rank >= 2:
        order = rng.sample(range(rank), rank)
        makers += [
            lambda: f"{{}}.transpose({d}, {rng.randrange(-rank, rank)})",
            lambda: f"{{}}.permute({order})",
            lambda: f"{{}}.movedim({d}, {rng.randrange(-rank, rank)})",
            lambda: f"{{}}.diagonal({rng.randrange(-1, 2)}, {d}, {(d + 1) % rank})",
        ]
    return rng.choice(makers)()


def write(rng, name, env):
    t = env[name]
    fitting = [other for other, u in env.items() if u.dim() == 0 or u.shape == t.shape]
    other = rng.choice(fitting)
    return rng.choice(
        [
            f"{name}.add_({rng.randrange(1, 4)})",
            f"{name}.mul_(2)",
            f"{name}.copy_({other})",
            f"{name}.sub_({other}.clone())",
            f"{name}.zero_()",
            f"{name}.fill_(3.5)",
            f"{name}.neg_()",
        ]
    )


def program(seed):
    """A module and its inputs. Statements that eager PyTorch refuses are left out."""
    rng = random.Random(seed)
    buffers = {f"b{i}": ramp(rng.choice(SHAPES)) for i in range(rng.randrange(3))}
    inputs = {f"x{i}": ramp(rng.choice(SHAPES)) + 1 for i in range(rng.randrange(1, 3))}
    env = {name: t.clone() for name, t in {**inputs, **buffers}.items()}
    lines = [f"{name} = self.{name}" for name in buffers]
    for number in range(rng.randrange(5, 14)):
        name, kind = rng.choice(list(env)), rng.random()
        if kind < 0.45:
            line = f"v{number} = " + view(rng, env[name]).replace("{}", name)
        elif kind < 0.6:
            line = f"v{number} = {name} * {rng.choice([2, 0.5, -1])}"
        elif kind < 0.7:
            line = f"v{number} = {name}.clone()"
        else:
            line = write(rng, name, env)
        scope = {"torch": torch, **env}
        try:
            exec(line, scope)
        except RuntimeError:
            continue
        env.update({k: v for k, v in scope.items() if isinstance(v, torch.Tensor)})
        lines.append(line)
    returned = rng.sample(list(env), min(len(env), rng.randrange(1, 4)))
    body = "".join(f"    {line}\n" for line in lines)
    source = f"def forward(self, {', '.join(inputs)}):\n{body}    return ({', '.join(returned)},)\n"
    scope = {"torch": torch}
    exec(compile(source, f"fuzz_{seed}.py", "exec"), scope)
    module = nn.Module()
    module.__class__ = type("Fuzz", (nn.Module,), {"forward": scope["forward"]})
    for name, t in buffers.items():
        module.register_buffer(name, t)
    return module, list(inputs.values())


def keyed(tensors):
    return {f"{i:04}": t.detach().clone().contiguous() for i, t in enumerate(tensors)}


def record(seed, out):
    module, inputs = program(seed)
    base = out / f"fuzz_{seed}"
    save(export(module, tuple(t.clone() for t in inputs)), f"{base}.pt2")
    before = {name: t.clone() for name, t in module.state_dict().items()}
    called = [t.clone() for t in inputs]
    outputs = module(*called)
    save_file(keyed(inputs), f"{base}.inputs.safetensors")
    save_file(keyed(outputs), f"{base}.outputs.safetensors")
    state = {name: t.clone() for name, t in module.state_dict().items() if not torch.equal(t, before[name])}
    after = {k: t for k, t in keyed(called).items() if not torch.equal(t, inputs[int(k)])}
    for kind, tensors in [("state", state), ("after", after)]:
        if tensors:
            save_file(tensors, f"{base}.{kind}.safetensors")


if __name__ == "__main__":
    folder = pathlib.Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    first, count = (int(a) for a in (sys.argv[2:] + ["0", "100"][len(sys.argv) - 2 :])[:2])
    for number in range(first, first + count):
        record(number, folder)
    print(f"{count} programs in {folder}")
