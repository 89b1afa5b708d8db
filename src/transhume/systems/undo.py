"""What taking a run back needs of a target: choices, counts, fingerprints, the protocol. Nothing is removed here."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal, Protocol

from transhume.batches import JournalAnchor, TargetTable

FINGERPRINT_MODULUS = 2**128


@dataclass(frozen=True, slots=True)
class UndoChoice:
    """What happens to rows that are not simply ours any more.

    `edited`: rows of the run that others have changed since. `referenced`: rows of the run that rows of others refer
    to by now; `remove` takes these rows of others along.
    """

    edited: Literal["keep", "remove"] = "keep"
    referenced: Literal["refuse", "keep", "remove"] = "refuse"


@dataclass(frozen=True, slots=True)
class Fingerprint:
    """Rows of a table regardless of their order: their number, and the sum mod 2^128 of each row's md5.

    What a row's bytes are is defined by each system; fingerprints are compared within one system only. They add up:
    the fingerprint of two sets of rows is the sum of theirs.
    """

    rows: int = 0
    total: int = 0

    def __add__(self, other: "Fingerprint") -> "Fingerprint":
        return Fingerprint(self.rows + other.rows, (self.total + other.total) % FINGERPRINT_MODULUS)

    def __sub__(self, other: "Fingerprint") -> "Fingerprint":
        return Fingerprint(self.rows - other.rows, (self.total - other.total) % FINGERPRINT_MODULUS)

    def __str__(self) -> str:
        return f"{self.rows}:{self.total:032x}"


def parse_fingerprint(text: str | None) -> Fingerprint | None:
    """Return the fingerprint that `str` gave, None for nothing."""
    if not text:
        return None
    rows, total = text.split(":")
    return Fingerprint(int(rows), int(total, 16))


@dataclass(frozen=True, slots=True)
class UndoneTable:
    """What undoing does, or did, to one target table; all numbers are rows.

    `published` and `updated` are the ledger's: rows that the run inserted and rows that it changed. Of the inserted
    ones `removed` go; `edited` were changed by others and `needed` are referred to by rows that stay: both stay
    where the choice keeps them; `vanished` were removed by others before. Of the changed ones `restored` get their
    content back, `not_restored` stay as others left them. `others_removed` are rows of others that go by choice.
    `dropped`: the run made the table, and it goes.
    """

    table: str
    created: bool
    published: int = 0
    removed: int = 0
    edited: int = 0
    needed: int = 0
    vanished: int = 0
    updated: int = 0
    restored: int = 0
    not_restored: int = 0
    others_removed: int = 0
    dropped: bool = False
    fingerprint_before_run: str = ""
    fingerprint_at_start: str = ""
    fingerprint_after: str = ""
    proof: str = ""
    """`equal`, `equal_apart_from_others`, `removal_only` or empty; `proof_text` says it in words."""
    proof_text: str = ""

    @property
    def kept(self) -> int:
        """Rows of the run that stay."""
        return self.edited + self.needed

    def to_dict(self) -> dict[str, Any]:
        """Return JSON values."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class ReferringRows:
    """Rows of others in `table` that refer to rows of the run in `parent`; `run` names a later run that wrote them."""

    table: str
    columns: tuple[str, ...]
    parent: str
    rows: int
    run: str = ""

    def __str__(self) -> str:
        who = f"written by run '{self.run}'" if self.run else "of others"
        return f"{self.rows} rows {who} in '{self.table}' ({', '.join(self.columns)}) refer to rows in '{self.parent}'"

    def to_dict(self) -> dict[str, Any]:
        """Return JSON values."""
        return {**asdict(self), "columns": list(self.columns)}


@dataclass(frozen=True, slots=True)
class UndoReport:
    """What undoing a run does or did: `state` is the run's before (`open`, `published`, `rolled_back`, `absent`)."""

    run: str
    state: str
    tables: tuple[UndoneTable, ...] = ()
    referring: tuple[ReferringRows, ...] = ()
    later_runs: tuple[str, ...] = ()
    """One sentence for each later run that builds on this one; undoing is refused while there is any."""
    notes: tuple[str, ...] = ()
    """What is not restored, and what else must be known."""

    @property
    def kept(self) -> int:
        """Rows of the run that stay, and rows that do not get their former content back."""
        return sum(table.kept + table.not_restored for table in self.tables)

    def to_dict(self) -> dict[str, Any]:
        """Return JSON values."""
        return {
            "run": self.run,
            "state": self.state,
            "tables": [table.to_dict() for table in self.tables],
            "referring": [each.to_dict() for each in self.referring],
            "later_runs": list(self.later_runs),
            "notes": list(self.notes),
        }


