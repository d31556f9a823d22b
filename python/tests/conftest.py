"""The programs of the repository, with inputs and outputs that PyTorch recorded."""

from pathlib import Path

import pytest

MODELS = Path(__file__).resolve().parents[2] / "tests" / "models"


@pytest.fixture(scope="session")
def models() -> Path:
    return MODELS
