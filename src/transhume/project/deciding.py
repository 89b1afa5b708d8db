"""Decisions from a plan document's workbook, put into the plan: shown as a difference first, then written."""

import difflib
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from transhume.errors import Finding, PlanError, Refused
from transhume.matching.writing import comment
from transhume.plan.document import Document, Path_, parse_document, read_text
from transhume.plan.load import FILE_NAME, load_for_review
from transhume.plan.lock import plan_content, plan_diff, plan_hash
from transhume.plan.open import OPEN, open_paths
from transhume.plan.splicing import Splices, flow
from transhume.project.workplace import Workplace
from transhume.report.decisions import ACCEPTED, Decision, read_decisions
from transhume.report.planning.known import STATE_DIGITS
from transhume.rules import parse_rule
from transhume.rules.rule import RuleInvalid


@dataclass(frozen=True, slots=True)
class Decisions:
    """What a workbook decides: the plan's text before and after, what that changes, what is still to be decided.

    `changes` are in the plan's terms, `lines` is a unified difference of the text, comments included.
    """

    before: str
    after: str
    changes: tuple[str, ...]
    lines: tuple[str, ...]
    accepted: int
    waiting: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        """Return the decisions as JSON values."""
        return {
            "accepted": self.accepted,
            "changes": list(self.changes),
            "difference": list(self.lines),
            "waiting": list(self.waiting),
        }


def read_workbook(place: Workplace, workbook: Path) -> Decisions:
    """Return what a workbook decides about the plan as it stands; see `Project.read_decisions`."""
    plan, _ = load_for_review(place.folder, place.environment)
    path = place.folder / FILE_NAME
    before = read_text(path, FILE_NAME)
    document = parse_document(before, FILE_NAME)
    decided = read_decisions(workbook)
    now = plan_hash(plan)[:STATE_DIGITS]
    if old := sorted(decided.states - {now}):
        message = (
            f"'{workbook}' was made of the plan {', '.join(old)}, which is {now} by now: what was decided there may "
            "not fit. Nothing was changed. Write the workbook anew ('transhume plan --docs xlsx') and decide there; "
            "'git diff' shows what changed since."
        )
        raise Refused(message)
    findings = [*decided.findings, *_twice(decided.decisions)]
    splices = Splices(before)
    accepted = [each for each in decided.decisions if each.decision == ACCEPTED]
    findings += _within(accepted)
    for each in {each.thing: each for each in accepted}.values():
        findings += _put(each, splices, document)
    if findings:
        raise PlanError(findings)
    after = splices.result()
    changed = _read_as(place, path, after)
    return Decisions(
        before=before,
        after=after,
        changes=tuple(plan_diff(plan_content(plan), changed)),
        lines=tuple(difflib.unified_diff(before.split("\n"), after.split("\n"), "before", "after", n=0, lineterm="")),
        accepted=len({each.thing for each in accepted}),
        waiting=tuple(f"{each.place}: {each.decision}{_said(each)}" for each in _others(decided.decisions)),
    )


def write_decisions(place: Workplace, decisions: Decisions) -> bool:
    """Write what was decided into the plan; say whether anything was written. See `Project.write_decisions`."""
    path = place.folder / FILE_NAME
    if read_text(path, FILE_NAME) != decisions.before:
        message = f"'{path}' was changed while the decisions were looked at; nothing was written. Import them again."
        raise Refused(message)
    if decisions.after == decisions.before:
        return False
    partial = _beside(path)
    with partial.open("w", encoding="utf-8", newline="") as file:
        file.write(decisions.after)
        file.flush()
        os.fsync(file.fileno())
    partial.replace(path)
    return True


def _twice(decisions: Sequence[Decision]) -> Iterator[Finding]:
    first: dict[str, Decision] = {}
    for each in decisions:
        other = first.setdefault(each.thing, each)
        if (other.decision, other.change) != (each.decision, each.change):
            said = f"'{other.decision}{_said(other)}' and '{each.decision}{_said(each)}'"
            message = f"two decisions for one thing: {other.place} and {each.place} say {said}"
            yield Finding("two_decisions", "error", message, "agree on one and empty the other")


def _within(accepted: Sequence[Decision]) -> Iterator[Finding]:
    """Yield what is decided as a part and by a new rule for the whole, too."""
    things = [(each, _path(each)) for each in accepted if each.change]
    for whole, around in things:
        for part, inside in things:
            if inside[:1] == ("open",) and around[:1] == ("rule",) and inside[1 : len(around)] == around[1:]:
                message = f"{whole.place} changes the whole rule, and {part.place} a part of it"
                yield Finding(
                    "two_decisions", "error", message, "write all of it into the new rule, and empty the other"
                )


def _path(decision: Decision) -> tuple[str | int, ...]:
    """Return the kind of a decision's thing and the path behind it, nothing where it names none."""
    try:
        return tuple(json.loads(decision.thing))
    except (ValueError, TypeError):
        return ()


def _others(decisions: Sequence[Decision]) -> Iterator[Decision]:
    yield from (each for each in decisions if each.decision != ACCEPTED)


def _said(decision: Decision) -> str:
    return "".join(f"; {text}" for text in (decision.change, decision.remark) if text)


