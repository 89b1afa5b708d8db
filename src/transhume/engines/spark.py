"""Spark: SELECTs over the files of one work folder that every worker sees, results as Arrow or Parquet."""

import os
import pickle
import re
import shutil
import signal
import sys
import threading
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import unquote
from uuid import uuid4

import pyarrow as pa
import pyarrow.parquet as pq

from transhume import object_store
from transhume.engines import spark_functions, spark_tasks, task_work
from transhume.engines.engine import ItemWork, RangeWork, TaskDone
from transhume.engines.exchange import Exchange, ObjectStore, SharedFolder
from transhume.engines.sail import SAIL, SailServer
from transhume.errors import EngineCrashed, EngineFailed, Interrupted, TranshumeError, UsageError
from transhume.object_store import S3
from transhume.version import __version__

if TYPE_CHECKING:
    from pyspark import SparkContext
    from pyspark.errors import PySparkException
    from pyspark.sql import DataFrame, SparkSession

_Answer = TypeVar("_Answer")
REMOTE = "sc://"
_HERE = "local"
_QUIET = {"spark.ui.enabled": "false", "spark.ui.showConsoleProgress": "false", "spark.log.level": "ERROR"}
_FILES = re.compile(r"'(?:[^'\\]|\\.)*'|`parquet`\.`((?:[^`]|``)*)`|`(?:[^`]|``)*`", re.DOTALL)
"""A text literal, a file that a statement reads, or a name: what looks like a file in a literal or a name is none."""
_GLOB = re.compile(r"([\\*?\[\]{}])")
_ESCAPED = re.compile(r"\\(.)")
_PARTS = ".spark"
_NOTHING = "nothing"
"""The folder of a task that left no file: it is not there."""
_ASKED_TASKS = 16
"""Tasks that are asked which version they have: of most clusters every worker gets one."""
_SEGMENTS_TOGETHER = 64
"""Spread over all tasks: what is done is told of after each statement, and one costs a second or two."""
_RETRIES = 4
"""Of calls to a server on the loopback: some three seconds."""
_FROM_JAVA = "Py4JJavaError"
_JAVA_CLASS = re.compile(r"^: ([\w.$]+)", re.MULTILINE)
_WORKERS_LOST = ("ExecutorLostFailure", "Executor heartbeat timed out")
_LOST = ("Py4JNetworkError", "ConnectionRefusedError", "ConnectionResetError")
_LOST_STATES = {"UNAVAILABLE", "DEADLINE_EXCEEDED"}
_LOST_SESSION = "INVALID_HANDLE"
"""What a server says that was started again, and knows no session of before."""
_OTHER_CLIENT = "unsupported PySpark version"
_GARBLED = "Exception deserializing response"
"""What the client says of an answer that it cannot read: met once in some ten thousand calls of Sail."""
_CANCELLED = re.compile(r"\[(?:OPERATION_CANCELED|SPARK_JOB_CANCELLED)\]|\bJob \d+ cancelled\b")
_CANCELLED_KINDS = ("OPERATION_CANCELED", "JOB_CANCELLED")
_CANCELLED_ON_SAIL = "operation not found"


def dialect_of(master: str) -> str:
    """Return the name of the dialect that an engine of this address takes."""
    return SAIL if master == SAIL else "spark"


