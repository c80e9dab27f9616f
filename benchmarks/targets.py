"""What the ratios must show, and whether they do."""

from collections.abc import Mapping
from typing import NamedTuple

from applications import OPEN
from connect_requests import NPM, PYPI
from measure import Row
from repositories import REQUESTS


class Target(NamedTuple):
    """A figure that is asked for.

    Attributes:
        what: What it is the figure of.
        wanted: What was asked for, in words.
        measured: What was measured, in words.
        met: Whether it is as wanted; None where nothing is asked.
    """

    what: str
    wanted: str
    measured: str
    met: bool | None


def targets(rows: Mapping[str, Row]) -> list[Target]:
    """Hold the answers against what is asked of them.

    Args:
        rows: The answers by their questions.

    Returns:
        The targets, in the order of the questions.
    """
    each = [
        *_verify(rows),
        *_sign(rows),
        *_qsh(rows),
        *_import_and_memory(rows),
        _crowd(rows["verify RS256 among many"]),
        _crowd(rows["verify RS256 seen before, among many"]),
        _faster(
            "authenticate a Connect request beside PyPI's atlassian-jwt, HS256",
            6,
            rows["authenticate a Connect request, HS256"].best[PYPI]
            / rows["authenticate a Connect request, HS256"].best["asapfn"],
        ),
    ]
    served = rows["a request to uvicorn, RS256"]
    rates = f"{1 / served.best['asapfn']:,.0f} and {1 / served.best[OPEN]:,.0f}"
    return [
        *each,
        Target("requests a second that uvicorn answers, with tokens and without", "", rates, None),
    ]


def _at_most(what: str, limit: float, value: float) -> Target:
    return Target(what, f"at most {limit:g} times", f"{value:.2f} times", value <= limit)


def _faster(what: str, least: float, value: float) -> Target:
    return Target(what, f"at least {least:g} times faster", f"{value:.2f} times", value >= least)


def _verify(rows: Mapping[str, Row]) -> list[Target]:
    rsa, ec, seen = rows["verify RS256"], rows["verify ES256"], "asapfn (seen before)"
    https = rows["verify RS256, keys from an https repository"]
    peer = "atlassian-jwt-auth"
    return [
        *(
            _at_most(f"{row.question}, {what}, over bare cryptography", limit, row.ratio(who))
            for row, who, what, limit in (
                (rsa, seen, "the whole of ASAP, a token seen before", 0.15),
                (ec, seen, "the whole of ASAP, a token seen before", 0.05),
                (rsa, "asapfn", "the whole of ASAP, no token remembered", 1.48),
                (ec, "asapfn", "the whole of ASAP, no token remembered", 1.16),
                (rsa, "asapfn (verify)", "`verify` alone", 1.6),
            )
        ),
        *(
            _faster(
                f"verify {row.question[-5:]} beside {other} alone", 1, row.ratio(other, "asapfn")
            )
            for row in (rsa, ec)
            for other in ("PyJWT", "joserfc")
        ),
        _faster(f"verify RS256 beside {peer}, key in hand", 3.5, rsa.ratio(peer, "asapfn")),
        _faster("the same, a token seen before", 40, rsa.ratio(peer, seen)),
        _faster(f"verify RS256 beside {peer}, https", 18, https.ratio(REQUESTS, "asapfn")),
        _faster("the same, a token seen before", 150, https.ratio(REQUESTS, seen)),
    ]


def _sign(rows: Mapping[str, Row]) -> list[Target]:
    again = rows["sign RS256 again, the token reused"].best["asapfn"] * 1e6
    return [
        *(
            _at_most(f"{what} over bare cryptography", limit, rows[f"sign {name}"].ratio(who))
            for name, limit, least in (("RS256", 1.06, 1.06), ("ES256", 1.40, 1.30))
            for who, what, limit in (
                ("asapfn", f"sign {name}, ASAP's signer,", limit),
                ("asapfn (sign, claims ready)", f"sign {name}, `sign` of claims ready,", least),
            )
        ),
        Target("sign RS256 again, the token reused", "under 2 µs", f"{again:.2f} µs", again < 2),
    ]


def _qsh(rows: Mapping[str, Row]) -> list[Target]:
    five = rows["qsh of 5 parameters"]
    pypi = _faster("qsh of 5 parameters beside PyPI's atlassian-jwt", 2, five.ratio(PYPI))
    if NPM not in five.best:
        npm = Target("the same beside npm's under node", "no slower", "no node here", None)
    else:
        npm = _faster("the same beside npm's under node", 1, five.ratio(NPM))
    growth = (
        rows["qsh of 1000 parameters"].best["asapfn"] / rows["qsh of 100 parameters"].best["asapfn"]
    )
    linear = Target("qsh of ten times as many", "linear", f"{growth:.1f} times", growth <= 12)
    return [pypi, npm, linear]


def _import_and_memory(rows: Mapping[str, Row]) -> list[Target]:
    imports, memory = rows["import"].best, rows["memory of a cached key"].best
    over = (imports["asapfn"] - imports["joserfc.jws"]) * 1e3
    beyond = memory["asapfn (beyond it)"]
    token = rows["memory of a remembered token"].best["asapfn"]
    anyio = f"{over:.1f} ms (anyio alone: {imports['anyio'] * 1e3:.1f})"
    return [
        Target("import over that of joserfc.jws", "at most 30 ms", anyio, over <= 30),
        Target("a cached key beyond the key", "at most 4 KiB", f"{beyond:.0f} B", beyond <= 4096),
        Target("a remembered token of 700 B", "at most 3 KiB", f"{token:.0f} B", token <= 3072),
    ]


def _crowd(row: Row) -> Target:
    most = {name: row.ratio(name) for name in row.best if name != row.one}
    measured = ", ".join(f"{r:.2f} ({name[8:-1]})" for name, r in most.items())
    what = f"{row.question}, over one of each"
    # What two runs of one and the same may differ by.
    return Target(what, "does not grow", measured, max(most.values()) <= 1.05)
