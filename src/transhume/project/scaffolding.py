"""A new project from two URLs: the drafted plan, the secrets beside it, what git leaves out, what editors read."""

import json
import os
from collections.abc import Callable
from pathlib import Path

from transhume.batches import Event
from transhume.errors import UsageError
from transhume.matching.refreshing import proposed, refreshed
from transhume.plan.document import parse_document, read_text
from transhume.plan.editor import plan_schema
from transhume.plan.load import FILE_NAME
from transhume.project.drafting import Draft, draft

_STATE = ".transhume"
_SCHEMA = f"{_STATE}/plan.schema.json"
_MEMORY = "drafted.json"
_IGNORED = (".env", ".transhume/", "out/")


def scaffold(
    folder: Path,
    source_url: str,
    target_url: str,
    *,
    name: str | None = None,
    listener: Callable[[Event], None] | None = None,
) -> Draft:
    """Make a project in a folder and return the draft that its plan was written from.

    File paths in the URLs are relative to the folder. Secrets go into `.env` alone, which only the owner reads.
    Effects: the folder with transhume.yaml, .env, .gitignore, lookups/, .transhume/; nothing is overwritten.
    Raises: UsageError if one of the files is there; SystemUnavailable.
    """
    present = [each for each in (FILE_NAME, ".env") if (folder / each).exists()]
    if present:
        message = f"'{folder / present[0]}' exists and is not overwritten; name another folder, or 'transhume draft'"
        raise UsageError(message)
    made = draft(source_url, target_url, folder, listener=listener)
    (folder / "lookups").mkdir(parents=True, exist_ok=True)
    (folder / _STATE).mkdir(exist_ok=True, mode=0o700)
    (folder / _SCHEMA).write_text(json.dumps(plan_schema(), indent=1) + "\n", encoding="utf-8")
    _write_env(folder / ".env", source_url, target_url)
    _ignore(folder / ".gitignore")
    remember(folder, made)
    title = name or folder.resolve().name
    text = made.plan(title, source="${SOURCE_URL}", target="${TARGET_URL}", schema_file=_SCHEMA)
    (folder / FILE_NAME).write_text(text, encoding="utf-8")
    return made


def refresh(folder: Path, made: Draft) -> tuple[list[str], list[str]]:
    """Add to a project's plan what a draft proposes and no draft before it did; return what was added, and what not.

    Effects: the plan is replaced as a whole; no line of it is changed or removed.
    Raises: PlanError for what is no YAML; UsageError if there is no plan.
    """
    path = folder / FILE_NAME
    document = parse_document(read_text(path, FILE_NAME), FILE_NAME)
    text, added, refused = refreshed(document, made.tables, _remembered(folder))
    if added:
        unfinished = path.with_name(path.name + ".unfinished")
        unfinished.write_text(text, encoding="utf-8")
        unfinished.replace(path)
    remember(folder, made)
    return added, refused


def remember(folder: Path, made: Draft) -> None:
    """Keep what was proposed, so that a later refresh does not bring back what a person took out."""
    (folder / _STATE).mkdir(exist_ok=True, mode=0o700)
    known = sorted({*_remembered(folder), *proposed(made.tables)})
    (folder / _STATE / _MEMORY).write_text(json.dumps(known, ensure_ascii=False, indent=0), encoding="utf-8")


def _remembered(folder: Path) -> set[tuple[str, str]]:
    try:
        return {
            (str(table), str(column)) for table, column in json.loads((folder / _STATE / _MEMORY).read_text("utf-8"))
        }
    except (OSError, ValueError, TypeError):
        return set()


def _write_env(path: Path, source_url: str, target_url: str) -> None:
    for url in (source_url, target_url):
        if "\n" in url or "'" in url:
            message = "a URL holds a line feed or a quote; write it as %0A or %27"
            raise UsageError(message)
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as file:
        file.write(f"SOURCE_URL='{source_url}'\nTARGET_URL='{target_url}'\n")


def _ignore(path: Path) -> None:
    held = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
    missing = [each for each in _IGNORED if each not in held]
    if missing:
        path.write_text("\n".join([*held, *missing]) + "\n", encoding="utf-8")
