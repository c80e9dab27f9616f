"""Make the reference as one site: docstrings, the READMEs beside the code, and a search over both.

`nox -s docs` runs it with every warning an error. pdoc does the work; what is added here: a README
goes under the docstring of the package it lies beside (so that `help()` stays short), links
between files become links between pages, a type alias is shown by its name, and every link of the
site is followed.
"""

import functools
import html.parser
import importlib
import inspect
import os
import pkgutil
import re
import shutil
import sys
import tomllib
import types
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import unquote, urlsplit

import pdoc.doc
import pdoc.render
import pdoc.search
from pdoc.render_helpers import to_html

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
NOT_SHOWN = {"asapfn.hints", "asapfn.__main__"}  # what a caller has no use for
# The module, and the README that explains it.
GUIDES = {
    "asapfn": "README.md",
    "asapfn.types": "asapfn/README.md",
    **{
        f"asapfn.{path.parent.name}": f"asapfn/{path.parent.name}/README.md"
        for path in sorted(ROOT.glob("asapfn/*/README.md"))
    },
}
# Pages of their own, which belong to no module.
MORE = {
    "security": "SECURITY.md",
    "changelog": "CHANGELOG.md",
    "contributing": "CONTRIBUTING.md",
    "benchmarks": "benchmarks/README.md",
    "tests": "tests/README.md",
}
PAGES = {path: f"{name.replace('.', '/')}.html" for name, path in (GUIDES | MORE).items()}
# Types without a name of their own, which signatures show by that of the module.
ALIASES = {
    "asapfn.types": ("Key", "Names", "Kind"),
    "asapfn.errors": ("Reason",),
    "asapfn.adapters.asgi": ("ASGIApp", "Receive", "Scope"),
}
LINK = re.compile(r"(!?)\[([^\]]*)\]\((?!\w+:)([^)#]*)(#[^)]*)?\)")
HEADING = re.compile(r"<h[2-4] id=\"([^\"]+)\">(.*?)</h[2-4]>", re.DOTALL)


def main(site: Path) -> None:
    """Write the site into a folder, and exit with what is wrong with it."""
    shutil.rmtree(site, ignore_errors=True)
    modules = documented()
    name_aliases(modules.values())
    pdoc.render.make_index = index_with_sections
    pdoc.render.env.globals["more"] = tuple(MORE)
    pdoc.render.configure(
        docformat="google",
        footer_text=f"asapfn {importlib.import_module('asapfn').__version__}",
        template_directory=Path(__file__).parent / "templates",
    )
    for name, module in modules.items():
        write(site / f"{name.replace('.', '/')}.html", pdoc.render.html_module(module, modules))
    write(site / "index.html", pdoc.render.html_index(modules))
    write(site / "search.js", pdoc.render.search_index(modules))
    for image in sorted(ROOT.glob("*/*.svg")):
        target = site / image.relative_to(ROOT)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(image, target)
    wrong = sorted({*broken_links(site), *expanded_aliases(site)})
    if wrong:
        sys.exit("\n".join(wrong))
    print(f"{len(modules)} pages; every link between them leads somewhere")


def write(path: Path, text: str) -> None:
    """Write a page; the titles of Args, Returns and Raises are there often, and get no anchor."""
    text = re.sub(r'<h6 id="[^"]*">', "<h6>", text)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")


def documented() -> dict[str, pdoc.doc.Module]:
    """Every public module, and the pages that belong to none."""
    names = ["asapfn", *public_below("asapfn"), *public_below("asapfn.adapters")]
    modules = {name: pdoc.doc.Module(importlib.import_module(name)) for name in names}
    for name, path in (GUIDES | MORE).items():
        if name in MORE:
            modules[name] = pdoc.doc.Module(types.ModuleType(name))
        # pdoc reads it from the attribute; the module's own docstring stays as it is.
        modules[name].__dict__["docstring"] = f"{modules[name].docstring}\n\n{guide(path)}"
    return modules


def public_below(package: str) -> Iterator[str]:
    """The names of a package's public modules."""
    for module in pkgutil.iter_modules(importlib.import_module(package).__path__, f"{package}."):
        if "._" not in module.name and module.name not in NOT_SHOWN:
            yield module.name


def guide(path: str) -> str:
    """A README without its title, with its links as they are in the site."""
    text = (ROOT / path).read_text(encoding="utf-8")
    _title, _, rest = text.partition("\n")

    def link(match: re.Match[str]) -> str:
        image, label, file, fragment = match.groups(default="")
        return f"{image}[{label}]({address(path, file)}{fragment})"

    return LINK.sub(link, rest)


def address(page: str, file: str) -> str:
    """Where a link from one file of the repository to another leads in the site."""
    if not file:
        return ""
    target = os.path.normpath(os.path.join(os.path.dirname(page), file))
    if target in PAGES or target.endswith(".svg"):
        return os.path.relpath(PAGES.get(target, target), os.path.dirname(PAGES[page]) or ".")
    if f"{target}/README.md" in PAGES:
        return address(page, f"{file.rstrip('/')}/README.md")
    if not (ROOT / target).exists():
        sys.exit(f"{page} has a link to {file}, which is not there")
    return f"{PROJECT['urls']['Source']}/blob/HEAD/{target}"


