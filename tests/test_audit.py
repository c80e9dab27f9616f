"""The session "audit": what is made of pip-audit's words, in the shapes that it writes."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from audit import Audit, Unanswered, lower_bounds, main, read

KNOWN = {"name": "anyio", "version": "4.14.2", "vulns": []}
UNKNOWN = {
    "name": "httpx",
    "skip_reason": "Dependency not found on PyPI and could not be audited: httpx (0.27.0)",
}
VULNERABLE = {
    "name": "joserfc",
    "version": "1.7.4",
    "vulns": [
        {
            "id": "CVE-2026-1",
            "fix_versions": ["1.8.1"],
            "aliases": ["GHSA-aaaa-bbbb-cccc"],
            "description": "It believes what it is told.",
        },
        {"id": "PYSEC-2026-2", "fix_versions": [], "aliases": [], "description": "N/A"},
    ],
}
UNREACHED = """\
Traceback (most recent call last):
  File "site-packages/pip_audit/_service/pypi.py", line 71, in query
    response: requests.Response = self.session.get(url=url, timeout=self.timeout)
requests.exceptions.ConnectionError: HTTPSConnectionPool(host='index.example', port=443)
"""
BLOCKED = """\
ERROR:pip_audit._cli:Could not connect to PyPI's vulnerability feed
ERROR:pip_audit._cli:Tip: your network may be blocking this service. Try another service
"""
ANSWERED_ODDLY = """\
Traceback (most recent call last):
pip_audit._service.interface.ServiceError
"""


def told(*packages: Any) -> str:
    return json.dumps({"dependencies": packages, "fixes": []}) + "\n"


def asking(bounds: str, locked: str) -> Callable[[Path, float], Audit]:
    """What answers for both files, and sees to it that they are what they should be."""

    def ask(requirements: Path, seconds: float) -> Audit:
        assert 0 < seconds <= 60
        pins = requirements.read_text().split()
        if requirements.name == "constraints.txt":
            assert any(pin.startswith("pytest==") for pin in pins)
            return read(locked, UNREACHED)
        assert [pin.partition("==")[0] for pin in pins] == [
            "anyio",
            "cryptography",
            "httpx",
            "joserfc",
        ]
        return read(bounds, UNREACHED)

    return ask


def test_the_lower_bounds_are_those_of_the_project() -> None:
    assert lower_bounds('[project]\ndependencies = ["a-b>=1.2.0", "c>=3"]') == [
        "a-b==1.2.0",
        "c==3",
    ]


@pytest.mark.parametrize("dependency", ["a", "a==1", "a>=1,<2", "a[b]>=1", "a>=1; os_name == 'nt'"])
def test_a_dependency_without_a_plain_lower_bound_is_told(dependency: str) -> None:
    with pytest.raises(ValueError, match="expected name>=version"):
        lower_bounds(f'[project]\ndependencies = ["{dependency}"]')


def test_packages_are_known_or_unknown_and_each_vulnerability_has_a_line() -> None:
    assert read(told(KNOWN, UNKNOWN, VULNERABLE), "Found 2 known vulnerabilities") == Audit(
        known=2,
        unknown=["httpx"],
        vulnerable=[
            "joserfc 1.7.4: CVE-2026-1, GHSA-aaaa-bbbb-cccc, fixed in 1.8.1",
            "joserfc 1.7.4: PYSEC-2026-2, fixed in no release",
        ],
    )


@pytest.mark.parametrize("errors", [UNREACHED, BLOCKED, ANSWERED_ODDLY])
def test_a_service_that_does_not_answer_is_told_from_a_tool_that_does_not_run(errors: str) -> None:
    with pytest.raises(Unanswered):
        read("", errors)


@pytest.mark.parametrize("errors", ["", "pip-audit: error: unrecognized arguments", "No module x"])
def test_a_tool_that_does_not_run_is_an_error(errors: str) -> None:
    with pytest.raises(RuntimeError, match=errors or "it said nothing"):
        read("", errors)


def test_a_vulnerability_at_a_lower_bound_fails(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(asking(told(KNOWN, VULNERABLE), told(KNOWN))) == 1
    assert capsys.readouterr().out.splitlines() == [
        "Run-time dependencies at their lower bounds: 2 audited, 2 known vulnerabilities",
        "  joserfc 1.7.4: CVE-2026-1, GHSA-aaaa-bbbb-cccc, fixed in 1.8.1",
        "  joserfc 1.7.4: PYSEC-2026-2, fixed in no release",
        "Locked versions for development: 1 audited, 0 known vulnerabilities",
        "Error: raise the lower bounds in pyproject.toml above these vulnerabilities.",
    ]


def test_a_vulnerability_of_a_tool_is_a_warning(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(asking(told(KNOWN), told(VULNERABLE))) == 0
    assert "\nWarning: " in capsys.readouterr().out


def test_all_is_well(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(asking(told(KNOWN, UNKNOWN), told(KNOWN))) == 0
    assert capsys.readouterr().out.splitlines() == [
        "Run-time dependencies at their lower bounds: 1 audited, 0 known vulnerabilities",
        "  not audited, as the service does not know them: httpx",
        "Locked versions for development: 1 audited, 0 known vulnerabilities",
    ]


@pytest.mark.parametrize("answer", ["", told(UNKNOWN)])
def test_where_nobody_knows_nothing_is_audited_which_is_said(
    answer: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(asking(answer, "not asked")) == 0
    said = capsys.readouterr().out
    assert "NOT AUDITED" in said
    assert "Nothing was audited" in said


def test_tools_that_nobody_knows_are_told_too(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(asking(told(KNOWN), "")) == 0
    assert "Locked versions for development: NOT AUDITED" in capsys.readouterr().out
