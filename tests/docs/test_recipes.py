"""The READMEs' recipes for telemetry get the verdicts and events of real requests."""

import logging
import re
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import httpx
import prometheus_client
import pytest
import structlog
from opentelemetry import metrics, trace
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from asapfn import TokenRejected, Unavailable, asap, bearer
from asapfn.adapters.asgi import protect
from asapfn.keys import export_public_pem
from asapfn.types import Caching, Document
from tests.support.forging import forge
from tests.support.keyring import key_for

ROOT = Path(__file__).parents[2] / "asapfn"
KEY = key_for("ES256", "orders")
SIGN = asap.signer("orders", KEY)
SOURCE = "https://keys.example/"
# What is made of a good token, and the outcome, reason and issuer that must be found.
REQUESTS: dict[str, tuple[Callable[[], str], tuple[str, str, str]]] = {
    "good": (partial(SIGN, "billing"), ("accepted", "", "orders")),
    "good again": (partial(SIGN, "billing"), ("accepted", "", "orders")),
    "for another": (partial(SIGN, "shipping"), ("rejected", "wrong_audience", "")),
    "forged": (lambda: SIGN("billing")[:-8] + "AAAAAAAA", ("rejected", "bad_signature", "")),
    "unknown": (lambda: by_key("orders/none"), ("rejected", "unknown_key", "")),
    "out": (lambda: by_key("orders/down"), ("unavailable", "unavailable", "")),
}


def by_key(kid: str) -> str:
    """A good token, but for its key id."""
    return forge(asap.claims("orders", "billing"), KEY, kid=kid)


BLOCK = re.compile(r"^```python\n(.*?)^```", re.MULTILINE | re.DOTALL)


def recipe(page: str, package: str) -> str:
    """The one block of a page that imports a package first."""
    blocks = BLOCK.findall((ROOT / page).read_text())
    (found,) = [each for each in blocks if re.match(rf"(import logging\s+)?\w+ {package}\b", each)]
    return str(found)


def observing(page: str, package: str) -> Any:
    """The `observe` that a page's block defines."""
    names: dict[str, Any] = {}
    exec(compile(recipe(page, package), page, "exec"), names)
    return names["observe"]


async def fetch(url: str, accept: str) -> Document:
    """A repository with one key, none, and no answer."""
    if url.endswith("/down"):
        raise Unavailable(url, "Connection refused")
    if url.endswith("/none"):
        return Document(404, "text/html", b"")
    return Document(200, "application/x-pem-file", export_public_pem(KEY).encode())


async def app(scope: Any, receive: Any, send: Any) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b""})


async def all_sent(*, observe: Any = None, events: Any = None) -> None:
    """Send each request, in a span of its own, and assert on its status."""
    repository = asap.repository(SOURCE, fetch, caching=Caching(), observe=events)
    authenticate = bearer(asap.verifier(repository, "billing", issuers="orders"))
    transport = httpx.ASGITransport(protect(app, authenticate, observe=observe))
    async with httpx.AsyncClient(transport=transport) as client:
        for name, (make, (outcome, reason, _)) in REQUESTS.items():
            with trace.get_tracer("test").start_as_current_span(name):
                headers = {"Authorization": f"Bearer {make()}"}
                answer = await client.get("https://billing.example/", headers=headers)
            expected = {"accepted": 200, "unavailable": 503}.get(outcome)
            assert answer.status_code == (expected or TokenRejected(reason).status)  # type: ignore[arg-type]


@pytest.fixture
def registry(monkeypatch: pytest.MonkeyPatch) -> prometheus_client.CollectorRegistry:
    """A registry of this test's alone."""
    registry = prometheus_client.CollectorRegistry()
    own = {
        name: partial(getattr(prometheus_client, name), registry=registry)
        for name in ("Counter", "Histogram")
    }
    monkeypatch.setitem(sys.modules, "prometheus_client", SimpleNamespace(**own))
    return registry


@pytest.fixture
def reader(monkeypatch: pytest.MonkeyPatch) -> InMemoryMetricReader:
    reader = InMemoryMetricReader()
    monkeypatch.setattr(metrics, "get_meter", MeterProvider([reader]).get_meter)
    return reader


@pytest.fixture
def spans(monkeypatch: pytest.MonkeyPatch) -> InMemorySpanExporter:
    spans, provider = InMemorySpanExporter(), TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(spans))
    monkeypatch.setattr(trace, "get_tracer", provider.get_tracer)
    return spans


def points(reader: InMemoryMetricReader) -> dict[str, dict[tuple[Any, ...], Any]]:
    """By the metric's name and the values of its attributes, each point."""
    data: Any = reader.get_metrics_data()
    return {
        metric.name: {tuple(point.attributes.values()): point for point in metric.data.data_points}
        for metric in data.resource_metrics[0].scope_metrics[0].metrics
    }