class SparkEngine:
    """Runs SELECTs in a Spark session: of a cluster, a Spark Connect server, Sail, or this machine.

    The work folder must be one that every worker reads and writes, or an object store stands between. Each task writes
    its rows to files of its own; only files of finished tasks are taken, and made into what was asked for. One
    statement at a time; calls from several threads wait for one another, `cancel` does not. Results are written under a
    temporary name and renamed when complete.
    """

    def __init__(
        self,
        work: Path,
        master: str,
        settings: Mapping[str, str],
        variables: Mapping[str, bytes] | None = None,
        store: tuple[str, str] | None = None,
    ) -> None:
        """Prepare the engine; its session begins with the first statement.

        `master` is `local[N]`, `spark://host:port`, `sc://host:port` or `sail`. `settings` are what the dialect counts
        on; they are read back. `variables` are known to every statement as variables of the session. `store`: files go
        to the workers and back by S3, below this `s3://bucket/prefix` and name; None: by the work folder itself.
        """
        self._work, self._master = work.resolve(), master
        self.shares_folder = store is None
        self._exchange: Exchange = SharedFolder(self._work) if store is None else ObjectStore(self._work, *store)
        self._settings, self._variables = settings, dict(variables or {})
        self._one_call = threading.Lock()
        self._session: SparkSession | None = None
        self._is_guest = self._has_begun = False
        self._sail = SailServer(self._work, knows_s3=store is not None) if master == SAIL else None
        self._reaches_tasks: bool | None = None
        self.dialect = dialect_of(master)
        self.segments_together = _SEGMENTS_TOGETHER

    def start(self) -> None:
        """Begin the session. Raises: UsageError where pyspark is missing, EngineCrashed where there is no Spark."""
        with self._one_call:
            self._started()

    def to_arrow(self, select: str, output: Path) -> int:
        """Run a SELECT and write its rows as an Arrow IPC file; return the row count.

        UUIDs leave as the 16 bytes that they are here, other types as `batches.arrow_type` says.
        Raises: EngineCrashed if Spark is gone, Interrupted if it was cancelled, EngineFailed if Spark refuses the
        statement or a value; `output` is not touched then.
        """
        target = self._inside(output)
        with self._in_order(select) as (schema, batches), _renamed(target) as part:
            return _write_arrow(schema, batches, part)

    def to_arrow_files(self, select: str, by: str, outputs: Sequence[tuple[Path, int, int]]) -> Generator[int]:
        """Run one SELECT and write its rows into several Arrow IPC files, split by ranges of an integer column.

        `outputs` are path, first value of column `by`, and row count. Yields the position of a file when it is
        complete. Raises: as `to_arrow`; EngineFailed if rows are missing, or belong into no file.
        """
        order = sorted(range(len(outputs)), key=lambda place: outputs[place][1])
        with self._rows(select, by, [outputs[place][1] for place in order]) as rows:
            files = {place: list(found) for place, found in groupby(sorted(rows.files, key=_place), key=_place)}
            if strange := set(files) - set(range(len(outputs))):
                message = f"the engine gave rows that belong into no file ({sorted(strange)}); its batch is not done"
                raise EngineFailed(message)
            for rank, position in enumerate(order):
                path, _, count = outputs[position]
                found = files.get(rank, [])
                if sum(file["rows"] for file in found) != count:
                    message = f"the engine gave {sum(f['rows'] for f in found)} rows for '{path}' instead of {count}"
                    raise EngineFailed(message)
                with _renamed(self._inside(path)) as part:
                    _write_arrow(rows.schema, rows.batches(found), part)
                yield position

    def to_parquet(self, select: str, output: Path) -> int:
        """Run a SELECT and write its rows as one Parquet file, in order; return the row count.

        Raises: as `to_arrow`.
        """
        target = self._inside(output)
        with self._in_order(select) as (schema, batches), _renamed(target) as part:
            return _write_parquet(schema, batches, part)

    def query(self, select: str) -> pa.Table:
        """Run a SELECT whose result is small and return it. Raises: as `to_arrow`."""
        with self._one_call:
            found = self._asked(lambda: self._frame(select).toArrow())
        return found.cast(spark_tasks.plain_schema(found.schema))

    def reaches_tasks(self) -> bool:
        """Say whether the tasks have this very version of the program; see `engine.WorksInTasks`.

        Never of Sail: its tasks are threads of one process beside that of the run, which shares the work with it
        better.
        """
        if self._sail is not None:
            return False
        if self._reaches_tasks is None:
            with self._one_call:
                frame = self._started().range(0, _ASKED_TASKS, 1, _ASKED_TASKS)
                found = self._asked(lambda: frame.mapInArrow(spark_tasks.versions, spark_tasks.VERSION).toArrow())
            self._reaches_tasks = set(found["version"].to_pylist()) == {__version__}
        return self._reaches_tasks

    def each_range(
        self, select: str, by: str, ranges: Sequence[tuple[int, int]], work: RangeWork
    ) -> Generator[TaskDone]:
        """Run one SELECT and give the rows of each range to a task; see `engine.WorksInTasks`."""

        def result(folder: str) -> "DataFrame":
            from pyspark.sql import functions

            # Pairs of condition and number, the last range first.
            pairs = [(functions.col(by) >= first, number) for number, (first, _) in reversed([*enumerate(ranges)])]
            place = functions.when(*pairs[0])
            for pair in pairs[1:]:
                place = place.when(*pair)
            task = spark_tasks.works_on_range(pickle.dumps(work), self._exchange.root, folder, by)
            frame = self._frame(select).withColumn(spark_tasks.PLACE, place)
            return frame.groupBy(spark_tasks.PLACE).applyInArrow(task, spark_tasks.DONE)

        yield from self._done(result, len(ranges))

    def each(self, count: int, work: ItemWork) -> Generator[TaskDone]:
        """Do a work for every place from 0 to `count` - 1, each in a task; see `engine.WorksInTasks`."""
        if not count:
            return

        def result(folder: str) -> "DataFrame":
            task = spark_tasks.works_on_place(pickle.dumps(work), self._exchange.root, folder)
            return self._started().range(0, count, 1, count).mapInArrow(task, spark_tasks.DONE)

        yield from self._done(result, count)

    def cancel(self) -> None:
        """Stop the statement under way, which then raises Interrupted; the engine stays usable."""
        session = self._session
        if session is None or (self._sail is not None and self._sail.is_gone()):
            return
        # Where there is nobody to be asked, the statement ends by that, and says so.
        with suppress(Exception):
            session.interruptAll()

    def close(self) -> None:
        """End the session; another call would begin a new one. Spark itself stays where it ran before."""
        session, self._session = self._session, None
        try:
            if session is not None and not self._is_guest:
                session.stop()
            self._exchange.close()
        finally:
            if self._sail is not None:
                self._sail.close()

    @property
    def _is_remote(self) -> bool:
        return self._sail is not None or self._master.startswith(REMOTE)

    @contextmanager
    def _in_order(self, select: str) -> Iterator[tuple[pa.Schema, Iterator[pa.RecordBatch]]]:
        """Give the rows in the statement's order; Sail sorts nothing for a task, so there they come as a whole."""
        if self._sail is not None:
            found = self.query(select)
            yield found.schema, iter(found.to_batches())
            return
        with self._rows(select) as rows:
            yield rows.schema, rows.batches(rows.files)

    @contextmanager
    def _rows(self, select: str, by: str = "", starts: Sequence[int] = ()) -> Iterator["_Rows"]:
        """Give what the tasks wrote; their files are gone afterwards."""
        with self._parts() as folder:
            with self._one_call:
                frame = self._asked(lambda: self._frame(select))
                schema = self._asked(lambda: _arrow_schema(frame))
                task = spark_tasks.writes(self._exchange.root, folder, by, starts)
                found = self._asked(lambda: frame.mapInArrow(task, spark_tasks.WRITTEN).toArrow())
            files = sorted(found.to_pylist(), key=lambda file: (file["part"], file["place"]))
            self._exchange.take(folder)
            yield _Rows(self._work, spark_tasks.plain_schema(schema), files)

    def _done(self, result: "Callable[[str], DataFrame]", count: int) -> Generator[TaskDone]:
        """Yield what each task of a statement gave. Raises: as `engine.WorksInTasks.each_range`."""
        with self._parts() as folder:
            with self._one_call:
                found = self._asked(lambda: result(folder).toArrow()).to_pylist()
            if sorted(each["place"] for each in found) != list(range(count)):
                message = f"the engine's tasks told of other work ({len(found)}) than the {count} that they were given"
                raise EngineFailed(message)
            # What was done is not thrown away for what was not.
            for each in sorted(found, key=lambda each: task_work.has_failed(each["answer"])):
                answer = task_work.taken(each["answer"])
                own = f"{folder}/{each['folder']}"
                if not each["folder"]:
                    yield TaskDone(each["place"], answer, self._work / folder / _NOTHING)
                    continue
                yield TaskDone(each["place"], answer, self._exchange.take(own))
                self._exchange.drop(own)

    @contextmanager
    def _parts(self) -> Iterator[str]:
        """Give a folder, relative to the work folder, for what tasks write; it is gone afterwards."""
        folder = f"{_PARTS}/{uuid4().hex}"
        try:
            yield folder
        finally:
            self._exchange.drop(folder)

    def _frame(self, select: str) -> "DataFrame":
        return self._started().sql(_FILES.sub(self._absolute, select))

    def _absolute(self, found: re.Match[str]) -> str:
        """Files of a statement are relative to the work folder, which the workers do not stand in."""
        if found[1] is None:
            return found[0]
        path = unquote(found[1]) if self._sail is not None else _ESCAPED.sub(r"\1", found[1].replace("``", "`"))
        try:
            self._exchange.give(path)
        except FileNotFoundError:
            # Sail takes a name without a file for a table without columns
            message = f"the engine was asked to read '{path}', which is not there"
            raise EngineFailed(message) from None
        root = self._exchange.root
        if root.startswith(S3):
            folder = root if self._sail is not None else f"s3a://{root.removeprefix(S3)}"
        elif self._sail is None:
            folder = _GLOB.sub(r"\\\1", root).replace("`", "``")
        else:
            folder = Path(root).as_uri()
        return f"`parquet`.`{folder}/{found[1]}`"

    def _inside(self, output: Path) -> Path:
        target = self._work / output
        if not target.parent.resolve().is_relative_to(self._work):
            message = f"the engine writes inside '{self._work}' only, not to '{output}'"
            raise ValueError(message)
        target.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        return target

    def _started(self) -> "SparkSession":
        if self._session is None:
            self._session = self._begin()
        return self._session

    def _require_pyspark(self) -> None:
        """Raises: UsageError where there is none, or only its client where Spark itself is needed."""
        try:
            from pyspark.util import is_remote_only
        except ImportError:
            missing = True
        else:
            missing = is_remote_only() and not self._is_remote
        if missing:
            extra = "spark" if self._sail is None else SAIL
            message = f"the engine '{self._master}' needs pyspark: pip install 'transhume[{extra}]'"
            raise UsageError(message)

    def _begin(self) -> "SparkSession":
        self._require_pyspark()
        from pyspark import cloudpickle
        from pyspark.errors import AnalysisException
        from pyspark.sql import SparkSession

        for module in (spark_functions, spark_tasks, object_store):
            cloudpickle.register_pickle_by_value(module)  # type: ignore[no-untyped-call,unused-ignore]
        if not self._has_begun:
            # What a process that was killed left there, and tasks that ended after it.
            shutil.rmtree(self._work / _PARTS, ignore_errors=True)
            self._has_begun = True
        if (host := None if self._is_remote else self._host()) is not None:
            session = self._asked(lambda: SparkSession(host).newSession())
            for name, value in self._settings.items():
                # One that is fixed when Spark starts stays as it is, which is looked at next.
                with suppress(AnalysisException):
                    session.conf.set(name, value)
        else:
            session = self._own()
        if self._sail is not None:
            # A server on the loopback that does not answer at once is gone; a network may need the usual ten minutes.
            _try_so_often(session, _RETRIES)
        try:
            self._prepare(session)
        except BaseException:
            if not self._is_guest:
                session.stop()
            raise
        return session

    def _host(self) -> "SparkContext | None":
        """Return the Spark that this process runs already, a notebook's for one; there is never a second beside it.

        Raises: UsageError where it is another than the plan asks for.
        """
        from pyspark import SparkContext

        host = SparkContext._active_spark_context  # noqa: SLF001 - the public ways to ask for it begin one
        self._is_guest = host is not None
        if host is not None and host.master != self._master:
            message = (
                f"this process runs Spark at '{host.master}' already, and the plan says '{self._master}': a process "
                f"has one. End it (`spark.stop()`), or say `engine: {host.master}`"
            )
            raise UsageError(message)
        return host

    def _own(self) -> "SparkSession":
        from pyspark.sql import SparkSession

        builder = SparkSession.builder.appName("transhume")
        if self._is_remote:
            builder = builder.remote(self._master if self._sail is None else self._sail.start())
        else:
            builder = builder.master(self._master)
            for name, value in _QUIET.items():
                builder = builder.config(name, value)
            if self._master.startswith(_HERE):
                os.environ.setdefault("PYSPARK_PYTHON", sys.executable)
        for name, value in self._settings.items():
            builder = builder.config(name, value)
        # A session that this process has already may be one of a server that is gone.
        with _own_ctrl_c():
            return self._asked(builder.create if self._is_remote else builder.getOrCreate)

    def _prepare(self, session: "SparkSession") -> None:
        """Hold the session to the settings that the dialect counts on, and tell it functions and variables."""
        for name, value in self._settings.items():
            if (found := session.conf.get(name, None)) != value:
                message = f"the engine '{self._master}' has {name} = {found}, and does not take {value}"
                raise EngineFailed(message)
        functions = dict(spark_functions.FUNCTIONS)
        if self._sail is not None:
            functions |= spark_functions.SAIL_FUNCTIONS
            functions[spark_functions.VARIABLE] = (spark_functions.variables(self._variables), "binary")
        for name, (function, gives) in functions.items():
            session.udf.register(name, function, gives)
        if self._sail is not None:
            return
        for name, content in self._variables.items():
            quoted = name.replace("`", "``")
            session.sql(f"DECLARE OR REPLACE VARIABLE `{quoted}` BINARY")
            session.sql(f"SET VAR `{quoted}` = :content", args={"content": content})

    def _asked(self, call: Callable[[], _Answer], *, again: bool = False) -> _Answer:
        """Return what a call of Spark's gives. Raises: as `to_arrow`; messages hold no value.

        A call only reads, or has tasks write under names of their own: one whose answer came garbled is made `again`.
        """
        from pyspark.errors import AnalysisException, ParseException, PySparkException

        try:
            return call()
        except PySparkException as error:
            if self._is_lost(error):
                raise EngineCrashed(self._obituary(error)) from error
            if _GARBLED in str(error) and not again:
                return self._asked(call, again=True)
            kind = error.getCondition() or type(error).__name__
            if isinstance(error, AnalysisException | ParseException) and self._sail is None:
                # Of the statement alone. Sail calls a value that it cannot take so, too, and shows it.
                message = f"the engine refused a statement ({kind}): {error}"
                raise EngineFailed(message) from error
            raise self._failure(kind, str(error)) from error
        except (OSError, EOFError) as error:
            raise EngineCrashed(self._obituary(error)) from error
        except Exception as error:
            if type(error).__name__ == _FROM_JAVA:
                kind = _JAVA_CLASS.search(str(error))
                raise self._failure(kind[1] if kind else _FROM_JAVA, str(error)) from error
            if type(error).__name__ in _LOST:
                raise EngineCrashed(self._obituary(error)) from error
            raise

    def _is_lost(self, error: "PySparkException") -> bool:
        """Say whether this error means that the server, or the session there, is gone."""
        if self._sail is not None and self._sail.is_gone():
            return True
        state = getattr(error, "getGrpcStatusCode", lambda: None)()
        is_away = state is not None and state.name in _LOST_STATES
        return self._is_remote and (is_away or (error.getCondition() or "").startswith(_LOST_SESSION))

    def _failure(self, kind: str, told: str) -> TranshumeError:
        is_cancelled = any(sign in kind for sign in _CANCELLED_KINDS) or _CANCELLED.search(told)
        if is_cancelled or (self._sail is not None and _CANCELLED_ON_SAIL in told):
            return Interrupted(
                "the engine's statement was cancelled; its result was not written. Run the same command again"
            )
        if any(sign in told for sign in _WORKERS_LOST):
            return EngineCrashed(
                f"the engine '{self._master}' lost its workers; its batch is not done. Run the same command again"
            )
        if _OTHER_CLIENT in told:
            return UsageError(
                f"the engine '{self._master}' does not speak with this pyspark; it needs an environment of its own, "
                "without 'transhume[spark]': pip install 'transhume[sail]'"
            )
        return EngineFailed(f"the engine refused a value or a statement ({kind})")

    def _obituary(self, error: Exception) -> str:
        session, self._session = self._session, None
        if session is not None and not self._is_guest:
            # Else it would stay the one that the client asks for the types of functions; nobody is there to wait for.
            with suppress(Exception):
                if self._is_remote:
                    _try_so_often(session, 0)
                session.stop()
        manner = type(error).__name__
        return f"the engine '{self._master}' is gone ({manner}); its batch is not done. Run the same command again"


