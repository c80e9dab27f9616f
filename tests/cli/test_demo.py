import json

import httpx
import pytest

from asapfn import Unavailable
from asapfn.cli import demo

REFUSED = {
    "expired": "expired",
    "for another audience": "wrong_audience",
    "tampered with": "bad_signature",
    "signed with mallory's key": "key_not_owned",
    "unsigned": "unsupported_algorithm",
    "used before": "replayed",
    "no token": "missing_token",
    "for another query": "request_mismatch",
    "for another method": "request_mismatch",
    "by an unknown app": "unknown_key",
}


def test_the_demo_accepts_the_good_tokens_and_refuses_each_other_for_its_reason(asapfn):
    ran = asapfn("demo")
    assert (ran.code, ran.err) == (0, "")
    assert "200 Hello, orders." in ran.out
    assert "200 Hello, jira." in ran.out
    assert "GET https://keys.example/orders/2026-11.pem" in ran.out
    for what, reason in REFUSED.items():
        (line,) = [line for line in ran.out.splitlines() if line.strip().startswith(what)]
        assert line.split("401")[1].split()[0] == reason
    assert "\x1b[" not in ran.out


def test_the_demo_tells_machines_the_same(asapfn):
    answer = json.loads(asapfn("demo", "--json").out)
    assert answer["good"] is True
    assert answer["fetched"] == ["GET https://keys.example/orders/2026-11.pem"]
    refused = {call["what"]: call["text"].split()[0] for call in answer["calls"][1:]}
    assert refused.pop("jira calls the app") == "Hello,"
    assert refused == REFUSED


async def test_a_service_that_cannot_tell_says_so():
    async def down(request):
        raise Unavailable("keys")

    transport = httpx.ASGITransport(demo.service(down))
    async with httpx.AsyncClient(transport=transport, base_url="http://app.example") as client:
        answer = await client.get("/")
    assert (answer.status_code, answer.text) == (503, "unavailable")


@pytest.mark.parametrize("extra", [(), ("--json",)])
def test_a_demo_that_goes_wrong_says_so(extra, asapfn, monkeypatch):
    monkeypatch.setattr(demo, "_refused", lambda *arguments: {"again": arguments[-1]})
    monkeypatch.setattr(demo, "in_memory", lambda: None)
    assert asapfn("demo", *extra).code == 1
