"""What people wrote into the decision columns of a workbook; what it means for the plan is not known here."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path
from typing import Any

from transhume.errors import DriverMissing, Finding, UsageError

STATE = "plan "
"""Before the state of the plan, in the head of the column that names each row's thing."""
WRITTEN, DECISION, CHANGE, BY, ON, REMARK = "in the plan", "decision", "change to", "decided by", "on", "remark"
COLUMNS = (WRITTEN, DECISION, CHANGE, BY, ON, REMARK)
ACCEPTED, TO_CHANGE, OPEN = "accepted", "to be changed", "open"
CHOICES = (ACCEPTED, TO_CHANGE, OPEN)
_SIZE_BYTES_MAX = 50_000_000


@dataclass(frozen=True, slots=True)
class Decision:
    """One row in which somebody wrote something: `place` is sheet and row, `on` a day or empty."""

    place: str
    thing: str
    decision: str
    change: str
    by: str
    on: str
    remark: str


@dataclass(frozen=True, slots=True)
class Decided:
    """A workbook's decisions, the states of the plan that its sheets were made of, and what is wrong in cells."""

    decisions: tuple[Decision, ...]
    states: frozenset[str]
    findings: tuple[Finding, ...]


def read_decisions(path: Path) -> Decided:
    """Return what stands in the decision columns of every sheet that has them.

    Raises: UsageError for what is no such workbook; DriverMissing if python-calamine is not installed.
    """
    try:
        import python_calamine  # noqa: PLC0415 - an optional driver
    except ImportError:
        message = "reading a workbook needs python-calamine; install it by: pip install 'transhume[documents]'"
        raise DriverMissing(message) from None
    try:
        too_large = path.stat().st_size > _SIZE_BYTES_MAX
        book = None if too_large else python_calamine.CalamineWorkbook.from_path(str(path))
    except (OSError, python_calamine.CalamineError, python_calamine.ZipError) as problem:
        message = f"'{path}' cannot be read as a workbook: {problem}"
        raise UsageError(message) from None
    if book is None:
        message = f"'{path}' is larger than {_SIZE_BYTES_MAX:,} bytes: no workbook of 'transhume plan --docs xlsx'"
        raise UsageError(message)
    decisions: list[Decision] = []
    states: set[str] = set()
    findings: list[Finding] = []
    for name in book.sheet_names:
        rows = book.get_sheet_by_name(name).to_python(skip_empty_area=False)
        found = _head(name, rows[0] if rows else [], findings)
        if found is None:
            continue
        columns, thing, state = found
        states.add(state)
        for number, row in enumerate(rows[1:], 2):
            _row(f"sheet '{name}', row {number}", row, columns, thing, decisions, findings)
    if not states and not findings:
        message = f"'{path}' has no decision columns: give the workbook that 'transhume plan --docs xlsx' wrote"
        raise UsageError(message)
    return Decided(tuple(decisions), frozenset(states), tuple(findings))


def _head(name: str, head: Sequence[Any], findings: list[Finding]) -> tuple[dict[str, int], int, str] | None:
    """Return where the decision columns of a sheet are, where the one that names things, and the plan's state."""
    texts = [str(cell).strip() for cell in head]
    # A table of its own may have one such column: the signatures do.
    if len({DECISION, CHANGE, BY} & set(texts)) <= 1:
        return None
    things = [place for place, text in enumerate(texts) if re.fullmatch(rf"{STATE}[0-9a-f]+", text)]
    missing = [column for column in COLUMNS[1:] if column not in texts]
    if len(things) != 1 or missing:
        what = f"has lost the column '{missing[0]}'" if missing else "has lost its last column, which names the rows"
        cure = "write the workbook anew ('transhume plan --docs xlsx') and put the decisions in"
        findings.append(Finding("workbook_column", "error", f"the sheet '{name}' {what}", cure))
        return None
    return {column: texts.index(column) for column in COLUMNS[1:]}, things[0], texts[things[0]][len(STATE) :]


def _row(
    place: str,
    row: Sequence[Any],
    columns: dict[str, int],
    thing: int,
    decisions: list[Decision],
    findings: list[Finding],
) -> None:
    cells = {name: _text(row[column] if column < len(row) else "") for name, column in columns.items()}
    if not any(cells.values()):
        return
    named = _text(row[thing] if thing < len(row) else "")
    problems = [*_problems(cells)]
    if not named:
        problems.append(("unknown_row", "is no row of the plan document", "write a new rule into the plan itself"))
    findings += [Finding(code, "error", f"{place}: {message}", cure) for code, message, cure in problems]
    if not problems:
        decisions.append(
            Decision(place, named, cells[DECISION].lower(), cells[CHANGE], cells[BY], cells[ON], cells[REMARK])
        )


def _problems(cells: dict[str, str]) -> list[tuple[str, str, str]]:
    found = []
    decision = cells[DECISION].lower()
    choices = f"choose one of {', '.join(CHOICES)}"
    if not decision:
        given = next(name for name, text in cells.items() if text)
        found.append(("no_decision", f"'{given}' is filled in and '{DECISION}' is not", choices))
    elif decision not in CHOICES:
        found.append(("bad_decision", f"'{cells[DECISION]}' is no decision", choices))
    if decision == ACCEPTED and not cells[BY]:
        found.append(("nobody", f"accepted by nobody: '{BY}' is empty", f"write a name into '{BY}'"))
    if cells[ON] and not _is_day(cells[ON]):
        found.append(("bad_day", f"'{cells[ON]}' is no day", "write it as in 2027-01-11"))
    if len(cells[CHANGE].splitlines()) > 1:
        found.append(("several_lines", f"'{CHANGE}' has several lines", "write the rule in one line: {verb: column}"))
    return found


def _is_day(text: str) -> bool:
    try:
        return re.fullmatch(r"[0-9]{4}-[0-9]{2}-[0-9]{2}", text) is not None and date.fromisoformat(text) is not None
    except ValueError:
        return False


def _text(cell: Any) -> str:
    if isinstance(cell, datetime):
        return cell.date().isoformat()
    if isinstance(cell, date):
        return cell.isoformat()
    if isinstance(cell, float) and cell.is_integer():
        return str(int(cell))
    return str(cell).strip()
