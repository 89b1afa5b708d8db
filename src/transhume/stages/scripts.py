"""Scripts of a validation that a person runs by hand: checks printed in a dialect, and the list of what is not said."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from sqlglot import exp

from transhume.batches import TargetTable
from transhume.checks import CheckResult
from transhume.checks.after_scripts import after_scripts
from transhume.checks.before_scripts import before_scripts
from transhume.checks.counts import TableTally
from transhume.checks.rows import table_named
from transhume.checks.script import Place, Script, Unsaid
from transhume.dialects.scripts import SCRIPT_DIALECTS, LoweringError, ScriptDialect
from transhume.dialects.scripts.stored_types import stored_types
from transhume.errors import Position
from transhume.facts import Catalog
from transhume.plan.model import Plan
from transhume.version import __version__

_OWN = {"sqlite": "sqlite", "postgresql": "postgres", "postgres": "postgres", "mysql": "mysql", "iceberg": "spark"}
"""Scheme of a system to the dialect in which its rows are read by hand; a lake's by Spark."""
_TIMES_AS_TEXT = frozenset({"sqlite", "mysql", "mariadb"})
_NAME_MAX = 60


@dataclass(frozen=True, slots=True)
class ScriptFile:
    """One file: `path` relative to the folder, `text` its content; `side` and `dialect` are empty of the index."""

    path: str
    text: str
    side: str = ""
    dialect: str = ""


def validation_scripts(
    plan: Plan,
    catalogs: tuple[Catalog, Catalog],
    tables: Mapping[str, TargetTable],
    tallies: Mapping[str, TableTally],
    dialect: str | None = None,
) -> list[ScriptFile]:
    """Return the scripts of both sides, numbered, then README.txt, which names what no script says and why.

    `catalogs` are source and target; `tallies` those of a finished run, whose counts the target must show.
    `dialect` None: each side in its own.
    """
    source, target = catalogs
    spoken = dialect or _own(source.identity)
    place = _place(source.identity, spoken)
    found: list[Script | Unsaid | ScriptFile] = list(
        before_scripts(plan, source, tables, place, times_as_text=spoken in _TIMES_AS_TEXT)
    )
    files, unsaid = _side(plan, "source", found, spoken)
    spoken = dialect or _own(target.identity)
    found = list(after_scripts(plan, tables, _place(target.identity, spoken), tallies, target.identity))
    more, rest = _side(plan, "target", found, spoken, tables.values(), _schema(target.identity))
    return [*files, *more, _index(plan, [*files, *more], [*unsaid, *rest])]


def with_scripts(
    plan: Plan, target: Catalog, tables: Mapping[str, TargetTable], checks: Iterable[CheckResult]
) -> list[CheckResult]:
    """Return the checks, those that found something with the SQL that shows it on the target, where SQL says it."""
    spoken = _own(target.identity)
    dialect = SCRIPT_DIALECTS[spoken]
    scripts: list[Script] = []
    done: list[CheckResult] = []
    for check in checks:
        if check.passed or check.table not in tables:
            done.append(check)
            continue
        if not scripts:
            found = after_scripts(plan, tables, _place(target.identity, spoken), {}, target.identity)
            scripts = [each for each in found if isinstance(each, Script) and each.dialect in {"", spoken}]
        name = tables[check.table].table.name
        fitting = [each for each in scripts if (each.name, each.table) == (check.name, name)]
        script = next((each for each in fitting if not each.column or each.column in check.covered), None)
        try:
            sql = "" if script is None else script.text or dialect.render(script.select, script.type_of)
        except LoweringError:
            sql = ""
        done.append(replace(check, sql=sql.strip()))
    return done


