"""Proposals of a draft that still stand in a plan as they were made: their score, read from the comment behind them."""

import re

from transhume.plan.document import Document, Path_
from transhume.plan.open import OPEN

SCORE_LOW = 0.5
"""Below it a proposal is as likely wrong as right on the published pairs that scores were measured on."""
_SCORED = re.compile(r"   # (0\.[0-9]{2}|1\.00) ")
_BEHIND = re.compile(r"   # (?P<words>.+)\Z")
_COLUMN = 4


def doubtful_columns(document: Document) -> int:
    """Return the number of columns whose proposal has a low score and is not marked as accepted in the line above.

    A person who decides takes the comment away, writes another rule, or imports the decision from the workbook.
    """
    count = 0
    for path, (line, _) in document.key_places.items():
        if len(path) != _COLUMN or path[0] != "tables" or path[2] != "columns":
            continue
        found = _SCORED.search(document.lines[line])
        accepted = line > 0 and document.lines[line - 1].lstrip().startswith("# accepted by ")
        count += found is not None and float(found[1]) < SCORE_LOW and not accepted
    return count


def drafted_words(document: Document, path: Path_) -> str:
    """Return what a draft wrote behind a column's rule: score, reasons, alternatives; "" where it wrote nothing.

    A comment of a person behind a rule that is no proposal stays out of it.
    """
    place = document.key_places.get(path)
    line = document.lines[place[0]] if place is not None and place[0] < len(document.lines) else ""
    found = _BEHIND.search(line)
    is_drafted = _SCORED.search(line) is not None or (found is not None and f" {OPEN}   #" in line)
    return found["words"] if found is not None and is_drafted else ""
