"""The sample projects, and the recipe for fixtures, tested as their users would: by pytest."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from asapfn import testing

ROOT = Path(__file__).parents[2]
EXAMPLES = Path(__file__).parent / "examples"
BLOCK = re.compile(r"^```python\n(.*?)^```", re.MULTILINE | re.DOTALL)


def passed_by_pytest(folder: Path) -> int:
    """How many tests of a folder pass, where none fails or warns."""
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-W", "error", "-p", "no:cacheprovider"],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    found = re.search(r"^(\d+) passed in", done.stdout, re.MULTILINE)
    assert found, done.stdout
    return int(found[1])


@pytest.mark.parametrize("name", ["fastapi", "django", "aiohttp"])
def test_a_sample_project_passes_its_own_tests(name: str, tmp_path: Path) -> None:
    files = sorted((EXAMPLES / f"{name}_project").glob("*.py"))
    assert [file.name for file in files] == ["billing.py", "billing_test.py"]
    for file in files:
        shutil.copy(file, tmp_path)
    assert passed_by_pytest(tmp_path) > len(testing.ASAP_REASONS)


def test_the_recipe_for_fixtures_passes_as_it_stands(tmp_path: Path) -> None:
    text = (ROOT / "asapfn" / "adapters" / "README.md").read_text()
    (recipe,) = [block for block in BLOCK.findall(text) if "@pytest.fixture" in block]
    (tmp_path / "test_billing.py").write_text(recipe)
    assert passed_by_pytest(tmp_path) == len(testing.ASAP_REASONS) + 3
