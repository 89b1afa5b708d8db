"""What a run looks like: bars with rate and time left on a terminal, one line a finished step elsewhere."""

from types import TracebackType
from typing import Any, Self

from transhume.batches import Event
from transhume.cli.output import Output


class Progress:
    """A listener of events; use it as a context so that the terminal is left clean."""

    def __init__(self, output: Output) -> None:
        """Decide once whether there is a terminal to draw on."""
        self._output = output
        self._bars = self._make_bars()
        self._tasks: dict[str, Any] = {}
        self._rows: dict[str, int] = {}
        self._totals: dict[str, int] = {}

    def __enter__(self) -> Self:
        """Start drawing."""
        if self._bars is not None:
            self._bars.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, problem: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop drawing."""
        del kind, problem, trace
        if self._bars is not None:
            self._bars.stop()

    def __call__(self, event: Event) -> None:
        """Show one event."""
        handler = getattr(self, f"_on_{event.kind}", None)
        if handler is not None:
            handler(event.fields)

    def _on_run_started(self, fields: Any) -> None:
        self._output.line(f"run {fields['run']} begins")

    def _on_leftover_removed(self, fields: Any) -> None:
        self._output.line(f"removed what a killed rehearsal left: {fields['scratch']}")

    def _on_scratch_made(self, fields: Any) -> None:
        self._output.line(f"scratch place {fields['scratch']} is made beside the target")

    def _on_others_planted(self, _fields: Any) -> None:
        self._line("rows of others are planted; the run is taken back now")

    def _on_backup_warned(self, fields: Any) -> None:
        self._line(f"no backup stands behind this run as it is: {'; '.join(fields['why'])}", "yellow")

    def _on_backup_part(self, fields: Any) -> None:
        state = fields["state"].replace("_", " ")
        self._line(f"{fields['side']}, {fields['kind']}: {fields['way']}: {state}: {fields['reason']}")

    def _on_run_resumed(self, fields: Any) -> None:
        self._output.line(f"run {fields['run']} goes on where it stopped")

    def _on_lookup_frozen(self, fields: Any) -> None:
        self._line(f"lookup {fields['lookup']}: {fields['row_count']:,} entries read from its system and kept")

    def _on_segment_written(self, fields: Any) -> None:
        self._advance(f"extract {fields['table']}", fields["row_count"], None)

    def _on_extract_finished(self, fields: Any) -> None:
        rows = sum(fields["rows"].values())
        self._line(f"extracted {rows:,} rows of {len(fields['rows'])} tables in {fields['duration_s']:.1f} s")

    def _on_extract_reused(self, fields: Any) -> None:
        self._line(f"extract of {fields['instant']} is complete: {fields['segments']} segments, hashes checked")

    def _on_rejects_replayed(self, fields: Any) -> None:
        self._line(f"{fields['rows']:,} repaired rows stand in the extract of run {fields['run']}")

    def _on_freeze_planned(self, fields: Any) -> None:
        self._line("the source is frozen by these statements:")
        for statement in fields["statements"]:
            self._line(f"  {statement};")
        for note in fields["notes"]:
            self._line(f"  {note}")

    def _on_freeze_left(self, fields: Any) -> None:
        self._line(f"{fields['source']} is frozen since {fields['at']}: 'transhume unfreeze' gives it back", "yellow")

    def _on_source_unfrozen(self, fields: Any) -> None:
        self._line("the source can be written to again")
        for sentence in fields["differing"]:
            self._line(f"rights are not as before, because others changed them: {sentence}", "yellow")

    def _on_notice_failed(self, fields: Any) -> None:
        self._line(f"notice {fields['to']} of 'notify:' was not sent: {fields['why']}", "yellow")

    def _on_table_read(self, fields: Any) -> None:
        self._line(f"read {fields['table']}: {fields['rows']:,} rows")

    def _on_vanished_listed(self, fields: Any) -> None:
        if fields["rows"]:
            self._line(f"{fields['mapping']}: {fields['rows']:,} keys of earlier runs are gone from the source")

    def _on_proof_progress(self, fields: Any) -> None:
        self._advance(
            f"recompute {fields['mapping']}", fields["rows"] - self._rows.get(fields["mapping"], 0), fields["of"]
        )
        self._rows[fields["mapping"]] = fields["rows"]

    def _on_mapping_started(self, fields: Any) -> None:
        self._totals[fields["mapping"]] = fields["rows"]

    def _on_batch_compared(self, fields: Any) -> None:
        name = fields["mapping"]
        self._rows[name] = self._rows.get(name, 0) + fields["rows"]

    def _on_batch_staged(self, fields: Any) -> None:
        name = fields["mapping"]
        self._advance(f"load {name}", fields["read"], self._totals.get(name))

    def _on_table_staged(self, fields: Any) -> None:
        name = fields["mapping"]
        if name in self._rows:
            self._line(f"staged {name}: {self._rows[name]:,} rows, each read back and compared")
        else:
            self._line(f"staged {name} already")

    def _on_check_failed(self, fields: Any) -> None:
        self._line(
            f"check {fields['name']} on {fields['table']} failed: {fields['detail'] or fields['covered']}", "red"
        )

    def _on_published(self, fields: Any) -> None:
        inserted = sum(table["inserted"] for table in fields["tables"].values())
        self._line(f"published {inserted:,} rows of {len(fields['tables'])} tables in {fields['duration_s']:.1f} s")

    def _on_run_finished(self, fields: Any) -> None:
        del fields
        self._line("what readers see is what was staged")

    def _line(self, text: str, style: str = "") -> None:
        if self._bars is not None and not self._output.quiet:
            self._bars.console.print(text, style=style or None, markup=False)
        else:
            self._output.line(text, style)

    def _advance(self, name: str, rows: int, total: int | None) -> None:
        if self._bars is None:
            return
        if name not in self._tasks:
            self._tasks[name] = self._bars.add_task(name, total=total)
        self._bars.update(self._tasks[name], advance=rows)

    def _make_bars(self) -> Any:
        console = self._output.console
        if self._output.quiet or not console.is_terminal:
            return None
        from rich.progress import (
            BarColumn,
            MofNCompleteColumn,
            Progress,
            TaskProgressColumn,
            TextColumn,
            TimeRemainingColumn,
        )

        return Progress(
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            MofNCompleteColumn(),
            TaskProgressColumn(text_format="", show_speed=True),
            TimeRemainingColumn(),
            console=console,
            transient=True,
        )
