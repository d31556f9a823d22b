"""The programs of the zoo, by family: plain modules, torchvision, timm, transformers, mutation and control flow."""

import importlib
from dataclasses import dataclass
from typing import Callable

import torch

PROGRAMS = {}
FAMILIES = ("plain", "mutation", "vision", "language", "wide", "bench")
DYNAMIC = torch.export.Dim.DYNAMIC
AUTO = torch.export.Dim.AUTO


@dataclass
class Program:
    build: Callable  # () -> nn.Module
    samples: Callable  # () -> list of args tuples, or (args, kwargs)
    dynamic: object = None  # dynamic_shapes of torch.export
    training: bool = False
    large: bool = False


def add(name, build, samples, dynamic=None, **options):
    """Registers NAME (static, first sample only) and, with `dynamic`, NAME.dyn over all samples."""
    PROGRAMS[name] = Program(build, lambda: samples()[:1], **options)
    if dynamic is not None:
        PROGRAMS[f"{name}.dyn"] = Program(build, samples, dynamic, **options)


def load():
    """Imports the families; each registers its programs."""
    for family in FAMILIES:
        importlib.import_module(f"zoo.{family}")


def ids(vocabulary, *shape):
    return torch.randint(0, vocabulary, shape)
