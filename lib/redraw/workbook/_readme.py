"""`make readme`: the README's picture and its table of studies, made from cards and reports."""

from __future__ import annotations

import re

from ._board import write_board
from ._card import Card
from ._project import Project, find_project
from ._ruling import short

_MOST_PAPERS = 4
PICTURE = (
    "[![For each study a row of signs, one a claim: reproduced, contradicted, inconclusive, paper error, not tested]"
    "(reports/board.svg)](reports/index.html)"
)


def made_anew(text: str, cards: list[Card]) -> str:
    """A README with what stands between its markers `<!-- picture -->` and `<!-- studies -->` (each up to its end
    mark, `<!-- /picture -->`) made from the cards. Raises ValueError, one line, when a marker is missing."""
    for name, part in (("picture", PICTURE), ("studies", _table(cards))):
        marked = re.compile(rf"(<!-- {name} -->\n).*?(<!-- /{name} -->)", re.DOTALL)
        if len(marked.findall(text)) != 1:
            raise ValueError(f"README.md: must have <!-- {name} --> and <!-- /{name} --> once each")
        text = marked.sub(lambda found, part=part: f"{found[1]}{part}\n{found[2]}", text)
    return text


def _table(cards: list[Card]) -> str:
    rows = ["| study | asks | papers |", "|---|---|---|"]
    for card in cards:
        papers = [short(paper) for paper in card.papers]
        more = len(papers) - _MOST_PAPERS
        named = ", ".join(papers[:_MOST_PAPERS]) + (f" and {more} more" if more > 0 else "")
        cells = [f"[`{card.study}`](notebooks/{card.study}.ipynb)", card.question, named]
        rows.append(f"| {' | '.join(' '.join(cell.split()).replace('|', chr(92) + '|') for cell in cells)} |")
    return "\n".join(rows)


def write_readme(project: Project) -> None:
    """Write the board, and the README where it changes."""
    cards = [project.card(study) for study in project.studies()]
    write_board(project.reports, cards)
    path = project.root / "README.md"
    path.write_text(made_anew(path.read_text("utf-8"), cards), "utf-8")


if __name__ == "__main__":
    write_readme(find_project())
