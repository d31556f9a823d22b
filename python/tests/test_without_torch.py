"""NumPy-only use: a process that cannot import PyTorch compiles and calls programs, against PyTorch's recorded results."""

import subprocess
import sys
import textwrap

import pytest

pytest.importorskip("numpy")
pytest.importorskip("safetensors")


def run(code: str, *arguments: str) -> str:
    """Runs code in a process in which `import torch` fails."""
    code = "import sys\nsys.modules['torch'] = None\n" + textwrap.dedent(code)
    done = subprocess.run([sys.executable, "-c", code, *arguments], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_recorded_programs(models, tmp_path):
    said = run(
        """
        import numpy as np, pt2c
        from safetensors.numpy import load_file
        folder, out = sys.argv[1:]
        for name in ("real_crepe_tiny.dyn", "real_silero_vad_16k.dyn", "m_lstm", "hf_gpt2_tiny", "m_pytree_io"):
            model = pt2c.load(f"{folder}/{name}.pt2", output=out)
            inputs, outputs = (load_file(f"{folder}/{name}.{kind}.safetensors") for kind in ("inputs", "outputs"))
            interface = model._program.interface
            # The recordings hold leaves by position: nest them as the program was called.
            constants = model._constants[False]
            count = model._input_tree.count
            leaves = [inputs.get(f"{i:04}", constants.get(i)) for i in range(count)]
            kinds = {leaf["position"]: leaf["kind"] for leaf in interface["inputs"]}
            leaves = [int(leaf) if kinds.get(i) == "int" else leaf for i, leaf in enumerate(leaves)]
            args, kwargs = model._input_tree.unflatten(iter(leaves))
            if name == "m_pytree_io":
                kwargs.pop("flag")
            result = []
            model._output_tree.flatten(model(*args, **kwargs), "output", result)
            for key, expected in outputs.items():
                got = result[int(key)]
                scale = max(np.abs(expected).max(), 1e-6)
                assert np.abs(np.asarray(got, np.float64) - expected).max() <= 2e-5 * scale, (name, key)
            print(name)
        """,
        str(models),
        str(tmp_path),
    )
    assert len(said.split()) == 5


def test_loading_needs_no_compiler(models, tmp_path):
    run(
        """
        import os, numpy as np, pt2c
        folder, out = sys.argv[1:]
        pt2c.load(f"{folder}/real_crepe_tiny.dyn.pt2", output=out, name="crepe")
        os.environ.update(PATH="", PT2C="nothing")
        model = pt2c.load(out)
        assert model(np.zeros((3, 1024), np.float32)).shape == (3, 360)
        """,
        str(models),
        str(tmp_path),
    )


def test_a_module_needs_torch():
    run(
        """
        import pt2c
        try:
            pt2c.compile(object(), ())
        except ImportError:
            pass
        else:
            raise AssertionError
        """
    )
