"""How commands speak: tables and lines for people, one JSON object for programs, one line for an error."""

import json
import re
import sys
import traceback
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import click

from transhume.errors import Finding, TranshumeError

if TYPE_CHECKING:
    from rich.console import Console

    from transhume.project import Project

_UNSAFE = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069]")
EXIT_INTERRUPTED = 5
_WIDTH_OF_FILES = 240
"""Columns of a table that goes into a file or a pipe, where nothing is as narrow as a screen."""
EXIT_USAGE = 2
EXIT_BUG = 70


@dataclass(slots=True)
class Output:
    """The global options, and the ways to print that obey them."""

    folder: str
    environment: str | None
    as_json: bool
    quiet: bool
    verbose: bool
    color: bool

    def project(self, jobs: int | None = None, memory_bytes: int | None = None) -> "Project":
        """Return the project of the global options; None: what the machine has. Raises: UsageError if there is none."""
        from transhume.capacity import capacity_of_machine
        from transhume.project import Project

        return Project(self.folder, name=self.environment, capacity=capacity_of_machine(jobs, memory_bytes))

    @property
    def console(self) -> "Console":
        """A console on stdout, or on stderr where stdout is kept for JSON."""
        from rich.console import Console

        is_screen = (sys.stderr if self.as_json else sys.stdout).isatty()
        width = None if is_screen else _WIDTH_OF_FILES
        return Console(
            stderr=self.as_json, highlight=False, no_color=not self.color, soft_wrap=not is_screen, width=width
        )

    def line(self, text: str, style: str = "") -> None:
        """Print one line of progress or explanation; silent with --quiet."""
        if not self.quiet:
            self.console.print(shown(text), style=style or None, markup=False)

    def result(self, text: str, style: str = "") -> None:
        """Print one line that is the command's result."""
        self.console.print(shown(text), style=style or None, markup=False)

    def table(self, title: str, header: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
        """Print a table; numbers stand to the right."""
        from rich import box
        from rich.table import Table

        content = [list(row) for row in rows]
        table = Table(title=title or None, box=box.SIMPLE, title_justify="left", pad_edge=False)
        for place, name in enumerate(header):
            numeric = bool(content) and all(isinstance(row[place], int | float) for row in content)
            table.add_column(name, justify="right" if numeric else "left", overflow="fold")
        for row in content:
            table.add_row(*[_cell(value) for value in row])
        self.console.print(table)

    def emit(self, value: dict[str, Any]) -> None:
        """Print the one JSON object, if JSON was asked for."""
        if self.as_json:
            click.echo(json.dumps(value, ensure_ascii=False, indent=2, default=str))

    def findings(self, findings: Iterable[Finding]) -> None:
        """Print findings as place, message, the line quoted, cure."""
        for finding in findings:
            self.result(finding_text(finding), style={"error": "red", "warning": "yellow"}.get(finding.severity, ""))


def shown(text: str) -> str:
    """Return text without characters that move a terminal's cursor or turn the direction of writing."""
    return _UNSAFE.sub(lambda found: f"\\x{ord(found[0]):02x}", text)


def finding_text(finding: Finding) -> str:
    """Return a finding as it is printed: first line place and message, then the line quoted, then numbers and cure."""
    place = f"{finding.position}: " if finding.position else ""
    lines = [f"{place}{finding.severity}: {finding.message}"]
    if finding.position and finding.position.quoted_line.strip():
        lines.append(f"    {finding.position.quoted_line.rstrip()}")
    if finding.count is not None:
        keys = f", for example {', '.join(finding.sample_keys)}" if finding.sample_keys else ""
        lines.append(f"  rows: {finding.count}{keys}")
    if finding.cure:
        lines.append(f"  cure: {finding.cure}")
    return "\n".join(lines)


def finding_dict(finding: Finding) -> dict[str, Any]:
    """Return a finding as JSON values."""
    position = finding.position
    return {
        "code": finding.code,
        "severity": finding.severity,
        "message": finding.message,
        "cure": finding.cure,
        "file": position.file if position else None,
        "line": position.line if position else None,
        "column": position.column if position else None,
        "table": finding.table,
        "source_column": finding.column,
        "count": finding.count,
        "sample_keys": list(finding.sample_keys),
    }


def report_failure(problem: BaseException, arguments: Sequence[str]) -> int:
    """Print what ended the command, on stderr or as JSON, and return the exit code. No traceback without -v."""
    if isinstance(problem, SystemExit):
        return problem.code if isinstance(problem.code, int) else EXIT_BUG
    if isinstance(problem, click.exceptions.Exit):
        return problem.exit_code
    findings: tuple[Finding, ...] = getattr(problem, "findings", ())
    text, code = _explained(problem)
    if isinstance(problem, TranshumeError) and findings:
        text = "\n".join([text.split("\n", 1)[0] if not _is_listing(problem) else "", *map(finding_text, findings)])
    if "--json" in arguments:
        body = {"error": type(problem).__name__, "message": text.strip(), "exit_code": code}
        click.echo(json.dumps({**body, "findings": [finding_dict(f) for f in findings]}, ensure_ascii=False, indent=2))
    click.echo(shown(text.strip()), err=True)
    if code == EXIT_BUG and {"-v", "--verbose"} & set(arguments):
        click.echo("".join(traceback.format_exception(problem)), err=True)
    return code


def _explained(problem: BaseException) -> tuple[str, int]:
    if isinstance(problem, TranshumeError):
        return str(problem), problem.exit_code
    if isinstance(problem, click.ClickException):
        return f"{problem.format_message()}\nsee 'transhume --help'", EXIT_USAGE
    if isinstance(problem, KeyboardInterrupt | click.Abort):
        return "stopped; nothing is half visible, the same command goes on", EXIT_INTERRUPTED
    # The message of an unknown error may hold a value or a credential: its kind is said, the rest is for -v.
    return f"a bug: {type(problem).__name__}; run again with -v for the place and report it", EXIT_BUG


def _is_listing(problem: TranshumeError) -> bool:
    from transhume.errors import PlanError

    return isinstance(problem, PlanError)


def _cell(value: object) -> str:
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, float):
        return f"{value:,.1f}"
    return shown(str(value)).replace("[", "\\[")
