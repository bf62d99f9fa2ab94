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
from argus_tasks.base.urls import is_http_url

log = logging.getLogger("argus_tasks")

_LONGEST_FILE = 10_000
MONITOR_FILE = Path("configs") / "monitor.yaml"


def disabled() -> bool:
    """Whether ARGUS_DISABLE is set: events are neither sent nor kept."""
    return flag("ARGUS_DISABLE")


def offline() -> bool:
    """Whether ARGUS_OFFLINE is set: without a server, events are kept to be sent later."""
    return flag("ARGUS_OFFLINE")


def configured() -> bool:
    """Whether events are reported: a server is configured, or events are kept to be sent later."""
    return not disabled() and (offline() or server_url() is not None)


def server_url(given: str | None = None) -> str | None:
    """The monitor's URL: the argument, else ARGUS_URL, else that of `configs/monitor.yaml`.

    Args:
        given: the argument, where there is one.

    Returns:
        The URL without a slash at the end; None where no monitor is configured. A wrong URL in the
        environment or the file is skipped with a warning, so that it keeps no training from
        running.

    Raises:
        BadInput: the argument is no http or https URL.
    """
    if given:
        if not is_http_url(given):
            raise BadInput(
                f"monitor_url is {redact(given)!r}; expected a URL that starts with http:// or"
                " https://."
            )
        return given.rstrip("/")
    for origin, value in (
        ("ARGUS_URL", os.environ.get("ARGUS_URL", "").strip()),
        (str(MONITOR_FILE), _url_of_file()),
    ):
        if value and is_http_url(value):
            return value.rstrip("/")
        if value:
            log.warning("argus-tasks: %s is no http(s) URL: %r", origin, redact(value))
    return None


def token_file() -> Path:
    """The path of the token file: `ARGUS_TOKEN_FILE`, else `token` in the settings folder."""
    given = os.environ.get("ARGUS_TOKEN_FILE", "")
    return Path(given).expanduser() if given else config_home() / "token"


def token_source(
    given: str | None = None, *, url: str | None, named: str | None = None
) -> Callable[[], str | None]:
    """A function that looks up the token at each request, so that a changed token is used at once.

    Args:
        given: the token, where it was given as an argument. Otherwise ARGUS_TOKEN counts, else the
            token file.
        url: the server's URL.
        named: the URL that was given as an argument, if one was. A token alone on a line of the
            token file is sent only to this server and to that of ARGUS_URL. A server that
            `configs/monitor.yaml` names needs a line of its own in the file.
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
    """The token for a server in the token file.

    A line of the file is a token, or a server's URL and its token. Only the owner may be able to
    read the file.

    Args:
        path: the file.
        url: the server's URL.
        named: see `token_source`.

    Returns:
        The token, or None; and a sentence that says why it is not used, or an empty text.
    """
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
    """The parts of a URL that identify the server."""
    try:
        parts = urlsplit((url or "").strip())
        port = parts.port or {"http": 80, "https": 443}[parts.scheme]
    except (ValueError, KeyError):
        return None
    return parts.scheme, str(parts.hostname), port, parts.path.rstrip("/")


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
