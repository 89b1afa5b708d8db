"""The file `transhume.yaml` to a Plan, with every mistake at once. What a correct plan means is not decided here."""

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from transhume.errors import Finding, PlanError, UsageError
from transhume.plan.check import check_plan
from transhume.plan.credentials import REFERENCE, Resolver, SecretUrl, holds_literal_password, parse_dotenv
from transhume.plan.document import Document, Path_, parse_document, read_text, texts
from transhume.plan.lookups import LookupTable, read_lookup
from transhume.plan.model import FileLookup, Plan
from transhume.plan.open import FROM_ABSENCE, OPEN, OPEN_CODE, open_findings, open_paths, open_unit
from transhume.plan.origin import Origin
from transhume.plan.wording import findings_of
from transhume.plan.zones import zone_problem
from transhume.rules import parse_rule
from transhume.rules.rule import is_quoted
from transhume.words import printable

FILE_NAME = "transhume.yaml"
VERSION = "1"
_PRUNINGS_MAX = 8
_REFERENCE_KEYS = frozenset({"source", "target", "environments", "notify", "schedule", "people", "rollback"})
_PLACEHOLDERS = {"transhume": VERSION, "name": "?", "namespace": "?", "source": "?", "target": "?"}


def load(path: Path, environment: Mapping[str, str]) -> Plan:
    """Read a plan and return it; it has no error that can be seen without a database.

    `path` is the file or its folder; `environment` (then `.env` beside the plan) gives `${NAME}`, looked up only
    when a URL is resolved: a plan can be read and checked without its secrets.
    Raises: PlanError with all findings in the file's order; UsageError if there is no plan.
    """
    plan, findings = read(path, environment)
    if plan is not None and not findings:
        findings = [finding for finding in check_plan(plan) if finding.severity == "error"]
    if plan is None or findings:
        raise PlanError(findings)
    return plan


def read(path: Path, environment: Mapping[str, str]) -> tuple[Plan | None, list[Finding]]:
    """Return the plan, and what is wrong with its text; a plan that could not be read is None.

    Where parts could not be read, the findings hold also what `check_plan` says about the other parts.
    Raises: PlanError for what is no YAML; UsageError if there is no plan.
    """
    file = path / FILE_NAME if path.is_dir() else path
    shown = _shown(file)
    try:
        text = read_text(file, shown)
    except UsageError as problem:
        message = f"{problem}; name the project's folder with -p, or make one with 'transhume init'"
        raise UsageError(message) from None
    document = parse_document(text, shown)
    content = document.content
    if not isinstance(content, Mapping):
        what = "the plan is empty" if not content else "the plan is not a mapping of 'key: value' lines"
        finding = _finding("yaml", what, "begin with 'transhume: 1'; see 'transhume init'", document, ())
        raise PlanError([*document.findings, finding])
    resolver = Resolver(file.parent, environment, _dotenv(file.parent))
    findings = [*document.findings, *_version(document), *_names_inside(document), *_references(document)]
    findings += open_findings(document)
    plan, structural, unread = _validate(document)
    findings += structural
    if plan is not None:
        lookups, problems = _lookups(plan, file.parent, document)
        findings += problems
        plan._origin = Origin(file.parent, document, lookups, resolver)  # noqa: SLF001 - set once, here
        if findings:
            findings += _other_findings(plan, findings, unread)
    return (None if findings else plan), in_file_order(findings)


def load_for_review(path: Path, environment: Mapping[str, str]) -> tuple[Plan, list[Finding]]:
    """Return a plan in which decisions may still be open, and a finding for each of these; papers are made of it.

    What is open stands in the plan as the text TBD; what takes no such text is left out. No run of such a plan: that
    is `load`. Without an open decision the plan is what `load` returns, and there is no finding.
    Raises: PlanError with every other error that can be seen without a database; UsageError if there is no plan.
    """
    plan, findings = read(path, environment)
    if plan is None and any(each.code != OPEN_CODE for each in findings):
        raise PlanError(findings)
    if plan is not None:
        return load(path, environment), []
    file = path / FILE_NAME if path.is_dir() else path
    document = parse_document(read_text(file, _shown(file)), _shown(file))
    draft, structural, _ = _validate(document, keeps_open=True)
    if draft is None or structural:
        raise PlanError(in_file_order([*findings, *structural]))
    lookups, _ = _lookups(draft, file.parent, document)
    resolver = Resolver(file.parent, environment, _dotenv(file.parent))
    draft._origin = Origin(file.parent, document, lookups, resolver)  # noqa: SLF001 - set once, here
    return draft, findings