def _side(
    plan: Plan,
    side: str,
    found: Iterable[Script | Unsaid | ScriptFile],
    spoken: str,
    tables: Iterable[TargetTable] = (),
    schema: str = "",
) -> tuple[list[ScriptFile], list[Unsaid]]:
    dialect = SCRIPT_DIALECTS[spoken]
    files: list[ScriptFile] = []
    unsaid: list[Unsaid] = []
    for each in found:
        if isinstance(each, Unsaid):
            unsaid.append(each)
        elif isinstance(each, Script):
            if each.text and each.dialect != spoken:
                reason = f"the plan writes it in {each.dialect}, and it is not translated"
                unsaid.append(Unsaid(side, each.name, each.table, "", reason))
                continue
            try:
                sql = each.text or dialect.render(each.select, each.type_of)
            except LoweringError as problem:
                unsaid.append(Unsaid(side, each.name, each.table, each.column, str(problem)))
                continue
            files.append(_file(plan, dialect, spoken, each, sql, len(files) + 1))
    for target in tables:
        table = target.table
        try:
            sql = stored_types(dialect.dialect.printer, table.name, schema, table.columns)
        except LoweringError as problem:
            unsaid.append(Unsaid(side, "types", table.name, "", str(problem)))
            continue
        purpose = f"columns of '{table.name}' that are missing, of another type than the plan's, or nullable"
        path = ("tables", target.mapping, "types")
        script = Script(side, "types", table.name, purpose, "no rows", "error", path, exp.Select(), {})
        files.append(_file(plan, dialect, spoken, script, sql, len(files) + 1))
    return files, unsaid


def _file(plan: Plan, dialect: ScriptDialect, spoken: str, script: Script, sql: str, number: int) -> ScriptFile:
    position = plan.position(*script.path)
    lines = {
        "check": f"{script.name} ({script.side}, table '{script.table}')",
        "purpose": script.purpose,
        "expectation": script.expectation,
        "severity": script.severity,
        "plan": _shown(position, script.path),
        "dialect": dialect.title,
    }
    head = "".join(f"-- {name}: {dialect.comment(text)}\n" for name, text in lines.items())
    words = "_".join(part for part in (script.name, script.table, script.column) if part)
    name = re.sub(r"[^A-Za-z0-9]+", "_", words).strip("_")[:_NAME_MAX]
    return ScriptFile(f"{script.side}/{number:03d}_{name}.sql", f"{head}\n{sql};\n", script.side, spoken)


def _shown(position: Position | None, path: tuple[str | int, ...]) -> str:
    """Return the place in the plan without the folders of the machine on which it was read."""
    where = ".".join(str(part) for part in path)
    return where if position is None else f"{Path(position.file).name}:{position.line}:{position.column} ({where})"


def _index(plan: Plan, files: list[ScriptFile], unsaid: list[Unsaid]) -> ScriptFile:
    lines = [
        f"Validation scripts of the plan '{plan.name}', written by transhume {__version__}.",
        "source/ runs before the migration, target/ after it. Every script only reads. A check gives wrong rows:",
        "no rows is a pass. Scripts that count or list say on top what is expected. UUIDs are never computed again:",
        "rows are found by the target's key and the copied source key.",
        "A client must read the files as UTF-8 and give each to the server whole.",
        "",
    ]
    for file in files:
        purpose = next(line for line in file.text.splitlines() if line.startswith("-- purpose: "))
        lines.append(f"{file.path}  {purpose.removeprefix('-- purpose: ')}")
    lines += ["", "Not said by these scripts, and why:" if unsaid else "Every check of the plan is said by a script."]
    for each in unsaid:
        what = f"{each.side}: {each.name}, table '{each.table}'" + (f", {each.column}" if each.column else "")
        lines.append(f"- {what}: {each.reason}")
    lines += [
        "- target: values. That each value is what the rules give is checked by 'transhume validate', row by row.",
        "- source: parse, path and number formats, keys that a lookup does not know: 'transhume validate --before'.",
    ]
    clean = ("".join(sign if sign.isprintable() else " " for sign in line) for line in lines)
    return ScriptFile("README.txt", "\n".join(clean) + "\n")


def _own(identity: str) -> str:
    return _OWN.get(identity.partition(":")[0].lower(), "duckdb")


def _schema(identity: str) -> str:
    return next((identity.rpartition(mark)[2] for mark in ("?schema=", "&namespace=") if mark in identity), "")


def _place(identity: str, spoken: str) -> Place:
    schema = "" if spoken == "sqlite" else _schema(identity)
    return lambda table: table_named(table, schema)
