"""What the package says of itself: its version, its addresses, its changelog."""

import ast
import re
import tomllib
from pathlib import Path

import asapfn

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


def test_the_changelog_begins_with_this_version():
    headings = re.findall(r"^## \[([^\]]+)\]", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)
    assert headings[0] == asapfn.__version__


def test_the_version_is_written_once():
    assert "version" in PROJECT["dynamic"]
    assert "version" not in PROJECT


def test_every_address_begins_with_that_of_the_repository():
    urls = PROJECT["urls"]
    assert all(
        url == urls["Source"] or url.startswith(f"{urls['Source']}/") for url in urls.values()
    )


def test_each_extra_is_of_an_adapter_or_of_the_command_line():
    adapters = {path.stem for path in (Path(asapfn.__file__).parent / "adapters").glob("[a-z]*.py")}
    assert set(PROJECT["optional-dependencies"]) <= {*adapters, "completion"}


def test_the_pythons_it_names_are_those_that_are_tested():
    (listed,) = re.findall(r"^PYTHONS = (.*)$", (ROOT / "noxfile.py").read_text(), re.MULTILINE)
    pythons = ast.literal_eval(listed)
    named = re.findall(
        r"Programming Language :: Python :: (3\.\d+)", "\n".join(PROJECT["classifiers"])
    )
    release = (ROOT / ".github" / "workflows" / "release.yml").read_text()
    (matrix,) = re.findall(r"^ +python: (\[.*\])$", release, re.MULTILINE)
    assert named == pythons == ast.literal_eval(matrix)
    assert set(re.findall(r"\b3\.\d+\b", (ROOT / ".ci" / "run").read_text())) == set(pythons)
    assert PROJECT["requires-python"] == f">={pythons[0]}"