async def test_prometheus_counts_each_request_by_its_outcome(
    registry: prometheus_client.CollectorRegistry,
) -> None:
    await all_sent(observe=observing("adapters/README.md", "prometheus_client"))

    def counted(outcome: str, reason: str, issuer: str) -> float | None:
        labels = {"outcome": outcome, "reason": reason, "issuer": issuer}
        return registry.get_sample_value("asapfn_requests_total", labels)

    assert counted("accepted", "", "orders") == 2
    for reason in ("wrong_audience", "bad_signature", "unknown_key"):
        assert counted("rejected", reason, "") == 1
        assert counted("rejected", reason, "orders") is None
    assert counted("unavailable", "unavailable", "") == 1
    times = {"outcome": "rejected"}
    assert registry.get_sample_value("asapfn_request_seconds_count", times) == 3


async def test_opentelemetry_counts_each_request_and_marks_its_span(
    reader: InMemoryMetricReader, spans: InMemorySpanExporter
) -> None:
    await all_sent(observe=observing("adapters/README.md", "opentelemetry"))
    found = points(reader)
    assert {about: point.value for about, point in found["asapfn.requests"].items()} == {
        ("accepted", "", "orders"): 2,
        ("rejected", "wrong_audience", ""): 1,
        ("rejected", "bad_signature", ""): 1,
        ("rejected", "unknown_key", ""): 1,
        ("unavailable", "unavailable", ""): 1,
    }
    assert found["asapfn.request.duration"][("rejected",)].count == 3
    marks = {span.name: dict(span.attributes or {}) for span in spans.get_finished_spans()}
    for name, (_, about) in REQUESTS.items():
        each = ("outcome", "reason", "issuer")
        assert tuple(marks[name][f"asapfn.{part}"] for part in each) == about
    assert marks["for another"]["asapfn.detail"] == 'expected "billing", got "shipping"'
    assert "Connection refused" in str(marks["out"]["asapfn.detail"])


async def test_structlog_gets_each_request_and_the_logger_is_silent(
    caplog: pytest.LogCaptureFixture,
) -> None:
    logger = logging.getLogger("asapfn")
    caplog.set_level(logging.INFO, "asapfn")
    try:
        with structlog.testing.capture_logs() as lines:
            await all_sent(observe=observing("adapters/README.md", "structlog"))
    finally:
        logger.disabled = False
    assert [(each["outcome"], each["reason"], each["issuer"]) for each in lines] == [
        about for _, about in REQUESTS.values()
    ]
    assert [each["log_level"] for each in lines] == ["info"] * 5 + ["warning"]
    assert "Connection refused" in lines[-1]["detail"]
    assert [record for record in caplog.records if record.name == "asapfn"] == []


async def test_the_logger_asapfn_has_what_a_formatter_writes_as_json(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO, "asapfn")
    await all_sent()
    records = [vars(record) for record in caplog.records if record.name == "asapfn"]
    assert [(each["asapfn_outcome"], each["asapfn_reason"]) for each in records] == [
        about[:2] for _, about in REQUESTS.values() if about[0] != "accepted"
    ]
    page = (ROOT / "adapters/README.md").read_text()
    for name in ("outcome", "reason", "detail", "seconds"):
        assert f"`asapfn_{name}`" in page
        assert all(f"asapfn_{name}" in each for each in records)


EVENTS = {"fetched": 1, "unknown": 1, "unavailable": 1}


async def test_prometheus_counts_what_key_sources_do(
    registry: prometheus_client.CollectorRegistry,
) -> None:
    await all_sent(events=observing("resolvers/README.md", "prometheus_client"))
    for kind, count in EVENTS.items():
        labels = {"kind": kind, "source": SOURCE}
        assert registry.get_sample_value("asapfn_key_events_total", labels) == count
    times = {"source": SOURCE}
    assert registry.get_sample_value("asapfn_key_fetch_seconds_count", times) == 3


async def test_opentelemetry_counts_what_key_sources_do(reader: InMemoryMetricReader) -> None:
    await all_sent(events=observing("resolvers/README.md", "opentelemetry"))
    found = points(reader)
    counts = {about: point.value for about, point in found["asapfn.key.events"].items()}
    assert counts == {(kind, SOURCE): count for kind, count in EVENTS.items()}
    assert found["asapfn.key.fetch.duration"][(SOURCE,)].count == 3


async def test_structlog_gets_what_key_sources_do() -> None:
    with structlog.testing.capture_logs() as lines:
        await all_sent(events=observing("resolvers/README.md", "structlog"))
    assert [each["event"] for each in lines] == list(EVENTS)
    assert lines[-1]["why"] == "Connection refused"
    assert [each["key_id"] for each in lines] == [KEY.kid, "orders/none", "orders/down"]


async def test_logging_gets_what_key_sources_do(caplog: pytest.LogCaptureFixture) -> None:
    observe = observing("resolvers/README.md", "logging")
    caplog.set_level(logging.INFO, "keys")
    await all_sent(events=observe)
    lines = [record.getMessage() for record in caplog.records if record.name == "keys"]
    assert [line.split(":")[1].strip() for line in lines] == list(EVENTS)
    assert "Connection refused" in lines[-1]
