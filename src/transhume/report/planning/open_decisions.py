"""What people have still to decide before anything can run: first in a draft's document. Nothing is decided here."""

from transhume.plan.document import Path_
from transhume.report.paper import Cell, Grid, Paragraph, Section
from transhume.report.planning.known import Known
from transhume.words import counted

_COLUMN = 4


def open_decisions(known: Known) -> Section:
    """Return each open decision with what to write, and what a draft knows about it."""
    places = known.open_places()
    rows: list[tuple[Cell, ...]] = []
    for path, finding in places:
        place = f"{finding.position.file}:{finding.position.line}" if finding.position else ""
        rows.append((finding.table or "", finding.message, finding.cure, _known_about(known, path), place))
    said = (
        f"{counted(len(places), 'decision')} that no machine can make: 'TBD' in the plan and in this document. "
        "Write what is decided into the plan, or into the column 'change to' of the workbook and take it "
        "over ('transhume import-decisions'). What needs the whole plan is missing until then: which rows would be "
        "loaded or rejected, and statements of rules that are not decided."
    )
    return Section(
        "Open decisions",
        (
            Paragraph(said),
            Grid(
                "To be decided",
                ("table mapping", "what is open", "what to write", "what a draft found", "plan"),
                tuple(rows),
                frozenset({0, 4}),
                sheet="open decisions",
                decisions=tuple(known.decidable_open(path) for path, _ in places),
                state=known.state,
            ),
        ),
    )


def _known_about(known: Known, path: Path_) -> str:
    mapping = known.plan.tables.get(str(path[1])) if path[0] == "tables" else None
    return known.drafted(mapping, str(path[3])) if mapping is not None and len(path) >= _COLUMN else ""
