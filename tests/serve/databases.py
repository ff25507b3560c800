"""Throw-away databases for the tests: a SQLite file, or a database of a PostgreSQL of our own."""

import getpass
import os
import pwd
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


class MissingError(Exception):
    """There is no PostgreSQL here; the reason."""


class Server:
    """A PostgreSQL server in a folder of its own, on a free port; options: of `postgres`."""

    def __init__(self, folder: Path, options: str) -> None:
        self._options = options
        self._bin = _binaries()
        self._as: list[str] = []
        self.folder = folder
        if os.geteuid() == 0:  # the server refuses to run as root
            self._as = _as_postgres()
            shutil.chown(folder, "postgres")
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self._run(
            "initdb", "-D", f"{folder}/data", "-U", "tests", "-A", "trust", "-N", "-E", "UTF8"
        )
        self.start()

    def start(self) -> None:
        options = f"-p {self.port} -k {self.folder} {self._options}"
        self._ctl("start", "-w", "-o", options, "-l", f"{self.folder}/log")

    def stop(self) -> None:
        self._ctl("stop", "-w", "-m", "immediate")

    def database(self) -> str:
        """The URL of an empty database; what was there before is gone."""
        empty = "DROP SCHEMA public CASCADE; CREATE SCHEMA public"
        self._run("psql", "-h", "127.0.0.1", "-p", str(self.port), "-U", "tests", "-q",
                  "-d", "postgres", "-c", f"SET client_min_messages = error; {empty}")  # fmt: skip
        return f"postgresql://tests@127.0.0.1:{self.port}/postgres"

    def _ctl(self, *arguments: str) -> None:
        self._run("pg_ctl", "-D", f"{self.folder}/data", *arguments)

    def _run(self, program: str, *arguments: str) -> None:
        done = subprocess.run(
            [*self._as, str(self._bin / program), *arguments],
            check=False,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,  # the server would keep a pipe open
            stderr=subprocess.PIPE if program != "pg_ctl" else subprocess.DEVNULL,
            cwd=self.folder,
            text=True,
        )
        if done.returncode != 0:
            raise RuntimeError(f"{program} failed: {done.stderr or 'see its log'}")


@contextmanager
def server(options: str = "-c listen_addresses=127.0.0.1 -c fsync=off") -> Iterator[Server]:
    """A server while it is needed. Raises MissingError."""
    _binaries()
    with tempfile.TemporaryDirectory(prefix="pg", dir="/tmp") as folder:  # short path
        Path(folder).chmod(0o755)
        running = Server(Path(folder), options)
        try:
            yield running
        finally:
            running.stop()


def _binaries() -> Path:
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=_version)
    if found:
        return found[-1].parent
    on_path = shutil.which("initdb")
    if on_path is None:
        raise MissingError("no PostgreSQL on this machine: apt-get install postgresql")
    return Path(on_path).resolve().parent


def _version(initdb: Path) -> float:
    try:
        return float(initdb.parents[1].name)
    except ValueError:
        return 0.0


def _as_postgres() -> list[str]:
    try:
        pwd.getpwnam("postgres")
    except KeyError:
        raise MissingError(
            f"{getpass.getuser()} cannot start PostgreSQL: no user postgres"
        ) from None
    runuser = shutil.which("runuser")
    if runuser is None:
        raise MissingError("root cannot start PostgreSQL without runuser")
    return [runuser, "-u", "postgres", "--"]
