"""The files of the demo's project, as the installed package holds them."""

from importlib.resources import files
from pathlib import Path

PROJECT_FILES = ("README.md", "legacy_schema.sql", "lookups/identity.csv", "transhume.yaml")
"""Paths inside the project, also below `examples/ai-research` in the repository."""


def read_project_file(name: str) -> str:
    """Return the text of one of PROJECT_FILES."""
    return files("transhume.demo").joinpath("project", *name.split("/")).read_text(encoding="utf-8")


def write_project(folder: Path) -> None:
    """Write the project's files into a folder, made if it is missing; files of these names are overwritten."""
    for name in PROJECT_FILES:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        unfinished = path.with_name(path.name + ".unfinished")
        unfinished.write_text(read_project_file(name), encoding="utf-8", newline="\n")
        unfinished.replace(path)
