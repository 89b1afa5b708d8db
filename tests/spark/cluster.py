"""A standalone Spark cluster on the loopback: one master and workers as processes of their own."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pyspark

HOME = Path(pyspark.__file__).parent
START_WAIT_S = 90


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@dataclass
class Cluster:
    """A running cluster: its URL, and its workers."""

    url: str
    folder: Path
    workers: list["subprocess.Popen[bytes]"] = field(default_factory=list)

    def add_worker(self) -> None:
        """Start one more worker of one core."""
        number = len(self.workers)
        arguments = ["--cores", "1", "--memory", "1g", "--work-dir", str(self.folder / f"work{number}"), self.url]
        self.workers.append(_start("worker.Worker", arguments, self.folder / f"worker{number}.log"))

    def kill_worker(self, number: int) -> None:
        """Kill a worker with its executors, as a machine that loses its power."""
        os.killpg(self.workers[number].pid, signal.SIGKILL)
        self.workers[number].wait()


def _start(kind: str, arguments: list[str], log: Path) -> "subprocess.Popen[bytes]":
    command = [str(HOME / "bin" / "spark-class"), f"org.apache.spark.deploy.{kind}", "--host", "127.0.0.1"]
    environment = {**os.environ, "SPARK_LOCAL_IP": "127.0.0.1", "PYSPARK_PYTHON": sys.executable}
    with log.open("wb") as output:
        return subprocess.Popen(
            [*command, "--webui-port", str(_free_port()), *arguments],
            stdout=output,
            stderr=output,
            env=environment,
            start_new_session=True,
        )


@contextmanager
def cluster(folder: Path, workers: int) -> Iterator[Cluster]:
    """Give a cluster whose workers have registered; its processes are gone afterwards."""
    folder.mkdir()
    port = _free_port()
    master = _start("master.Master", ["--port", str(port)], folder / "master.log")
    made = Cluster(f"spark://127.0.0.1:{port}", folder)
    try:
        for _ in range(workers):
            made.add_worker()
        deadline = time.monotonic() + START_WAIT_S
        while (folder / "master.log").read_text(errors="replace").count("Registering worker") < workers:
            assert time.monotonic() < deadline, (folder / "master.log").read_text(errors="replace")
            time.sleep(0.2)
        yield made
    finally:
        for process in [*made.workers, master]:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