def report_of(told: Mapping[str, Any]) -> UndoReport:
    """Return the report that `to_dict` gave."""
    return UndoReport(
        run=told["run"],
        state=told["state"],
        tables=tuple(UndoneTable(**table) for table in told["tables"]),
        referring=tuple(ReferringRows(**{**each, "columns": tuple(each["columns"])}) for each in told["referring"]),
        later_runs=tuple(told["later_runs"]),
        notes=tuple(told["notes"]),
    )


@dataclass(frozen=True, slots=True)
class KeptRow:
    """A row that stays although the run brought or changed it: its table, its key as texts, and why."""

    table: str
    key: tuple[str, ...]
    why: str


@dataclass(frozen=True, slots=True)
class UndoScript:
    """A script that a person runs: its text, the ending of its file's name, and the language in words."""

    text: str
    ending: str
    language: str


@dataclass(frozen=True, slots=True)
class UndoReference:
    """Columns of one target table that refer to columns of another, whether the system enforces it or not."""

    table: str
    columns: tuple[str, ...]
    parent: str
    parent_columns: tuple[str, ...]


class TargetUndo(Protocol):
    """A hold on a target for taking one run back. Made by `Target.open_undo`."""

    state: str
    """`absent` (the ledger knows no such run), `open`, `published`, `rolled_back` or `finalized`."""

    def preview(self, choice: UndoChoice) -> UndoReport:
        """Return what `undo` would do now; nothing is changed."""
        ...

    def undo(self, choice: UndoChoice) -> UndoReport:
        """Take the run back in one transaction over all tables, the ledger's state included; idempotent.

        An open run loses its stage. A run that was rolled back returns the report of then.
        Raises: Refused if a later run builds on it, or rows of others refer to it and the choice is to refuse;
        RollbackStopped if a count or a fingerprint does not come out: nothing is changed then.
        """
        ...

    def script(self) -> UndoScript:
        """Return the undoing of a published run as a script that a person can run without transhume.

        Raises: SystemRefused for a system that runs no scripts, with the other way by hand.
        """
        ...

    def kept(self) -> Iterator[KeptRow]:
        """Yield every row that stayed when the run was rolled back."""
        ...

    def remember(self, anchor: JournalAnchor) -> None:
        """Write down how far the run's journal has come: an older copy of it is found out by that.

        Not of a run that the ledger does not know (`absent`).
        """
        ...

    def finalize(self) -> Sequence[str]:
        """Drop everything that undoing needs and return what was dropped, in words; idempotent.

        Raises: Refused for a run that is open.
        """
        ...

    def close(self) -> None:
        """Give the lock back."""
        ...


def merged_tables(tables: Sequence[TargetTable]) -> dict[str, list[TargetTable]]:
    """Return the mappings by target table, in the order given."""
    grouped: dict[str, list[TargetTable]] = {}
    for table in tables:
        grouped.setdefault(table.table.name, []).append(table)
    return grouped


def proof(before: Fingerprint | None, stood: Fingerprint | None, after: Fingerprint, kept: int) -> tuple[str, str]:
    """Return what is proved of one table after its rows were removed, as `UndoneTable.proof` and in words.

    `before` is the fingerprint before the run, `stood` that of the rows that stand there since before the run,
    `after` that of all rows now. Whoever calls has compared the removal itself: what was there less what was
    removed is what is there.
    """
    removal = "exactly the rows of the run left the table, every other row is bit by bit what it was a moment before"
    if before is None:
        return "removal_only", f"{removal}; what stood there before the run was not recorded, so no more is proved"
    if after == before:
        return "equal", f"the table is bit by bit what it was before the run: {before.rows} rows"
    if stood == before:
        others = after.rows - before.rows - kept
        text = (
            f"the {before.rows} rows from before the run are bit by bit what they were; beside them stand {others} "
            f"rows that others have written since and {kept} rows of the run that stay"
        )
        return "equal_apart_from_others", text
    return "removal_only", f"{removal}; others changed or removed rows that stood there before the run"
