"""The conformance tables of SECURITY.md: what they name is there, and each MUST has a test."""

import re
from pathlib import Path
from typing import NamedTuple

import pytest

import asapfn

PACKAGE = Path(asapfn.__file__).parent
ROOT = Path(__file__).parents[2]
LEVELS = {"MUST", "SHOULD", "RECOMMENDED", "deviates", ""}


class Row(NamedTuple):
    standard: str
    section: str
    level: str
    requirement: str
    enforced_by: str
    tested_by: str


def rows():
    text = (ROOT / "SECURITY.md").read_text().partition("\n## Conformance\n")[2]
    parts = re.split(r"^\*\*(.+)\*\*$", text.partition("\n## ")[0], flags=re.MULTILINE)[1:]
    for standard, table in zip(parts[::2], parts[1::2], strict=True):
        lines = [line for line in table.splitlines() if line.startswith("|")]
        for line in lines[2:]:
            yield Row(standard, *(cell.strip() for cell in line.strip("|").split("|")))


ROWS = list(rows())


def test_all_four_documents_are_there():
    standards = "\n".join({row.standard for row in ROWS})
    for name in ("RFC 7515", "RFC 7519", "RFC 8725", "rfc8725bis"):
        assert name in standards


def test_every_section_of_the_best_practices_has_a_row():
    sections = {row.section for row in ROWS if row.standard.endswith("RFC 8725")}
    assert sections == {f"3.{number}" for number in range(1, 13)}


@pytest.mark.parametrize("row", ROWS, ids=lambda row: f"{row.section}: {row.requirement}")
def test_what_a_row_names_is_there(row):
    assert row.level in LEVELS
    path, *function = re.findall(r"`([^`]+)`", row.enforced_by)
    code = (PACKAGE / path).read_text()
    for name in function:
        assert re.search(rf"^(async )?def {name}\(", code, re.MULTILINE), name
    tests = re.findall(r"`([^`]+)::(test_\w+)`", row.tested_by)
    assert tests or row.level != "MUST"
    for path, name in tests:
        defined = (ROOT / "tests" / path).read_text()
        assert re.search(rf"^(async )?def {name}\(", defined, re.MULTILINE), (path, name)
