"""What the pages of the documentation hold: blocks of code, links, and tables."""

import re
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted(DOCS.glob("*.md"))]
RESULTS = sorted((DOCS / "results").glob("*.md"))
BLOCK = re.compile(r"(?:<!-- (needs|tested in) ([^>]+) -->\n *)?```(\w+)\n(.*?)```", re.DOTALL)
# What a command may need that tests do not have.
NEEDS = ("a network", "a cluster", "a GPU", "data")


class Block(NamedTuple):
    """A block of code.

    Args:
        language: its language.
        text: the code.
        needs: what it needs that tests do not have.
        tested: the file that tests it.
    """

    language: str
    text: str
    needs: str = ""
    tested: str = ""

    @property
    def file(self) -> str:
        """The file that the block stands for, by its first line; "" for code that is run."""
        name = re.match(r"# ([\w./-]+\.(?:yaml|py))\n", self.text)
        return name[1] if name else ""


def blocks(page: Path) -> list[Block]:
    """Return the blocks of a page."""
    found = []
    for note, text, language, code in BLOCK.findall(page.read_text(encoding="utf-8")):
        found.append(
            Block(language, code, *(text if note == name else "" for name in ("needs", "tested in")))
        )
    return found


def is_followed(page: Path) -> bool:
    """Tell whether a page has commands that tests run."""
    return any(block.language == "sh" and not (block.needs or block.tested) for block in blocks(page))


def links(page: Path) -> list[str]:
    """Return the targets of the links of a page to other files."""
    targets = re.findall(r"\]\(([^)\s]+)\)", page.read_text(encoding="utf-8"))
    return [target for target in targets if not re.match(r"https?:|#", target)]
