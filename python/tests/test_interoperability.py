"""The converters among the examples of the Rust crate: what they write computes what PyTorch recorded."""

import importlib.util
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest

REPOSITORY = Path(__file__).resolve().parents[2]

if not shutil.which("cargo"):
    pytest.skip("the examples are built with cargo", allow_module_level=True)
safetensors = pytest.importorskip("safetensors.numpy")


def convert(example, model, to):
    command = ["cargo", "run", "--quiet", "--release", "--package", "pt2c-pt2", "--example", example, str(model), str(to)]
    done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def recorded(models, name):
    inputs = safetensors.load_file(models / f"{name}.inputs.safetensors")
    outputs = safetensors.load_file(models / f"{name}.outputs.safetensors")
    return [inputs[key] for key in sorted(inputs)], [outputs[key] for key in sorted(outputs)]


@pytest.mark.parametrize("name", ["real_mtcnn_onet.dyn", "m_ensemble.dyn"])
def test_onnx(models, tmp_path, name):
    runtime = pytest.importorskip("onnxruntime")
    convert("to_onnx", models / f"{name}.pt2", tmp_path / "model.onnx")
    session = runtime.InferenceSession(str(tmp_path / "model.onnx"), providers=["CPUExecutionProvider"])
    inputs, expected = recorded(models, name)
    names = [value.name for value in session.get_inputs()]
    for found, wanted in zip(session.run(None, dict(zip(names, inputs))), expected, strict=True):
        np.testing.assert_allclose(found, wanted, atol=2e-5 * np.abs(wanted).max())


def test_numpy(models, tmp_path):
    convert("to_numpy", models / "m_ensemble.dyn.pt2", tmp_path / "ensemble.py")
    spec = importlib.util.spec_from_file_location("ensemble", tmp_path / "ensemble.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    inputs, expected = recorded(models, "m_ensemble.dyn")
    np.testing.assert_allclose(module.forward(*inputs), expected[0], atol=2e-5)
