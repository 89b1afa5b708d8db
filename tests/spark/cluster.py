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
START_WAIT_S = 300


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
    return _process([*command, "--webui-port", str(_free_port()), *arguments], log)


def _process(command: list[str], log: Path) -> "subprocess.Popen[bytes]":
    environment = {**os.environ, "SPARK_LOCAL_IP": "127.0.0.1", "PYSPARK_PYTHON": sys.executable}
    with log.open("wb") as output:
        return subprocess.Popen(command, stdout=output, stderr=output, env=environment, start_new_session=True)


@contextmanager
def connect_server(folder: Path) -> Iterator[str]:
    """Give the URL of a Spark Connect server of one core, whose process is gone afterwards."""
    folder.mkdir()
    port, log = _free_port(), folder / "connect.log"
    binding = {"address": "127.0.0.1", "port": str(port)}
    settings = [f"spark.connect.grpc.binding.{name}={value}" for name, value in binding.items()]
    settings += ["spark.ui.enabled=false", f"spark.sql.warehouse.dir={folder / 'warehouse'}"]
    options = [word for setting in settings for word in ("--conf", setting)]
    server = "org.apache.spark.sql.connect.service.SparkConnectServer"
    command = [str(HOME / "bin" / "spark-submit"), "--master", "local[1]", "--class", server, *options]
    process = _process([*command, "spark-internal"], log)
    try:
        deadline = time.monotonic() + START_WAIT_S
        while "Spark Connect server started at" not in (told := log.read_text(errors="replace")):
            assert time.monotonic() < deadline, told
            assert process.poll() is None, told
            time.sleep(0.2)
        yield f"sc://127.0.0.1:{port}"
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


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