def _put(decision: Decision, splices: Splices, document: Document) -> Iterator[Finding]:
    """Put one accepted decision into the text; yield what stands against it."""
    kind, *path = _path(decision) or ("",)
    match kind:
        case "rule" if splices.has(tuple(path)):
            yield from _rule(decision, tuple(path), splices, document)
        case "open" if splices.has(tuple(path)):
            yield from _open(decision, tuple(path), splices)
        case "spelling" if len(path) == 3 and splices.has(("lookups", path[0])):  # noqa: PLR2004 - as it was written
            yield from _spelling(decision, path, splices, document)
        case "drop" | "finding" if decision.change:
            message = f"{decision.place}: 'change to' is filled in, and nothing here can be exchanged for it"
            yield Finding("no_change_here", "error", message, "change the plan itself, or the rule's row")
        case "drop" if splices.has(tuple(path[:3])):
            name = path[3]
            splices.comment(tuple(path[:3]), comment(f"{name}: {_note(decision)}"))
        case "finding" if len(path) > 1 and splices.has(tuple(path[1:])):
            splices.comment(tuple(path[1:]), comment(f"{path[0]}: {_note(decision)}"))
        case "finding" if len(path) == 1:
            splices.comment(("name",), comment(f"{path[0]}: {_note(decision)}"))
        case _:
            message = f"{decision.place}: this row is about nothing that stands in the plan"
            yield Finding("unknown_row", "error", message, "write the workbook anew and decide there")


def _rule(decision: Decision, path: Path_, splices: Splices, document: Document) -> Iterator[Finding]:
    problem = _bad_rule(decision) if decision.change else None
    if problem is not None:
        yield Finding("bad_rule", "error", f"{decision.place}: {problem}", "write it as in the plan")
    elif not decision.change and any(each[: len(path)] == path for each in open_paths(document)):
        yield _still_open(decision)
    else:
        splices.comment(path, comment(_note(decision)))
        if decision.change:
            splices.replace(path, decision.change)


def _open(decision: Decision, path: Path_, splices: Splices) -> Iterator[Finding]:
    """Put what was decided in the place of TBD, as a text that reads the same inside of braces."""
    written = decision.change
    if written in {"", OPEN}:
        yield _still_open(decision)
        return
    alone, inside = (_value(text) for text in (f"x: {written}", f"x: {{y: {written}}}"))
    if alone is None:
        yield Finding("bad_value", "error", f"{decision.place}: '{written}' is no YAML", "write it as in the plan")
        return
    if inside != {"y": alone}:
        written = _one_scalar(alone) if isinstance(alone, str) else flow(alone)
    splices.comment(path, comment(_note(decision)))
    splices.replace(path, written)


def _value(text: str) -> Any:
    """Return what stands behind `x:` in a text of one line, None where it is not YAML."""
    try:
        node = parse_document(text, "")
    except PlanError:
        return None
    content = node.content if isinstance(node.content, Mapping) and not node.findings else {}
    return content.get("x") if set(content) == {"x"} else None


def _still_open(decision: Decision) -> Finding:
    message = f"{decision.place}: accepted, and what is to stand in the place of {OPEN} is not said"
    return Finding("still_open", "error", message, "write it into 'change to'")


def _spelling(decision: Decision, path: Sequence[str | int], splices: Splices, document: Document) -> Iterator[Finding]:
    lookup, spelling, canonical = map(str, path)
    wanted = decision.change or canonical
    if not wanted or not splices.has(("lookups", lookup, wanted)):
        said = f"'{wanted}' is no name of the lookup '{lookup}'" if wanted else f"nothing says what '{spelling}' means"
        names = ", ".join(document.content["lookups"][lookup])
        cure = f"write one of its names into 'change to': {names}"
        yield Finding("unknown_name", "error", f"{decision.place}: {said}", cure)
        return
    name = ("lookups", lookup, wanted)
    splices.comment(name, comment(f"{spelling}: {_note(decision)}"))
    splices.append(name, _one_scalar(spelling))


def _one_scalar(text: str) -> str:
    """Return a text as one scalar of a list in one line."""
    return flow(text) if flow(text) == text and "\n" not in text else json.dumps(text, ensure_ascii=False)


def _note(decision: Decision) -> str:
    on = f" on {decision.on}" if decision.on else ""
    remark = f": {decision.remark}" if decision.remark else ""
    return f"accepted by {decision.by}{on}{remark}"


def _bad_rule(decision: Decision) -> str | None:
    """Say why what stands in 'change to' is no rule, None where it is one."""
    try:
        node = parse_document(f"rule: {decision.change}", decision.place)
        if node.findings or set(node.content) != {"rule"}:
            return f"'{decision.change}' is no rule: {node.findings[0].message if node.findings else 'several keys'}"
        parse_rule(node.content["rule"], {"time_zone": "UTC"})
    except PlanError as problem:
        return f"'{decision.change}' is no rule: {problem.findings[0].message}"
    except RuleInvalid as problem:
        return f"'{decision.change}' is no rule: {'; '.join(message for _, message in problem.problems)}"
    return None


def _read_as(place: Workplace, path: Path, text: str) -> Mapping[str, Any]:
    """Return the content of the plan that a text would be; raises PlanError with each finding at its place in it."""
    partial = _beside(path)
    partial.write_text(text, encoding="utf-8", newline="")
    try:
        return plan_content(load_for_review(partial, place.environment)[0])
    except PlanError as problem:
        raise PlanError([_in_plan(finding) for finding in problem.findings]) from None
    finally:
        partial.unlink(missing_ok=True)


def _in_plan(finding: Finding) -> Finding:
    if finding.position is None:
        return finding
    message = f"with these decisions the plan would not be right: {finding.message}"
    return replace(finding, message=message, position=replace(finding.position, file=FILE_NAME))


def _beside(path: Path) -> Path:
    return path.with_name(f"{path.name}.unfinished")
