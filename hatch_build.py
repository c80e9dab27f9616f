"""What the package's metadata holds that is made of a file: README.md, with its links absolute."""

import re
from pathlib import Path
from typing import Any

from hatchling.metadata.plugin.interface import MetadataHookInterface

LINK = re.compile(r"(!?)\[([^\]]*)\]\((?![#]|\w+:)([^)]+)\)")


class Readme(MetadataHookInterface):
    """Makes the description for PyPI, where the repository's files are elsewhere."""

    def update(self, metadata: dict[str, Any]) -> None:
        """Add the description, with links to where the project's files are."""
        text = (Path(self.root) / "README.md").read_text(encoding="utf-8")
        source = metadata["urls"]["Source"]

        def absolute(match: re.Match[str]) -> str:
            image, label, target = match.groups()
            if not (Path(self.root) / target.partition("#")[0]).exists():
                raise ValueError(f"README.md has a link to {target}, which is not there")
            kind = "raw" if image else "blob"
            return f"{image}[{label}]({source}/{kind}/HEAD/{target})"

        metadata["readme"] = {
            "content-type": "text/markdown",
            "text": LINK.sub(absolute, text),
        }
