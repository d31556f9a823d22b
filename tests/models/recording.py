"""What the recorders share: programs without what differs from one machine to the next."""

import re

import torch


def nodes(program):
    """All nodes of an exported program, those of its subgraphs included."""
    graphs = [m.graph for m in program.graph_module.modules() if isinstance(m, torch.fx.GraphModule)]
    return [node for graph in graphs for node in graph.nodes]


def without_positions(program):
    """Takes the source positions away, which make up most of a small archive."""
    for node in nodes(program):
        for key in ("stack_trace", "nn_module_stack", "source_fn_stack", "torch_fn", "from_node", "custom"):
            node.meta.pop(key, None)


def with_short_positions(program, recorder):
    """Keeps the source positions, without the folders in which PyTorch and the recorder (a file name) are."""
    for node in nodes(program):
        if trace := node.meta.get("stack_trace"):
            trace = re.sub(r'"[^"]*/site-packages/', '"', trace)
            node.meta["stack_trace"] = re.sub(rf'"[^"]*/({re.escape(recorder)})', r'"\1', trace)