def check_files(folder: Path, environment: Mapping[str, str]) -> tuple[Finding, ...]:
    """Return everything that is wrong with a project's files, in file order; no database is looked at.

    Raises: UsageError if there is no plan.
    """
    try:
        plan, findings = read(folder, environment)
    except PlanError as problem:
        return problem.findings
    if plan is not None and not findings:
        findings = check_plan(plan)
    return tuple(in_file_order(findings))


def plan_urls(path: Path, environment: Mapping[str, str]) -> tuple[SecretUrl, SecretUrl]:
    """Return the URLs of source and target that a plan names; whatever else stands in it may be wrong, or open.

    Raises: UsageError if there is no plan, or no URL, or a variable in one is not set; PlanError for what is no YAML.
    """
    shown = _shown(path)
    document = parse_document(read_text(path, shown), shown)
    resolver = Resolver(path.parent, environment, _dotenv(path.parent))
    found = []
    for key in ("source", "target"):
        url = document.content.get(key) if isinstance(document.content, Mapping) else None
        if not isinstance(url, str):
            message = (
                f"the plan '{shown}' names no {key}; write '{key}: ${{{key.upper()}_URL}}' and the URL into '.env'"
            )
            raise UsageError(message)
        found.append(resolver.resolve(url, document.position((key,), of_key=False)))
    return found[0], found[1]


def find_project(folder: str | Path) -> Path:
    """Return the folder, or the nearest one above it, that holds a plan.

    Raises: UsageError if there is none.
    """
    start = Path(folder).resolve()
    for candidate in (start, *start.parents):
        if (candidate / FILE_NAME).is_file():
            return candidate
    message = f"no {FILE_NAME} in '{start}' or above it; make a project with 'transhume demo DIR' and look around"
    raise UsageError(message)


def in_file_order(findings: Iterable[Finding]) -> list[Finding]:
    """Return findings sorted by file and place, each once."""
    return sorted(dict.fromkeys(findings), key=_order)


def _order(finding: Finding) -> tuple[str, int, int]:
    place = finding.position
    return (place.file, place.line, place.column) if place else ("", 0, 0)


def _shown(file: Path) -> str:
    try:
        return str(file.absolute().relative_to(Path.cwd()))
    except (ValueError, OSError):
        return str(file)


def _dotenv(directory: Path) -> dict[str, str]:
    try:
        return parse_dotenv(read_text(directory / ".env", ".env"))
    except (UsageError, PlanError):
        return {}


def _finding(code: str, message: str, cure: str, document: Document, path: Path_, *, of_key: bool = True) -> Finding:
    return Finding(code, "error", printable(message), printable(cure), document.position(path, of_key=of_key))


def _version(document: Document) -> Iterator[Finding]:
    found = document.content.get("transhume")
    if found is not None and found != VERSION:
        message = f"this plan is written in version '{found}' of the language; this transhume reads version {VERSION}"
        cure = f"write 'transhume: {VERSION}', or use the transhume that the plan was written for"
        yield _finding("version", message, cure, document, ("transhume",), of_key=False)


def _names_inside(document: Document) -> Iterator[Finding]:
    tables = document.content.get("tables")
    for name, mapping in tables.items() if isinstance(tables, Mapping) else ():
        if isinstance(mapping, Mapping) and "name" in mapping:
            message = f"the mapping '{name}' takes no 'name': its key is its name"
            cure = "write 'into: TABLE' if the target table is called otherwise"
            yield _finding("unknown_key", message, cure, document, ("tables", str(name), "name"))


def _references(document: Document) -> Iterator[Finding]:
    """Yield literal passwords, and `${...}` where nothing is replaced."""
    for path, text in texts(document.content):
        is_url = path[0] in _REFERENCE_KEYS or (path[0] == "lookups" and path[-1] == "system")
        if is_url and holds_literal_password(text):
            message = f"'{path[-1]}' holds a password; plans are shared and committed"
            cure = "write ${NAME} in its place and put NAME=... into the file '.env', which git ignores; "
            cure += "then change the password"
            yield _finding("password", message, cure, document, path, of_key=False)
        elif is_url or is_quoted(text) or _is_mask_key(document, path):
            continue
        elif found := REFERENCE.search(text):
            message = f"'{found[0]}' is not replaced here: variables stand only in source, target, 'system:' "
            message += "and the key of the rule 'mask'"
            cure = "write the text itself, or put it in quotes if it is meant as it stands"
            yield _finding("variable", message, cure, document, path, of_key=False)


