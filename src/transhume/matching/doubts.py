"""Proposals of a draft that still stand in a plan as they were made: their score, read from the comment behind them."""

import re

from transhume.plan.document import Document

SCORE_LOW = 0.5
"""Below it a proposal is as likely wrong as right on the published pairs that scores were measured on."""
_SCORED = re.compile(r"   # (0\.[0-9]{2}|1\.00) ")
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
