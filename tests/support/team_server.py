"""A team's server: Prefect on Postgres with Redis, each started here on a port of its own."""

from __future__ import annotations

import importlib.util
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Mapping
from pathlib import Path

ROOT = Path(__file__).parents[2]
SETTINGS = ROOT / "deployments" / "team" / "server.env"


def missing() -> str:
    """What of it this system does not have; empty where it has all."""
    wanted = {
        "Postgres": _postgres("initdb") is not None,
        "Redis": shutil.which("redis-server") is not None,
        "prefect-redis": importlib.util.find_spec("prefect_redis") is not None,
    }
    return ", ".join(name for name, there in wanted.items() if not there)


def team_settings() -> dict[str, str]:
    """The settings that the compose file uses, too."""
    lines = SETTINGS.read_text().splitlines()
    pairs = (line.partition("=") for line in lines if line and not line.startswith("#"))
    return {name: value for name, _, value in pairs}


class TeamServer:
    """Started by `start()`, ended by `end()`."""

    def __init__(self, home: Path, environment: Mapping[str, str]) -> None:
        self._home = home
        self._environment = dict(environment)
        self._running: list[subprocess.Popen[bytes]] = []
        self._ports = _free_ports(3)
        self.login = "team:secret"
        self.url = f"http://127.0.0.1:{self._ports[2]}/api"

    def start(self) -> None:
        """Start all three and wait until Prefect answers."""
        postgres_port, redis_port, port = self._ports
        self._home.mkdir()
        # Postgres refuses to run as root, and everybody must be able to come this far
        for folder in [self._home, *self._home.parents]:
            if folder.stat().st_uid == os.geteuid() and folder != Path("/"):
                folder.chmod(folder.stat().st_mode | 0o711)
        data = self._home / "postgres"
        data.mkdir()
        as_user: list[str] = []
        if os.geteuid() == 0:
            shutil.chown(data, "postgres", "postgres")
            as_user = ["runuser", "-u", "postgres", "--"]
        init = [*as_user, str(_postgres("initdb")), "-D", str(data), "-A", "trust", "-U", "prefect"]
        subprocess.run([*init, "--no-sync"], check=True, capture_output=True, cwd="/")
        options = ["-p", str(postgres_port), "-k", str(data), "-h", "127.0.0.1"]
        self._spawn([*as_user, str(_postgres("postgres")), "-D", str(data), *options])
        redis = ["redis-server", "--port", str(redis_port), "--bind", "127.0.0.1", "--save", ""]
        self._spawn([*redis, "--dir", str(self._home)])
        _wait(lambda: _listens(postgres_port) and _listens(redis_port))
        create = [str(_postgres("createdb")), "-h", "127.0.0.1", "-p", str(postgres_port)]
        create += ["-U", "prefect", "prefect"]
        _wait(lambda: subprocess.run(create, capture_output=True, check=False).returncode == 0)
        database = f"postgresql+asyncpg://prefect@127.0.0.1:{postgres_port}/prefect"
        self._environment |= team_settings() | {
            "PREFECT_HOME": str(self._home / "prefect"),
            "PREFECT_API_DATABASE_CONNECTION_URL": database,
            "PREFECT_SERVER_API_AUTH_STRING": self.login,
            "PREFECT_REDIS_MESSAGING_HOST": "127.0.0.1",
            "PREFECT_REDIS_MESSAGING_PORT": str(redis_port),
            "PREFECT_REDIS_MESSAGING_DB": "0",
        }
        self._spawn([sys.executable, "-m", "prefect", "server", "start", "--port", str(port)])
        _wait(self._answers, 120)

    def end(self) -> None:
        """End all three, the last one first."""
        for process in reversed(self._running):
            os.killpg(process.pid, signal.SIGTERM)
            try:
                process.wait(timeout=20)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()

    def _spawn(self, command: list[str]) -> None:
        with (self._home / "log").open("ab") as log:
            self._running.append(
                subprocess.Popen(
                    command,
                    env=self._environment,
                    cwd="/",
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                    start_new_session=True,
                )
            )

    def _answers(self) -> bool:
        assert self._running[-1].poll() is None, (self._home / "log").read_text()[-3000:]
        try:
            urllib.request.urlopen(self.url + "/health", timeout=2).close()
        except OSError:
            return False
        return True


def _postgres(program: str) -> Path | None:
    found = shutil.which(program)
    if found:
        return Path(found)
    debian = sorted(Path("/usr/lib/postgresql").glob(f"*/bin/{program}"))
    return debian[-1] if debian else None


def _free_ports(number: int) -> list[int]:
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(number)]
    ports = [each.getsockname()[1] for each in sockets]
    for each in sockets:
        each.close()
    return ports


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def _wait(condition: Callable[[], bool], seconds: float = 30) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it has not come up"
        time.sleep(0.1)
