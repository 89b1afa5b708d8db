"""The command line: arguments and printing only. Each command is one file, loaded when it is called."""

import gc
import importlib
import os
import sys
from typing import Any

import click

from transhume.cli.output import Output, report_failure
from transhume.version import __version__

COMMANDS = {
    "demo": "Make the example migration with planted defects and go through its whole life.",
    "init": "Make a project from two URLs: drafted plan, secrets apart, schema for editors.",
    "profile": "Say what the rows of a system are like: volumes, values, formats, keys, orphans.",
    "draft": "Propose tables, columns and rules, each with score, reason and alternatives.",
    "check": "Say everything that is wrong with the plan, with place and cure.",
    "preview": "Show some rows before and after, column by column, with the rule that acted.",
    "sql": "Print the SQL as it will run, or write scripts to validate by hand.",
    "plan": "Say what a run would do: order, rows, tables, expected rejects, checks.",
    "import-decisions": "Put what people decided in the plan document's workbook into the plan.",
    "approve": "Sign the plan, both schemas and the row counts into transhume.lock.",
    "estimate": "Say how long it takes: working days with chances, calendar, machine time, risks.",
    "backup": "Copy source and target tables, and prove each copy by restoring it.",
    "rehearse": "Run a part into a scratch place with all checks, drill the rollback, measure the rates.",
    "run": "Extract, transform, stage, validate, publish; goes on by itself where it stopped.",
    "status": "Say where a run stands; --watch follows it.",
    "validate": "Check again what the target shows of a published run.",
    "report": "Write the page of a run that people sign, with results.json and junit.xml.",
    "rejects": "Rejected rows as tables for people to repair; 'run --replay-rejects' takes them back.",
    "rollback": "Take a run back: shows what goes and what stays, asks, does it, proves it.",
    "unfreeze": "Give back what 'freeze: enforce' has forbidden at the source, after a run that died.",
    "finalize": "Drop what a rollback needs: the point of no return.",
}
"""Command to its one line of help: `--help` loads no command."""


class _Commands(click.Group):
    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Let the global switches stand behind the command as well: `transhume run --json`."""
        switches = {
            name for parameter in self.params for name in parameter.opts if getattr(parameter, "is_flag", False)
        }
        known = switches - {"--version", "--help", "-h"}
        limit = args.index("--") if "--" in args else len(args)
        hoisted = [word for word in args[:limit] if word in known]
        return super().parse_args(ctx, [*hoisted, *(word for word in args[:limit] if word not in known), *args[limit:]])

    def list_commands(self, ctx: click.Context) -> list[str]:
        del ctx
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        del ctx
        if cmd_name not in COMMANDS:
            return None
        module = importlib.import_module(f"transhume.cli.{cmd_name.replace('-', '_')}")
        command: click.Command = module.command
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        del ctx
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args and args[0] not in COMMANDS:
            from transhume.words import hint

            message = f"there is no command '{args[0]}'; {hint(args[0], list(COMMANDS), 'commands are')}"
            raise click.UsageError(message, ctx)
        return super().resolve_command(ctx, args)


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.option("-p", "--project", "folder", default=".", metavar="DIR", help="Project folder, or one inside it.")
@click.option("-e", "--environment", metavar="NAME", help="One of the plan's environments.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object on stdout at the end.")
@click.option("-q", "--quiet", is_flag=True, help="Print results and errors only.")
@click.option("-v", "--verbose", is_flag=True, help="Say more; show the traceback of a bug.")
@click.option("--no-color", is_flag=True, help="No colours (the variable NO_COLOR does the same).")
@click.version_option(__version__, prog_name="transhume")
@click.pass_context
def transhume(
    ctx: click.Context, folder: str, environment: str | None, as_json: bool, quiet: bool, verbose: bool, no_color: bool
) -> None:
    """Plan a data migration in one file. Check it, run it, prove it, undo it."""
    color = not (no_color or "NO_COLOR" in os.environ)
    ctx.obj = Output(folder=folder, environment=environment, as_json=as_json, quiet=quiet, verbose=verbose, color=color)


def main(arguments: list[str] | None = None) -> Any:
    """Run the command line and end the process with the exit code that the outcome has."""
    # A run makes large trees and many rows and hardly a cycle: looking for them often took 8 % of an extract's CPU.
    gc.set_threshold(50_000, 20, 50)
    if "CS_GNU_LIBC_VERSION" in getattr(os, "confstr_names", ()):
        # Arrow's usual allocator keeps what it had: 100 MB of a run's peak. Not every build of other systems has this.
        os.environ.setdefault("ARROW_DEFAULT_MEMORY_POOL", "jemalloc")
    try:
        code = transhume.main(args=arguments, prog_name="transhume", standalone_mode=False)
    except BaseException as problem:  # noqa: BLE001 - the one place where every outcome becomes an exit code
        sys.exit(report_failure(problem, sys.argv[1:] if arguments is None else arguments))
    if arguments is None:
        # The process ends here: looking through all that it imported for cycles, once more, takes 0.09 s.
        gc.freeze()
    sys.exit(code if isinstance(code, int) else 0)
