"""Freezing the source while a run goes on: what is forbidden is written down first, and given back whatever happens.

The record stands in `.transhume/freeze.json` from before the first statement until everything is given back; so
`unfreeze` knows after a crash what there was.
"""

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from transhume.batches import Event
from transhume.errors import Refused, SystemUnavailable, TranshumeError
from transhume.plan.model import Plan
from transhume.project.workplace import Listener, Workplace
from transhume.stages.files import write_last
from transhume.systems import open_freezer
from transhume.systems.changes import Freezer, Freezing

_RECORD = "freeze.json"


@dataclass(frozen=True, slots=True)
class FreezeRecord:
    """What was forbidden where, and since when."""

    source: str
    at: str
    tables: tuple[str, ...]
    freezing: Freezing

    def to_dict(self) -> dict[str, Any]:
        """Return JSON values."""
        told = {"source": self.source, "at": self.at, "tables": list(self.tables)}
        return {**told, "freezing": self.freezing.to_dict()}


@dataclass(frozen=True, slots=True)
class UnfreezeResult:
    """What was given back, and what is not as it was all the same. `record` None: nothing was frozen."""

    record: FreezeRecord | None
    differing: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """Return JSON values."""
        record = None if self.record is None else self.record.to_dict()
        return {"record": record, "differing": list(self.differing)}


def statements(place: Workplace) -> Freezing:
    """Return the exact statements of `freeze: enforce` and those that give the rights back; nothing is changed.

    Raises: Refused where transhume has no way to freeze this system, or the role may not.
    """
    plan = place.plan()
    freezer = _freezer(place, plan)
    try:
        return freezer.plan(_tables(plan))
    finally:
        freezer.close()


@contextmanager
def frozen(place: Workplace, plan: Plan, listener: Listener | None) -> Iterator[None]:
    """Keep others from writing to the plan's source tables, where the plan says `freeze: enforce`.

    Effects: rights or triggers of the source; given back at the end, also where the run fails. After a kill `unfreeze`
    does it, or the run that goes on, which completes first what the kill has left undone.
    Raises: Refused, SystemUnavailable: nothing was frozen, unless the message says so; at the end SystemUnavailable
    where the source could not be given back.
    """
    standing = standing_freeze(place)
    if plan.freeze != "enforce":
        if standing is not None and listener is not None:
            listener(Event("freeze_left", {"source": standing.source, "at": standing.at}))
        yield
        return
    tell = listener or _nobody
    freezer = _freezer(place, plan)
    try:
        if standing is None:
            tables = _tables(plan)
            freezing = freezer.plan(tables)
            tell(Event("freeze_planned", {"statements": list(freezing.freeze), "notes": list(freezing.notes)}))
            record = FreezeRecord(freezer.identity, _now(), tuple(tables), freezing)
            _keep(place, record)
            _begin(place, freezer, record)
        else:
            _complete(plan, freezer, standing)
        tell(Event("source_frozen", {"tables": len(_tables(plan))}))
        try:
            yield
        except BaseException:
            with suppress(TranshumeError):
                _end(place, freezer, tell)
            raise
        _end(place, freezer, tell)
    finally:
        freezer.close()


def _begin(place: Workplace, freezer: Freezer, record: FreezeRecord) -> None:
    """Freeze; where it fails, take back what stands of it, and forget the record only when nothing does."""
    try:
        freezer.freeze(record.tables, record.freezing)
    except Exception as problem:
        try:
            if freezer.stands(record.tables, record.freezing):
                freezer.unfreeze(record.tables, record.freezing)
        except TranshumeError:
            message = f"{problem}; a part of the freeze may stand: 'transhume unfreeze' gives it back"
            raise SystemUnavailable(message) from problem
        _record(place).unlink()
        raise


def _complete(plan: Plan, freezer: Freezer, standing: FreezeRecord) -> None:
    """Make sure that a freeze of a process that died stands whole, and for these tables."""
    _require_same(standing, freezer)
    cure = "run 'transhume unfreeze', then the same command again"
    if missing := [name for name in _tables(plan) if name not in standing.tables]:
        names = ", ".join(f"'{name}'" for name in missing)
        message = f"{standing.source} is frozen since {standing.at}, but not {names}; {cure}"
        raise Refused(message)
    try:
        freezer.freeze(standing.tables, standing.freezing)
    except Refused as problem:
        message = f"{problem} (frozen since {standing.at}); {cure}"
        raise Refused(message) from None


def _end(place: Workplace, freezer: Freezer, tell: Listener) -> None:
    """Give the source back and say so; the record stays where it fails."""
    try:
        result = _given_back(place, freezer)
    except TranshumeError as problem:
        standing = standing_freeze(place)
        assert standing is not None
        tell(Event("freeze_left", {"source": standing.source, "at": standing.at}))
        message = f"the run is through, but the source is frozen still: {problem}. Run 'transhume unfreeze'."
        raise SystemUnavailable(message) from problem
    tell(Event("source_unfrozen", {"differing": list(result.differing)}))


def unfreeze(place: Workplace) -> UnfreezeResult:
    """Give back what a run that died has forbidden; see `Project.unfreeze`."""
    with place.lock():
        if standing_freeze(place) is None:
            return UnfreezeResult(None)
        freezer = _freezer(place, place.plan())
        try:
            return _given_back(place, freezer)
        finally:
            freezer.close()


def standing_freeze(place: Workplace) -> FreezeRecord | None:
    """Return what is forbidden now, as far as this project did it. Raises: Refused for a damaged record."""
    path = _record(place)
    if not path.exists():
        return None
    try:
        told = json.loads(path.read_text(encoding="utf-8"))
        freezing = Freezing(**{name: tuple(each) for name, each in told["freezing"].items()})
        return FreezeRecord(told["source"], told["at"], tuple(told["tables"]), freezing)
    except (ValueError, KeyError, TypeError, AttributeError):
        message = f"'{path}' was edited or damaged: which rights the source had is not known; give them back by hand"
        raise Refused(message) from None


def _given_back(place: Workplace, freezer: Freezer) -> UnfreezeResult:
    record = standing_freeze(place)
    if record is None:
        return UnfreezeResult(None)
    _require_same(record, freezer)
    differing = freezer.unfreeze(record.tables, record.freezing)
    _record(place).unlink()
    return UnfreezeResult(record, tuple(differing))


def _require_same(record: FreezeRecord, freezer: Freezer) -> None:
    if record.source != freezer.identity:
        message = (
            f"{record.source} is frozen since {record.at}, and the plan now names {freezer.identity}; nothing was "
            "changed. Put the former source back, then run 'transhume unfreeze'."
        )
        raise Refused(message)


def _freezer(place: Workplace, plan: Plan) -> Freezer:
    url = plan.origin.resolver.resolve(plan.source, plan.position("source")).reveal()
    freezer = open_freezer(url, place.folder)
    if freezer is None:
        message = (
            "'freeze: enforce' cannot keep others from writing to this kind of source; nothing was written. Stop its "
            "application by hand and write 'freeze: detect', which reports every change."
        )
        raise Refused(message)
    return freezer


def _tables(plan: Plan) -> Sequence[str]:
    names = [name for mapping in plan.tables.values() for name in (mapping.from_, *mapping.feeding())]
    return list(dict.fromkeys(names))


def _record(place: Workplace) -> Path:
    return place.state / _RECORD


def _keep(place: Workplace, record: FreezeRecord) -> None:
    write_last(_record(place), json.dumps(record.to_dict(), ensure_ascii=False, indent=1).encode())


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")


def _nobody(event: Event) -> None:
    del event