class Named(NamedTuple):
    """An annotation that is shown as this text."""

    text: str

    def __repr__(self) -> str:
        return self.text


def name_aliases(modules: Iterable[pdoc.doc.Module]) -> None:
    """Have signatures show `Key`, and not the four classes that it stands for.

    What pdoc computes once for a member, it keeps in the member's __dict__.
    """
    for member in [each for module in modules for each in members(module)]:
        if isinstance(member, pdoc.doc.Function):
            shown = member.signature
            parameters = [
                each.replace(annotation=named(each.annotation))
                for each in shown.parameters.values()
            ]
            member.__dict__["signature"] = shown.replace(
                parameters=parameters, return_annotation=named(shown.return_annotation)
            )
        elif isinstance(member, pdoc.doc.Variable):
            member.__dict__["annotation"] = named(member.annotation)
            member.__dict__["default_value_str"] = public_home(member.default_value_str)


def members(parent: pdoc.doc.Namespace) -> Iterator[pdoc.doc.Doc]:
    """What a module has of its own, and what its classes have."""
    for member in parent.own_members:
        yield member
        if isinstance(member, pdoc.doc.Class):
            yield from members(member)


def named(annotation: object) -> object:
    """An annotation as it is shown: with the names of aliases, the longest alias first."""
    if annotation is inspect.Signature.empty:
        return annotation
    text = inspect.formatannotation(annotation)
    for expansion, name in sorted(alias_names().items(), key=lambda each: -len(each[0])):
        text = text.replace(expansion, name)
    return Named(public_home(text))


@functools.cache
def alias_names() -> dict[str, str]:
    """What an alias stands for, and its name: with its module where that is public, for a link."""
    return {
        inspect.formatannotation(getattr(importlib.import_module(module), name)): (
            name if "._" in module else f"{module}.{name}"
        )
        for module, names in ALIASES.items()
        for name in names
    }


def public_home(text: str) -> str:
    """Show joserfc's classes where joserfc documents them."""
    return re.sub(r"\bjoserfc\._\w+\.\w+\.", "joserfc.jwk.", text)


def index_with_sections(modules: Mapping[str, pdoc.doc.Module], *rest: Any) -> list[dict[str, str]]:
    """The search index of pdoc, with an entry for each section of a README."""
    entries = pdoc.search.make_index(modules, *rest)
    for name, path in (GUIDES | MORE).items():
        before, *sections = re.split(r"(?=<h[2-4] id=)", to_html(guide(path)))
        (page,) = [
            each for each in entries if each["fullname"] == name and each["kind"] == "module"
        ]
        page["doc"] = before
        for section in sections:
            if match := HEADING.match(section):
                title = re.sub(r"<[^>]+>", "", match[2])
                entries.append(
                    {
                        "fullname": f"{name}: {title}",
                        "modulename": name,
                        "qualname": match[1],
                        "kind": "module",
                        "doc": section[match.end() :],
                    }
                )
    return entries


class Page(html.parser.HTMLParser):
    """The anchors of a page, and its links."""

    def __init__(self) -> None:
        super().__init__()
        self.anchors: list[str] = []
        self.links: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note an anchor or a link."""
        values = dict(attrs)
        if anchor := values.get("id"):
            self.anchors.append(anchor)
        link = values.get({"a": "href", "img": "src"}.get(tag, ""))
        if link:
            self.links.append(link)


def broken_links(site: Path) -> Iterator[str]:
    """Links within the site that lead nowhere, and anchors that are there twice."""
    pages: dict[Path, Page] = {}
    for path in sorted(site.rglob("*.html")):
        pages[path] = Page()
        pages[path].feed(path.read_text(encoding="utf-8"))
    for path, page in pages.items():
        for anchor in {each for each in page.anchors if page.anchors.count(each) > 1}:
            yield f"{path.relative_to(site)}: two things are #{anchor}"
        for link in page.links:
            parts = urlsplit(link)
            if parts.scheme:
                continue
            target = (path.parent / unquote(parts.path)).resolve() if parts.path else path
            there = pages.get(target)
            if not target.is_file() or (
                parts.fragment and (there is None or unquote(parts.fragment) not in there.anchors)
            ):
                yield f"{path.relative_to(site)}: {link} leads nowhere"


def expanded_aliases(site: Path) -> Iterator[str]:
    """Pages that show what `Key` stands for, but for the one time where it is defined."""
    for path in sorted(site.rglob("*.html")):
        text = re.sub(r"<[^>]+>", "", path.read_text(encoding="utf-8"))
        if "joserfc._" in text or text.count("jwk.RSAKey | ") > 1:
            yield f"{path.relative_to(site)}: a signature shows what `Key` stands for"


if __name__ == "__main__":
    main(Path(sys.argv[1]).resolve())
