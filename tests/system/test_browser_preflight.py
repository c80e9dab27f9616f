"""CORS with a real browser: headless Chromium, a page of one origin, services of others.

The page asks as a Connect page does (`Authorization: JWT ...`) and as Forge's `requestRemote` does
(a POST of JSON, `Authorization: Bearer ...`): before both the browser sends a preflight, which has
no token.
"""

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

PROGRAMS = ("chromium", "chromium-browser", "chromium-headless-shell", "google-chrome")
PROGRAM = next(filter(None, map(shutil.which, PROGRAMS)), None)
SERVICES = ("fastapi", "aiohttp", "flask", "django")
ISSUERS = {"page": "tenant", "remote": "forge/invocation-token"}

pytestmark = pytest.mark.skipif(
    PROGRAM is None,
    reason="there is no Chromium: on Debian, apt-get install chromium-headless-shell",
)


@pytest.fixture(scope="module")
def report() -> Any:
    """What the page saw, by case, and the verdicts of each service. One browser asks for all."""
    ran = subprocess.run(
        [sys.executable, "-m", "tests.support.browser_service", str(PROGRAM)],
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        timeout=180,
    )
    assert ran.returncode == 0, ran.stderr
    told = json.loads(ran.stdout)
    return {each["case"]: each for each in told["seen"]}, told["verdicts"]


@pytest.mark.parametrize("what", ISSUERS)
@pytest.mark.parametrize("service", SERVICES)
def test_where_unless_names_preflights_the_request_after_one_is_verified(
    report: Any, service: str, what: str
) -> None:
    seen, verdicts = report
    case = seen[f"{service}, open, {what}"]
    assert (case.get("status"), case.get("body")) == (200, ISSUERS[what])
    assert verdicts[service].count("accepted") == 2


@pytest.mark.parametrize("service", SERVICES)
def test_a_preflight_that_goes_through_lets_no_forged_token_in(report: Any, service: str) -> None:
    seen, verdicts = report
    assert seen[f"{service}, open, forged"].get("status") in (None, 401)
    assert verdicts[service].count("request_mismatch") == 1


@pytest.mark.parametrize("what", ISSUERS)
@pytest.mark.parametrize("service", SERVICES)
def test_without_unless_the_preflight_is_refused_and_the_browser_sends_nothing(
    report: Any, service: str, what: str
) -> None:
    seen, verdicts = report
    case = seen[f"{service}, closed, {what}"]
    assert case.get("status") is None
    assert case["error"].startswith("TypeError")
    # No more than the preflights were seen: neither of the requests, nor the forged one.
    assert set(verdicts[service]) == {"accepted", "request_mismatch", "missing_token"}
    assert 1 <= verdicts[service].count("missing_token") <= 3


@pytest.mark.parametrize("below", ["open", "closed"])
def test_where_cors_is_outside_of_protect_a_page_also_reads_why_it_is_refused(
    report: Any, below: str
) -> None:
    seen, verdicts = report
    service = "fastapi, CORS outside"
    for what, issuer in ISSUERS.items():
        case = seen[f"{service}, {below}, {what}"]
        assert (case.get("status"), case.get("body")) == (200, issuer)
    forged = seen[f"{service}, {below}, forged"]
    assert (forged["status"], forged["body"]["reason"]) == (401, "request_mismatch")
    assert set(verdicts[service]) == {"accepted", "request_mismatch"}
