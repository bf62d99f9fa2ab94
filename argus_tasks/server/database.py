"""The server's database: always complete, and migrated to the Prefect version that opens it.

Each Prefect version has its own file. It is never migrated in place: a copy is, and takes the name
when it is done, so a migration that is cut off leaves nothing behind but a file to be removed. A
new version starts from a copy of the newest database that an earlier one left; that one stays as
it is, for whoever goes back.
"""

from __future__ import annotations

import os
import shutil
import sqlite3
import subprocess
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path

from argus_tasks.base import settings
from argus_tasks.base.errors import ArgusTasksError
from argus_tasks.base.files import read_mapping, write_json
from argus_tasks.base.folders import make_private
from argus_tasks.server import configuration
from argus_tasks.server.folder import Folder

MIGRATION_LIMIT_S = 600.0

# `prefect server database upgrade -y`, 10 % faster: without garbage collection of a million
# objects.
_UPGRADE = """
import gc, runpy, sys
gc.disable()
sys.argv = ["prefect", "server", "database", "upgrade", "-y"]
runpy.run_module("prefect", run_name="__main__")
"""


class Database:
    """The database file of one Prefect version in one state folder."""

    def __init__(self, folder: Folder, version: str) -> None:
        self.folder = folder
        self.version = version
        self.path = folder.home / f"prefect-{version}.db"
        self._state = folder.home / f"prefect-{version}.json"
        self._template = settings.cache_home() / f"prefect-{version}-empty.db"

    @property
    def url(self) -> str:
        """The database's URL, as Prefect's settings have it."""
        return f"sqlite+aiosqlite:///{self.path}"

    def is_ready(self) -> bool:
        """Whether it is known to be fully migrated, so that the server need not check."""
        head = read_mapping(self._state).get("head")
        return bool(head) and self.path.is_file() and revision(self.path) == head

    def has_template(self) -> bool:
        """Whether there is an empty database of this version to copy."""
        return self._template.is_file()

    def prepare(self) -> list[str]:
        """Create or migrate the database where it is not ready. Returns sentences for the log.

        The database lock must be held. Errors: ArgusTasksError where Prefect cannot make one.
        """
        if self.is_ready():
            return []
        for leftover in self.folder.home.glob("*.migrating*"):
            leftover.unlink(missing_ok=True)
        sentences = []
        for source in self._sources():
            work = self.folder.home / f"{self.path.name}.{os.getpid()}.migrating"
            try:
                _copy(source, work)
                _drop_leftovers(work)
                self._upgrade(work)
            except (sqlite3.Error, OSError, ArgusTasksError) as error:
                sentences.append(f"{source} cannot be used by Prefect {self.version}: {error}")
                _remove_database(work)
                continue
            sentences.append(f"{self.path} made from {source}, with all its content")
            self._put_in_place(work)
            return sentences
        work = self.folder.home / f"{self.path.name}.{os.getpid()}.migrating"
        try:
            make_private(self._template.parent)
            shutil.copyfile(self._template, work)
        except OSError:  # there is no template yet, or the cache folder is not ours
            _remove_database(work)
            self._upgrade(work)
            sentences += self._keep_template(work)
        self._put_in_place(work)
        return sentences

    def _sources(self) -> list[Path]:
        """Databases to start from, best first: this version's own, then the newest of other
        versions, including those set aside by a migration that was interrupted."""
        others = [*self.folder.home.glob("prefect-*.db"), *self.folder.home.glob("prefect-*.aside")]
        others = [path for path in others if path != self.path]
        others.sort(key=lambda path: path.stat().st_mtime, reverse=True)
        return [path for path in (self.path, *others) if path.is_file()]

    def _keep_template(self, empty: Path) -> list[str]:
        """Keep a copy as the template of later first starts. Returns sentences for the log, on
        failure."""
        work = self._template.with_name(f"{self._template.name}.{os.getpid()}.migrating")
        try:
            make_private(self._template.parent)
            shutil.copyfile(empty, work)
            work.replace(self._template)
        except OSError as error:
            with suppress(OSError):
                work.unlink(missing_ok=True)
            return [f"the template for later first starts cannot be written: {error}"]
        return []

    def _upgrade(self, work: Path) -> None:
        environment = {
            **configuration.base_environment(self.folder),
            "PREFECT_SERVER_DATABASE_CONNECTION_URL": f"sqlite+aiosqlite:///{work}",
        }
        command = configuration.python_command("-c", _UPGRADE)
        done = subprocess.run(
            command,
            env=environment,
            cwd=self.folder.root,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            timeout=MIGRATION_LIMIT_S,
            check=False,
        )
        if done.returncode != 0:
            raise ArgusTasksError(
                f"`prefect server database upgrade` ended with {done.returncode}: "
                + done.stdout.strip()[-2000:]
            )
        with _connected(work) as connection:
            # a copy of the file would lack what is still in the write-ahead log
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")

    def _put_in_place(self, work: Path) -> None:
        head = revision(work)
        if head is None:
            raise ArgusTasksError(f"{work} has no Prefect tables after its migration")
        self._set_aside()
        work.replace(self.path)
        write_json(self._state, {"head": head}, sync=True)

    def _set_aside(self) -> None:
        stamp = time.strftime("%Y%m%d_%H%M%S", time.gmtime())
        for ending in ("-wal", "-shm", ""):  # the write-ahead log must stay with its database
            path = Path(f"{self.path}{ending}")
            if path.exists():
                path.rename(f"{self.path}.{stamp}.aside{ending}")


def revision(path: Path) -> str | None:
    """The last migration of a Prefect database; None where it is not one, or cannot be read."""
    try:
        with _connected(path) as connection:
            rows = connection.execute("SELECT version_num FROM alembic_version").fetchall()
    except sqlite3.Error:
        return None
    return str(rows[0][0]) if len(rows) == 1 else None


def _copy(source: Path, target: Path) -> None:
    with _connected(source) as old, _connected(target) as new:
        old.backup(new)


def _drop_leftovers(path: Path) -> None:
    """Drop the temporary tables of an interrupted migration, on which the next one would fail."""
    with _connected(path) as connection:
        tables = connection.execute(
            "SELECT name FROM sqlite_master WHERE type = 'table' AND name GLOB '_alembic_tmp_*'"
        ).fetchall()
        for (name,) in tables:
            connection.execute(f'DROP TABLE "{name}"')
        connection.commit()


def _remove_database(path: Path) -> None:
    for ending in ("", "-wal", "-shm"):
        Path(f"{path}{ending}").unlink(missing_ok=True)


@contextmanager
def _connected(path: Path) -> Iterator[sqlite3.Connection]:
    with closing(sqlite3.connect(path, timeout=10)) as connection:
        yield connection
