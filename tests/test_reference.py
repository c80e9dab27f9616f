"""The README's reference: every public name once, with its signature, as the code has it."""

import importlib
import inspect
import textwrap
from pathlib import Path
from typing import Any

README = Path(__file__).parent.parent / "README.md"
MODULES = {
    "asapfn": None,
    "asapfn.errors": ["DESCRIPTIONS", "challenge"],
    "asapfn.keys": None,
    "asapfn.checks": [
        "claim_equals",
        "context_only",
        "first_use",
        "request_matches",
        "subject_is_issuer",
    ],
    "asapfn.replay": ["in_memory"],
    "asapfn.resolvers": None,
    "asapfn.profiles.asap": None,
    "asapfn.profiles.connect": None,
    "asapfn.profiles.forge": ["keys", "verifier"],
    "asapfn.profiles.jitsi": ["repository", "verifier"],
    "asapfn.adapters.aiohttp": ["client_middleware", "server_middleware"],
    "asapfn.adapters.asgi": ["key_repository", "protect", "request"],
    "asapfn.adapters.httpx": ["auth", "fetcher", "request_hook"],
    "asapfn.adapters.logging": ["observer"],
    "asapfn.adapters.redis": ["first_use"],
    "asapfn.adapters.wsgi": ["protect", "request"],
}


def default_of(parameter: inspect.Parameter) -> str:
    value = parameter.default
    plain = isinstance(value, str | int | float | bool | tuple | None) and not hasattr(
        value, "_fields"
    )
    return f"={value!r}" if plain else "=..."


def signature_of(name: str, value: Any) -> str:
    if not inspect.isroutine(value) and not inspect.isclass(value):
        return name
    parts: list[str] = []
    keyword_only = False
    for parameter in inspect.signature(value).parameters.values():
        if parameter.kind is parameter.VAR_POSITIONAL:
            parts.append(f"*{parameter.name}")
            keyword_only = True
            continue
        if parameter.kind is parameter.KEYWORD_ONLY and not keyword_only:
            parts.append("*")
            keyword_only = True
        given = parameter.default is not parameter.empty
        parts.append(parameter.name + (default_of(parameter) if given else ""))
    prefix = "async " if inspect.iscoroutinefunction(value) else ""
    return f"{prefix}{name}({', '.join(parts)})"


def reference() -> str:
    seen: set[int] = set()
    lines: list[str] = []
    for path, chosen in MODULES.items():
        module = importlib.import_module(path)
        lines.append(f"# {path}")
        for name in sorted(module.__all__ if chosen is None else chosen):
            value = getattr(module, name)
            if path != "asapfn" and id(value) in seen:
                continue
            seen.add(id(value))
            text = signature_of(name, value)
            lines += textwrap.wrap(text, 96, subsequent_indent="    ", break_on_hyphens=False)
        lines.append("")
    return "\n".join(lines).rstrip() + "\n"


def test_the_reference_in_the_readme_is_the_codes() -> None:
    inside = README.read_text().partition("<!-- reference -->\n```text\n")[2].partition("```")[0]
    assert inside == reference(), "python tests/test_reference.py prints what belongs there"


if __name__ == "__main__":
    print(reference(), end="")