def _is_mask_key(document: Document, path: Path_) -> bool:
    node: Any = document.content
    for part in path[:-1]:
        node = node[part]
    return path[-1] == "key" and path[0] == "tables" and isinstance(node, Mapping) and "mask" in node


def _validate(document: Document, *, keeps_open: bool = False) -> tuple[Plan | None, list[Finding], set[Path_]]:
    """Return the plan without the parts that could not be read, what was wrong with these, and where they stood.

    `keeps_open`: TBD stays in it as a text where a text can stand, and only other open parts are left out.
    """
    content: Any = document.content
    defaults = content.get("defaults")
    zone = defaults.get("time_zone") if isinstance(defaults, Mapping) else None
    zone = str(zone) if isinstance(zone, str) else None
    # A wrong default is said once, by the check, and not again for every column that uses it.
    context: dict[str, Any] = {"parse_rule": parse_rule, "time_zone": zone}
    if keeps_open:
        context["open_zone"] = OPEN
    elif zone and (zone == OPEN or zone_problem(zone)):
        context["time_zone"] = "UTC"
    findings: list[Finding] = []
    if ("transhume",) not in document.key_places:
        message = "the plan does not say which version of the language it is written in"
        findings.append(_finding("missing_key", message, f"begin with 'transhume: {VERSION}'", document, ()))
    content = {key: value for key, value in content.items() if key != "transhume"} | {"transhume": VERSION}
    undecided = {open_unit(path) for path in open_paths(document)}
    unread: set[Path_] = set() if keeps_open else set(undecided)
    content = _pruned(content, unread) if unread else content
    left_open = {_unit(path) for path in open_paths(document)}
    around = {unit[:length] for unit in undecided for length in range(1, len(unit))}
    for _ in range(_PRUNINGS_MAX):
        try:
            return Plan.model_validate(content, context=context, by_alias=True, by_name=False), findings, unread
        except ValidationError as error:
            found = list(findings_of(error, document))
            # What is empty now that the open parts are left out is no mistake of its own, nor what TBD is no value of.
            findings += [
                finding
                for path, finding in found
                if finding is not None and path not in around and _unit(path) not in left_open
            ]
            unread |= {_unit(path) for path, _ in found}
            content = _pruned(content, unread)
    return None, findings, unread


def _unit(path: Path_) -> Path_:
    """Return the smallest part that means something alone: one rule, type, join, check, lookup or setting."""
    if path[:1] == ("tables",):
        return path[:4] if path[2:3] in {("columns",), ("types",), ("join",), ("checks",)} else path[:3]
    return path[:2]


def _pruned(content: Any, unread: set[Path_]) -> Any:
    """Return the content without these parts; what the plan cannot do without is replaced by a placeholder."""

    def copy(node: Any, path: Path_) -> Any:
        if isinstance(node, Mapping):
            kept = {key: (*path, str(key)) for key in node}
            return {key: copy(node[key], below) for key, below in kept.items() if below not in unread}
        if isinstance(node, list):
            below = [((*path, place), value) for place, value in enumerate(node)]
            # Only checks, timed queries and risks are left out of a list; a dummy keeps the others in their places.
            return [_unread_check(path) if path in unread else copy(value, path) for path, value in below]
        return node

    return _PLACEHOLDERS | copy(content, ())


def _unread_check(path: Path_) -> dict[str, str]:
    name = f"unread_{path[-1]}"
    if path[:1] == ("risks",):
        return {"risk": name}
    if path[:1] == ("performance",):
        return {"name": name, "query": "SELECT 1", "limit_ms": "1"}
    return {"name": name, "sql": "true"}


def _lookups(plan: Plan, directory: Path, document: Document) -> tuple[dict[str, LookupTable], list[Finding]]:
    tables: dict[str, LookupTable] = {}
    findings: list[Finding] = []
    for name, lookup in plan.lookups.items():
        if not isinstance(lookup, FileLookup) or lookup.file is None:
            continue
        position = document.position(("lookups", name, "file"), of_key=False)
        try:
            tables[name] = read_lookup(directory, lookup.file, lookup.key, lookup.value, position)
        except PlanError as problem:
            findings += problem.findings
    return tables, findings


def _other_findings(plan: Plan, findings: list[Finding], unread: set[Path_]) -> list[Finding]:
    """Return what the check says about the parts that could be read, without what may follow from the others."""
    names = {part for path in unread for part in path[-1:] if isinstance(part, str)}
    places = {finding.position for finding in findings}
    return [
        finding
        for finding in check_plan(plan)
        if finding.severity == "error"
        and finding.position not in places
        and not (unread and finding.code in FROM_ABSENCE)
        and not any(f"'{name}'" in finding.message for name in names)
    ]
