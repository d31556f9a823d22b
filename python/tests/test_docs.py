"""The `python` blocks of the pages in docs/, those of a page one after the other in one process."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("torch")

DOCS = Path(__file__).resolve().parents[2] / "docs"


def blocks(page):
    return re.findall(r"^```python\n(.*?)^```", page.read_text(), re.M | re.S)


PAGES = sorted(page.name for page in DOCS.glob("*.md") if blocks(page))


def test_there_are_pages():
    assert "python.md" in PAGES and len(PAGES) >= 7
    assert len(blocks(DOCS / "python.md")) >= 5


@pytest.mark.parametrize("page", PAGES)
def test_the_blocks_of_the_page_work(page, tmp_path):
    # In a file, so that errors can show its lines.
    script = tmp_path / "page.py"
    script.write_text("\n".join(blocks(DOCS / page)))
    done = subprocess.run([sys.executable, str(script)], cwd=tmp_path, env=os.environ, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
