"""A fresh node of the release build: started, asked, stopped."""

import http.client
import json
import os
import pathlib
import shutil
import signal
import socket
import subprocess
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent
READY_SECONDS_MAX = 60


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


class Node:
    """`cenote serve` in default configuration on an empty directory, pinned to `cores` if given; `settings` as `key=value`."""

    binary = ROOT / "target" / "release" / "cenote"

    def __init__(
        self, cores: list[int] | None = None, directory: pathlib.Path | None = None, settings: tuple[str, ...] = ()
    ):
        self.directory = directory or pathlib.Path(tempfile.mkdtemp(prefix="cenote-bench-"))
        self.http, self.postgres = free_port(), free_port()
        command = [str(self.binary), "serve", "--data-dir", str(self.directory)]
        command += ["--listen", f"127.0.0.1:{self.http}", "--postgres-listen", f"127.0.0.1:{self.postgres}"]
        for setting in settings:
            command += ["--set", setting]
        if cores:
            command = ["taskset", "--cpu-list", ",".join(map(str, cores)), *command]
        self.command, self.log = command, open(f"{self.directory}.log", "ab")
        self.start()
        self.token = (self.directory / "admin.token").read_text().strip()

    def start(self) -> None:
        began = time.perf_counter()
        self.process = subprocess.Popen(self.command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=self.log)
        self.ready_seconds = self._wait_until_ready(began)

    def restart(self) -> None:
        """Ends the process in order and starts another on the same directory."""
        self.stop()
        self.start()

    def _wait_until_ready(self, began: float) -> float:
        while time.perf_counter() - began < READY_SECONDS_MAX:
            if self.process.poll() is not None:
                raise RuntimeError(f"cenote ended with {self.process.returncode}: see {self.directory}.log")
            try:
                status, _ = self.request("GET", "/ready")
                if status == 200:
                    return time.perf_counter() - began
            except OSError:
                pass
            time.sleep(0.005)
        raise TimeoutError("cenote is not ready")

    def request(self, method: str, path: str, body: bytes | None = None, headers: dict | None = None):
        connection = http.client.HTTPConnection("127.0.0.1", self.http, timeout=600)
        try:
            connection.request(method, path, body, headers or {})
            answer = connection.getresponse()
            return answer.status, answer.read()
        finally:
            connection.close()

    def write(self, path: str, body: bytes) -> None:
        status, answer = self.request("POST", path, body, {"Authorization": f"Bearer {self.token}"})
        if status not in (200, 204):
            raise RuntimeError(f"{path}: {status} {answer[:500]!r}")

    def sql(self, text: str) -> list[list]:
        """The rows of one statement, by HTTP."""
        headers = {"Authorization": f"Bearer {self.token}", "Content-Type": "application/json"}
        status, answer = self.request("POST", "/api/v1/sql", json.dumps({"sql": text}).encode(), headers)
        if status != 200:
            raise RuntimeError(f"{text[:200]}: {status} {answer[:500]!r}")
        return json.loads(answer)["results"][0].get("data", [])

    def connect(self):
        """A connection of the Postgres wire."""
        import psycopg

        return psycopg.connect(
            host="127.0.0.1", port=self.postgres, user="admin", password=self.token, dbname="lake", autocommit=True
        )

    def wait_for_merges(self) -> None:
        """Returns when the node finds nothing to merge: then files stay, and nothing runs beside what is measured."""
        while self.sql("SELECT 1 FROM system.storage.maintenance WHERE action IN ('merge', 'deletes') LIMIT 1"):
            time.sleep(0.5)

    def metric(self, name: str) -> float:
        """The value of a metric without labels."""
        _, answer = self.request("GET", "/metrics", None, {"Authorization": f"Bearer {self.token}"})
        for line in answer.decode().splitlines():
            if line.split(" ")[0] == name:
                return float(line.split(" ")[1])
        raise KeyError(name)

    def cpu_seconds(self) -> float:
        """User and system time that the server used so far."""
        fields = pathlib.Path(f"/proc/{self.process.pid}/stat").read_text().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def resident_mib(self) -> float:
        return self._memory_mib("VmRSS:")

    def watch_peak(self) -> None:
        """From now on `peak_mib` speaks."""
        pathlib.Path(f"/proc/{self.process.pid}/clear_refs").write_text("5")

    def peak_mib(self) -> float:
        """The most resident memory since `watch_peak`."""
        return self._memory_mib("VmHWM:")

    def _memory_mib(self, name: str) -> float:
        for line in pathlib.Path(f"/proc/{self.process.pid}/status").read_text().splitlines():
            if line.startswith(name):
                return int(line.split()[1]) / 1024
        raise RuntimeError(f"no {name}")

    def kill(self) -> None:
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()

    def stop(self) -> None:
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            self.process.wait(timeout=120)

    def close(self, keep: bool = False) -> None:
        self.stop()
        self.log.close()
        if not keep:
            shutil.rmtree(self.directory, ignore_errors=True)
            pathlib.Path(f"{self.directory}.log").unlink(missing_ok=True)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


def run_script(script: str) -> float:
    """Seconds of a process that runs a script of a pipeline to its end."""
    began = time.perf_counter()
    done = subprocess.run([Node.binary, "run", "-"], input=script, capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"{script}\n{done.stderr[-1000:]}")
    return time.perf_counter() - began
