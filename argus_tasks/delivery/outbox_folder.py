"""The outbox: a folder with the segments for one server, and how much of each is acknowledged.

Folder: `server.json`; segments `CHAIN.NNNNNN.seg` with their cursors `.ack`; per chain `.live` (a
lock held by its writer), `.drops` and `.reserve`; `batches/` (counts that outlive segments),
`uploads/` (files to send), `aside.jsonl` (what the server refused), `gone` (segments that were
delivered whole), `sender.lock` and `sender.json`.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path

from argus_tasks.base.boot import short_boot_id
from argus_tasks.base.files import (
    append_line,
    read_mapping,
    read_whole,
    write_bytes_whole,
    write_json,
)
from argus_tasks.base.folders import make_private
from argus_tasks.base.ids import slug
from argus_tasks.base.locks import holder_lives
from argus_tasks.base.mounts import on_network
from argus_tasks.base.redact import without_login
from argus_tasks.base.settings import state_home
from argus_tasks.delivery.batch_counts import CountsByBatch
from argus_tasks.delivery.batch_totals import add_once
from argus_tasks.delivery.chain_files import (
    DROPS_ENDING,
    IDLE_ENDING,
    LIVE_ENDING,
    RESERVE_ENDING,
    SEGMENT_ENDING,
)
from argus_tasks.delivery.checked_json import seal, unseal
from argus_tasks.delivery.drops import read_drops
from argus_tasks.delivery.events import EPOCH, LIFECYCLE, LOG, SNAPSHOT
from argus_tasks.delivery.reader import Entry, SegmentReader
from argus_tasks.delivery.segment import chains_of_this_process
from argus_tasks.delivery.segment_places import Ref, chain_of
from argus_tasks.delivery.set_aside import ASIDE, SetAside

NO_SERVER = "no-server"
EVICT_FROM = 13 / 16
EVICT_TO = 11 / 16
_DEFAULT_LIMIT_MB = 1024.0
_QUIET_S = 900.0


def outbox_root() -> Path:
    """The folder of all outboxes: `ARGUS_OUTBOX_DIR`, else in the state folder."""
    given = os.environ.get("ARGUS_OUTBOX_DIR", "")
    return Path(given).expanduser().absolute() if given else state_home() / "outbox"


def limit_from_environment() -> int:
    """The size limit of an outbox in bytes: `ARGUS_OUTBOX_MAX_MB`, else 1 GiB."""
    try:
        megabytes = float(os.environ.get("ARGUS_OUTBOX_MAX_MB", "") or _DEFAULT_LIMIT_MB)
    except ValueError:
        megabytes = _DEFAULT_LIMIT_MB
    return max(int(megabytes * 1024 * 1024), 64 * 1024)


def folder_for(url: str | None, root: Path | None = None) -> Path:
    """The outbox folder for a server; without a URL, that of events kept for a later server."""
    base = root or outbox_root()
    if not url:
        return base / NO_SERVER
    plain = without_login(url.rstrip("/"))
    name = plain.split("://", 1)[-1]
    return base / f"{slug(name, 60)}-{hashlib.sha256(plain.encode()).hexdigest()[:8]}"


def outboxes(root: Path | None = None) -> list[Outbox]:
    """All outboxes of this user."""
    base = root or outbox_root()
    folders = sorted(base.iterdir()) if base.is_dir() else []
    return [Outbox(folder) for folder in folders if (folder / "batches").is_dir()]


class Outbox:
    """One outbox. All of its state is in files, so any number of processes may read it."""

    def __init__(
        self, folder: Path | str, *, limit_bytes: int | None = None, shared: bool | None = None
    ) -> None:
        """`shared`: whether other hosts write to it; by default whether it is on a network disk."""
        self._shared = shared
        self.folder = Path(folder)
        self._text = os.fspath(folder)
        self.limit_bytes = limit_from_environment() if limit_bytes is None else limit_bytes
        self.set_aside = SetAside(self.folder, self.limit_bytes)

    def create(self, url: str | None = None) -> Outbox:
        """Make the folder if it is missing. Errors: OSError, also where another user owns it."""
        make_private(self.folder)
        for name in ("batches", "uploads"):
            (self.folder / name).mkdir(mode=0o700, exist_ok=True)
        if url and not (self.folder / "server.json").exists():
            write_json(self.folder / "server.json", {"url": without_login(url)})
        return self

    @property
    def url(self) -> str | None:
        """The server that this outbox is for; None where its file is missing or damaged."""
        url = str(read_mapping(self.folder / "server.json").get("url") or "")
        if not url:
            return None
        named_after = folder_for(url, self.folder.parent).name
        is_named = self.folder.name[-9:-8] == "-" and len(self.folder.name) > 9
        return url if not is_named or self.folder.name == named_after else None

    # --- Size (for a SegmentWriter) ---

    @property
    def segment_bytes(self) -> int:
        """The size in bytes at which a segment is full."""
        return min(8 * 1024 * 1024, self.limit_bytes // 32)

    def admits(self) -> int:
        """The highest class of events that may be written now. Near the size limit only the more
        important classes are."""
        share = self.size() / self.limit_bytes
        if share >= 1:
            return -1
        # While the sender evicts events, new ones of the same classes are refused.
        near = LIFECYCLE if share >= 15 / 16 else EPOCH if share >= EVICT_FROM else LOG
        return min(near, (LOG, SNAPSHOT, EPOCH, LIFECYCLE)[min(self.pressure(), 3)])

    def pressure(self) -> int:
        """How many classes of events the sender has evicted completely: 0 to 3."""
        try:
            return int((self.folder / "pressure").read_text())
        except (OSError, ValueError):
            return 0

    def size(self) -> int:
        """The size in bytes of all segments and of the events set aside."""
        total = 0
        try:
            with os.scandir(self._text) as found:
                for entry in found:
                    if entry.name.endswith(SEGMENT_ENDING) or entry.name == ASIDE:
                        total += entry.stat().st_size
        except OSError:
            return total
        return total

    # --- Segments and cursors ---

    def segments(self) -> list[str]:
        """The names of all segments, sorted: those of a chain in order."""
        try:
            names = os.listdir(self._text)  # noqa: PTH208 - five times a second
        except OSError:
            return []
        cut = len(SEGMENT_ENDING)
        return sorted(name[:-cut] for name in names if name.endswith(SEGMENT_ENDING))

    def ends_of(self, chains: Iterable[str]) -> list[Ref]:
        """Where these chains end now, except those that are delivered completely."""
        last = {chain_of(segment): segment for segment in self.segments()}
        places = []
        for chain in chains:
            segment = last.get(chain)
            if segment is not None:
                with suppress(OSError):
                    size = os.stat(self.segment_path(segment)).st_size  # noqa: PTH116
                    places.append(Ref(segment, size))
        return places

    def chains(self) -> set[str]:
        """The names of all chains that have a file."""
        try:
            names = os.listdir(self._text)  # noqa: PTH208
        except OSError:
            return set()
        chains = {name.rsplit(".", 2)[0] for name in names if name.endswith(SEGMENT_ENDING)}
        for ending in (LIVE_ENDING, IDLE_ENDING, DROPS_ENDING, RESERVE_ENDING):
            chains |= {name[: -len(ending)] for name in names if name.endswith(ending)}
        return chains

    def segment_path(self, segment: str) -> str:
        """The file of a segment."""
        return f"{self._text}/{segment}{SEGMENT_ENDING}"

    def is_live(self, chain: str) -> bool:
        """Whether the process that writes the chain is alive and has not closed it."""
        if chain in chains_of_this_process():
            return True
        path = f"{self._text}/{chain}{LIVE_ENDING}"
        if not os.path.exists(path):  # noqa: PTH110
            return False
        if holder_lives(path):
            return True
        return (
            chain.split("-")[1] != short_boot_id() and self.is_shared and self._grew_lately(chain)
        )

    def is_idle(self, chain: str) -> bool:
        """Whether the next process of this host may continue the chain."""
        return os.path.exists(f"{self._text}/{chain}{IDLE_ENDING}")  # noqa: PTH110

    def retire(self, chain: str) -> bool:
        """Make sure that no process writes to the chain any more; False where one does."""
        if self.is_live(chain):
            return False
        Path(f"{self._text}/{chain}{IDLE_ENDING}").unlink(missing_ok=True)
        return not self.is_live(chain)

    @property
    def is_shared(self) -> bool:
        """Whether other hosts may write here. Their locks may be invisible, so a chain that grew in
        the last 15 minutes counts as alive."""
        if self._shared is None:
            self._shared = on_network(self.folder)
        return self._shared

    def _grew_lately(self, chain: str) -> bool:
        mark = self.folder / "clock"
        mark.touch()  # the file system's own clock: hosts may differ
        now = mark.stat().st_mtime
        mine = [name for name in self.segments() if chain_of(name) == chain]
        times = [os.stat(self.segment_path(name)).st_mtime for name in mine]  # noqa: PTH116
        return bool(times) and now - max(times) < _QUIET_S

    def read_ack(self, segment: str) -> tuple[int, CountsByBatch]:
        """The cursor of a segment and the counts of the events before it; the beginning where they
        cannot be read. Events that are sent again are stored once by the server."""
        try:
            value = unseal(read_whole(f"{self._text}/{segment}.ack"))
            return int(value["offset"]), CountsByBatch.from_json(value["batches"])
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            return 0, CountsByBatch()

    def write_ack(self, segment: str, offset: int, ledger: CountsByBatch) -> None:
        """Move the cursor. Errors: OSError."""
        value = {"offset": offset, "batches": ledger.to_json()}
        write_bytes_whole(f"{self._text}/{segment}.ack", seal(value))

    def acknowledged(self, ref: Ref) -> bool:
        """Whether every event before this place has been accepted or set aside."""
        if not os.path.exists(self.segment_path(ref.segment)):  # noqa: PTH110
            return True
        return self.read_ack(ref.segment)[0] >= ref.offset

    def was_delivered(self, segment: str) -> bool:
        """Whether this segment was delivered completely and removed."""
        try:
            return f"{segment}\n".encode() in (self.folder / "gone").read_bytes()
        except OSError:
            return False

    def fold(self, segment: str, ledger: CountsByBatch) -> None:
        """Add the counts of a delivered segment to the totals of its batches, and remove it. Its
        counts are added once, even if this is repeated. Errors: OSError."""
        for batch_id, counts in ledger.batches.items():
            add_once(self.folder, batch_id, segment, counts)
        gone = self.folder / "gone"
        if gone.exists() and gone.stat().st_size > 1024 * 1024:
            lines = gone.read_bytes().splitlines(keepends=True)[-4096:]
            write_bytes_whole(gone, b"".join(lines))
        append_line(gone, segment)
        os.unlink(self.segment_path(segment))  # noqa: PTH108
        Path(f"{self._text}/{segment}.ack").unlink(missing_ok=True)

    def fold_chain(self, chain: str) -> None:
        """Add the drops of a delivered chain to the totals of its batches, and remove its files.

        Errors: OSError.
        """
        drops = Path(f"{self._text}/{chain}{DROPS_ENDING}")
        ledger = CountsByBatch()
        ledger.add_drops(read_drops(os.fspath(drops)))
        for batch_id, counts in ledger.batches.items():
            add_once(self.folder, batch_id, chain, counts)
        for ending in (IDLE_ENDING, DROPS_ENDING, RESERVE_ENDING, LIVE_ENDING):
            Path(f"{self._text}/{chain}{ending}").unlink(missing_ok=True)

    # --- Waiting events ---

    def waiting_events(self) -> Iterator[tuple[str, bytes]]:
        """The segment and the line of every event that is not acknowledged."""
        for segment in self.segments():
            for entry in self.waiting_entries(segment):
                if entry.line:
                    yield segment, entry.line

    def waiting_entries(self, segment: str) -> Iterator[Entry]:
        """The entries of a segment that are not acknowledged; none where it was removed."""
        try:
            reader = SegmentReader(self.segment_path(segment), self.read_ack(segment)[0])
            yield from reader.remaining()
        except OSError:
            return

    def has_waiting(self) -> bool:
        """Whether any event or upload is not acknowledged."""
        for segment in self.segments():
            if any(entry.line or entry.upload for entry in self.waiting_entries(segment)):
                return True
        return False