@dataclass(frozen=True, slots=True)
class _Rows:
    """What the tasks of one statement wrote."""

    work: Path
    schema: pa.Schema
    files: Sequence[Mapping[str, Any]]

    def batches(self, files: Sequence[Mapping[str, Any]]) -> Iterator[pa.RecordBatch]:
        for file in files:
            with pa.memory_map(str(self.work / file["path"])) as mapped, pa.ipc.open_file(mapped) as reader:
                for number in range(reader.num_record_batches):
                    yield reader.get_batch(number)


def _arrow_schema(frame: "DataFrame") -> pa.Schema:
    from pyspark.sql.pandas.types import to_arrow_schema

    return to_arrow_schema(frame.schema, timezone="UTC")


def _place(file: Mapping[str, Any]) -> int:
    return int(file["place"])


def _try_so_often(session: "SparkSession", retries: int) -> None:
    from pyspark.sql.connect.client.retries import DefaultPolicy

    session.client.set_retry_policies([DefaultPolicy(max_retries=retries)])


@contextmanager
def _own_ctrl_c() -> Iterator[None]:
    """Keep what Ctrl-C means in this process: a SparkContext that begins puts its own meaning in its place."""
    before = signal.getsignal(signal.SIGINT)
    try:
        yield
    finally:
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGINT, before)


@contextmanager
def _renamed(target: Path) -> Iterator[Path]:
    """Give a name to write under; the file gets its own when it is complete."""
    part = target.with_name(f".{target.name}.part")
    try:
        part.touch(mode=0o600)
        yield part
        part.rename(target)
    finally:
        part.unlink(missing_ok=True)


def _write_arrow(schema: pa.Schema, batches: Iterator[pa.RecordBatch], path: Path) -> int:
    rows = 0
    with pa.OSFile(str(path), "wb") as sink, pa.ipc.new_file(sink, schema) as writer:
        for batch in batches:
            writer.write_batch(batch)
            rows += batch.num_rows
    return rows


def _write_parquet(schema: pa.Schema, batches: Iterator[pa.RecordBatch], path: Path) -> int:
    rows = 0
    with path.open("wb") as sink:
        with pq.ParquetWriter(sink, schema) as writer:
            for batch in batches:
                writer.write_batch(batch)
                rows += batch.num_rows
        os.fsync(sink.fileno())
    return rows
