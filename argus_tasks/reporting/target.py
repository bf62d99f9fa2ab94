"""Where events go: the server's URL and the token, from arguments, environment and files."""

from __future__ import annotations

import logging
import os
import stat
from collections.abc import Callable
from pathlib import Path
from urllib.parse import urlsplit

from argus_tasks.base.errors import BadInput
from argus_tasks.base.redact import redact
from argus_tasks.base.settings import config_home, flag

log = logging.getLogger("argus_tasks")

_LONGEST_FILE = 10_000
MONITOR_FILE = Path("configs") / "monitor.yaml"


def disabled() -> bool:
    """Whether ARGUS_DISABLE says that nothing shall be sent or kept."""
    return flag("ARGUS_DISABLE")


def offline() -> bool:
    """Whether ARGUS_OFFLINE says that events without a server are kept for later."""
    return flag("ARGUS_OFFLINE")


def configured() -> bool:
    """Whether a sweep has somebody to tell: a server is named, or events are kept for later."""
    return not disabled() and (offline() or server_url() is not None)


def server_url(given: str | None = None) -> str | None:
    """The server: the argument, ARGUS_URL, or `configs/monitor.yaml` (`url` or `monitor_url`).

    Errors: BadInput where the argument is no http or https URL; elsewhere such a URL is passed over
    with a warning, because a typing error in the environment must not keep a training from running.
    """
    if given:
        if not _is_url(given):
            raise BadInput(
                f"monitor_url is {redact(given)!r}; expected a URL that starts with http:// or"
                " https://."
            )
        return given.rstrip("/")
    for origin, value in (
        ("ARGUS_URL", os.environ.get("ARGUS_URL", "").strip()),
        (str(MONITOR_FILE), _url_of_file()),
    ):
        if value and _is_url(value):
            return value.rstrip("/")
        if value:
            log.warning("argus-tasks: %s is no http(s) URL: %r", origin, redact(value))
    return None


def token_file() -> Path:
    """Where the token may lie: `ARGUS_TOKEN_FILE`, else `token` in the settings folder."""
    given = os.environ.get("ARGUS_TOKEN_FILE", "")
    return Path(given).expanduser() if given else config_home() / "token"


def token_source(
    given: str | None = None, *, url: str | None, named: str | None = None
) -> Callable[[], str | None]:
    """Asks for the token for the server at `url` at each request: the argument, ARGUS_TOKEN, or the
    token file. A better token is taken up while the process runs.

    The file's own token goes to the servers that the user has named only: by an argument (`named`)
    or ARGUS_URL. What `configs/monitor.yaml` of a folder names needs a line of its own in the file.
    """
    warned: list[str] = []

    def token() -> str | None:
        value = given or os.environ.get("ARGUS_TOKEN", "").strip()
        if value:
            return value
        text, problem = read_token_file(token_file(), url, named)
        if problem and problem not in warned:
            warned.append(problem)
            log.warning("argus-tasks: %s", problem)
        return text

    return token


def read_token_file(
    path: Path, url: str | None, named: str | None = None
) -> tuple[str | None, str]:
    """The token in a file for the server at `url`, and what keeps it from being used. A line is a
    token, or a server's URL and its token; only the owner may be able to read the file."""
    try:
        with path.open(encoding="utf-8") as handle:
            found = os.fstat(handle.fileno())
            if found.st_uid != os.geteuid():
                return None, f"{path} belongs to another user"
            if found.st_mode & (stat.S_IRWXG | stat.S_IRWXO):
                return None, f"{path} can be read by others; do: chmod 600 {path}"
            lines = [line.split() for line in handle if line.strip()]
    except FileNotFoundError:
        return None, ""
    except (OSError, UnicodeDecodeError) as error:
        return None, f"{path} cannot be read: {error}"
    server = _server(url)
    if server is None:
        return None, ""
    for words in lines:
        if len(words) == 2 and _server(words[0]) == server:
            return words[1], ""
    alone = next((words[0] for words in lines if len(words) == 1), None)
    if alone and server not in (_server(named), _server(os.environ.get("ARGUS_URL"))):
        shown = redact(url or "no server")
        return None, (
            f"the token in {path} is not sent to {shown}, which a file of the working folder names;"
            f" set ARGUS_URL, or put the line '{shown} TOKEN' there"
        )
    return alone, ""


def _server(url: str | None) -> tuple[str, str, int, str] | None:
    """What of a URL says which server it is."""
    try:
        parts = urlsplit((url or "").strip())
        port = parts.port or {"http": 80, "https": 443}[parts.scheme]
    except (ValueError, KeyError):
        return None
    return parts.scheme, str(parts.hostname), port, parts.path.rstrip("/")


def _is_url(text: str) -> bool:
    try:
        parts = urlsplit(text.strip())
        return parts.scheme in ("http", "https") and bool(parts.hostname)
    except ValueError:
        return False


def _url_of_file() -> str:
    if not MONITOR_FILE.is_file():
        return ""
    import yaml

    try:
        text = MONITOR_FILE.read_text(encoding="utf-8")
        if len(text) > _LONGEST_FILE:
            raise ValueError(f"it is longer than {_LONGEST_FILE} characters")
        # Texts are enough; and no chain of merges, of which a small file can make billions.
        value = yaml.load(text, Loader=yaml.BaseLoader)
    except (OSError, ValueError, RecursionError, yaml.YAMLError) as error:
        log.warning("argus-tasks: %s cannot be read: %s", MONITOR_FILE, redact(str(error)))
        return ""
    if not isinstance(value, dict):
        return ""
    found = value.get("url") or value.get("monitor_url")
    return found.strip() if isinstance(found, str) else ""
