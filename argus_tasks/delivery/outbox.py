"""The outbox: a folder of segments for one server, with what has been acknowledged of them.

Folder: `server.json`; segments `CHAIN.NNNNNN.seg` with their cursors `.ack`; per chain `.live` (a
lock held by its writer), `.drops` and `.reserve`; `batches/` (counts that outlive segments),
`uploads/` (files to send), `aside.jsonl` (what the server refused), `gone` (segments that were
delivered whole), `sender.lock` and `sender.json`.
"""

from __future__ import annotations

import hashlib
import json
import os
import time
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

from argus_tasks.base.boot import short_boot_id
from argus_tasks.base.files import append_line, dumps, read_json, write_json, write_text_whole
from argus_tasks.base.folders import make_private
from argus_tasks.base.ids import slug
from argus_tasks.base.locks import holder_lives, locked
from argus_tasks.base.mounts import on_network
from argus_tasks.base.redact import without_login
from argus_tasks.base.settings import state_home
from argus_tasks.delivery.account import Account, Counts, Ledger
from argus_tasks.delivery.drops import read_drops
from argus_tasks.delivery.events import EPOCH, LIFECYCLE, LOG, SNAPSHOT
from argus_tasks.delivery.reader import SegmentReader, batch_of, torn_series
from argus_tasks.delivery.segment import (
    DROPS_ENDING,
    LIVE_ENDING,
    RESERVE_ENDING,
    SEGMENT_ENDING,
    Ref,
    own_chains,
)

NO_SERVER = "no-server"
RELIEF_FROM = 13 / 16
RELIEF_TO = 11 / 16
_DEFAULT_LIMIT_MB = 1024.0
_FOLDED_KEPT = 64
_QUIET_S = 900.0


def outbox_root() -> Path:
    """Where outboxes lie: `ARGUS_OUTBOX_DIR`, else the state folder."""
    given = os.environ.get("ARGUS_OUTBOX_DIR", "")
    return Path(given).expanduser().absolute() if given else state_home() / "outbox"


def limit_from_environment() -> int:
    """The bound of an outbox in bytes: `ARGUS_OUTBOX_MAX_MB`, else 1 GiB."""
    try:
        megabytes = float(os.environ.get("ARGUS_OUTBOX_MAX_MB", "") or _DEFAULT_LIMIT_MB)
    except ValueError:
        megabytes = _DEFAULT_LIMIT_MB
    return max(int(megabytes * 1024 * 1024), 64 * 1024)


def folder_for(url: str | None, root: Path | None = None) -> Path:
    """The outbox folder of a server; without one, of what waits for a server."""
    base = root or outbox_root()
    if not url:
        return base / NO_SERVER
    plain = without_login(url.rstrip("/"))
    name = plain.split("://", 1)[-1]
    return base / f"{slug(name, 60)}-{hashlib.sha256(plain.encode()).hexdigest()[:8]}"


def outboxes(root: Path | None = None) -> list[Outbox]:
    """Every outbox there is."""
    base = root or outbox_root()
    folders = sorted(base.iterdir()) if base.is_dir() else []
    return [Outbox(folder) for folder in folders if (folder / "batches").is_dir()]


class Outbox:
    """One outbox. Everything it knows is in its files; any number of processes may look."""

    def __init__(
        self, folder: Path | str, *, limit_bytes: int | None = None, shared: bool | None = None
    ) -> None:
        """`shared`: whether other hosts write here; found out where it is not given."""
        self._shared = shared
        self.folder = Path(folder)
        self._text = os.fspath(folder)
        self.limit_bytes = limit_from_environment() if limit_bytes is None else limit_bytes

    def create(self, url: str | None = None) -> Outbox:
        """Make the folder where it is not there. Errors: OSError, also where it is another's."""
        make_private(self.folder)
        for name in ("batches", "uploads"):
            (self.folder / name).mkdir(mode=0o700, exist_ok=True)
        if url and not (self.folder / "server.json").exists():
            write_json(self.folder / "server.json", {"url": without_login(url)})
        return self

    @property
    def url(self) -> str | None:
        """The server that this outbox is for."""
        try:
            return str(read_json(self.folder / "server.json")["url"])
        except (OSError, ValueError, KeyError):
            return None

    # --- Room (what a SegmentWriter asks) ---

    @property
    def segment_bytes(self) -> int:
        """When a segment is full."""
        return min(8 * 1024 * 1024, self.limit_bytes // 32)

    def admits(self) -> int:
        """The highest class that may be written now: yielding classes stop short of the bound."""
        share = self.size() / self.limit_bytes
        if share >= 1:
            return -1
        # While the sender makes room, what it would give up first is not taken any more.
        near = LIFECYCLE if share >= 15 / 16 else EPOCH if share >= RELIEF_FROM else LOG
        return min(near, (LOG, SNAPSHOT, EPOCH, LIFECYCLE)[min(self.pressure(), 3)])

    def pressure(self) -> int:
        """How many yielding classes have nothing left to yield (0 to 3); told by the sender."""
        try:
            return int((self.folder / "pressure").read_text())
        except (OSError, ValueError):
            return 0

    def size(self) -> int:
        """Bytes of all segments."""
        total = 0
        try:
            with os.scandir(self._text) as found:
                for entry in found:
                    if entry.name.endswith(SEGMENT_ENDING):
                        total += entry.stat().st_size
        except OSError:
            return total
        return total

    # --- Segments and cursors ---

    def segments(self) -> list[str]:
        """The names of all segments: a chain's are beside each other, in order."""
        try:
            names = os.listdir(self._text)  # noqa: PTH208 - five times a second
        except OSError:
            return []
        cut = len(SEGMENT_ENDING)
        return sorted(name[:-cut] for name in names if name.endswith(SEGMENT_ENDING))

    def ends_of(self, chains: Iterable[str]) -> list[Ref]:
        """Where the events of these chains end now; one that is all delivered has no end here."""
        last = {segment.rsplit(".", 1)[0]: segment for segment in self.segments()}
        places = []
        for chain in chains:
            segment = last.get(chain)
            if segment is not None:
                with suppress(OSError):
                    size = os.stat(self.segment_path(segment)).st_size  # noqa: PTH116
                    places.append(Ref(segment, size))
        return places

    def chains(self) -> set[str]:
        """Every chain that left a file."""
        try:
            names = os.listdir(self._text)  # noqa: PTH208
        except OSError:
            return set()
        chains = {name.rsplit(".", 2)[0] for name in names if name.endswith(SEGMENT_ENDING)}
        for ending in (LIVE_ENDING, DROPS_ENDING, RESERVE_ENDING):
            chains |= {name[: -len(ending)] for name in names if name.endswith(ending)}
        return chains

    def segment_path(self, segment: str) -> str:
        """The file of a segment."""
        return f"{self._text}/{segment}{SEGMENT_ENDING}"

    def is_live(self, chain: str) -> bool:
        """Whether the process that writes the chain lives and has not ended it."""
        if chain in own_chains():
            return True
        path = f"{self._text}/{chain}{LIVE_ENDING}"
        if not os.path.exists(path):  # noqa: PTH110
            return False
        if holder_lives(path):
            return True
        return (
            chain.split("-")[1] != short_boot_id() and self.is_shared and self._grew_lately(chain)
        )

    @property
    def is_shared(self) -> bool:
        """Whether other hosts may write here: their locks need not be seen, so what grew in the
        last 15 minutes counts as alive."""
        if self._shared is None:
            self._shared = on_network(self.folder)
        return self._shared

    def _grew_lately(self, chain: str) -> bool:
        mark = self.folder / "clock"
        mark.touch()  # the file system's own clock: hosts may differ
        now = mark.stat().st_mtime
        mine = [name for name in self.segments() if name.rsplit(".", 1)[0] == chain]
        times = [os.stat(self.segment_path(name)).st_mtime for name in mine]  # noqa: PTH116
        return bool(times) and now - max(times) < _QUIET_S

    def read_ack(self, segment: str) -> tuple[int, Ledger]:
        """The cursor of a segment, and the counts of what stands before it."""
        try:
            value = read_json(f"{self._text}/{segment}.ack")
            return int(value["offset"]), Ledger.from_json(value["batches"])
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            return 0, Ledger()

    def write_ack(self, segment: str, offset: int, ledger: Ledger) -> None:
        """Move the cursor. Errors: OSError."""
        value = {"offset": offset, "batches": ledger.to_json()}
        write_text_whole(f"{self._text}/{segment}.ack", dumps(value))

    def acknowledged(self, ref: Ref) -> bool:
        """Whether everything before this place has been accepted, or set aside."""
        if not os.path.exists(self.segment_path(ref.segment)):  # noqa: PTH110
            return True
        return self.read_ack(ref.segment)[0] >= ref.offset

    def was_here(self, segment: str) -> bool:
        """Whether this outbox has had the segment and delivered all of it."""
        try:
            return f"{segment}\n".encode() in (self.folder / "gone").read_bytes()
        except OSError:
            return False

    def fold(self, segment: str, ledger: Ledger) -> None:
        """A segment is done: its counts go to their batches, then it is removed. Doing it twice
        counts once. Errors: OSError."""
        for batch_id, counts in ledger.batches.items():
            self._fold_into(batch_id, segment, counts)
        gone = self.folder / "gone"
        if gone.exists() and gone.stat().st_size > 1024 * 1024:
            lines = gone.read_text().splitlines()[-4096:]
            write_text_whole(gone, "\n".join(lines) + "\n")
        append_line(gone, segment)
        os.unlink(self.segment_path(segment))  # noqa: PTH108
        Path(f"{self._text}/{segment}.ack").unlink(missing_ok=True)

    def fold_chain(self, chain: str) -> None:
        """A chain's writer is gone and its segments are delivered: what it dropped goes to its
        batches, and its small files are removed. Errors: OSError."""
        drops = Path(f"{self._text}/{chain}{DROPS_ENDING}")
        ledger = Ledger()
        ledger.add_drops(read_drops(os.fspath(drops)))
        for batch_id, counts in ledger.batches.items():
            self._fold_into(batch_id, chain, counts)
        for ending in (DROPS_ENDING, RESERVE_ENDING, LIVE_ENDING):
            Path(f"{self._text}/{chain}{ending}").unlink(missing_ok=True)

    def _fold_into(self, batch_id: str, name: str, counts: Counts) -> None:
        with locked(f"{self._text}/books.lock"):
            path = self.batch_path(batch_id)
            kept = _read_or_empty(path)
            if name in kept.get("folded", []):
                return
            total = Counts.from_json(kept.get("counts", {}))
            total.add(counts)
            kept["batch_id"] = batch_id
            kept["counts"] = total.to_json()
            kept["folded"] = [*kept.get("folded", []), name][-_FOLDED_KEPT:]
            write_text_whole(path, dumps(kept))

    def batch_path(self, batch_id: str) -> Path:
        """The file of what outlives a batch's segments."""
        digest = hashlib.sha256(batch_id.encode()).hexdigest()[:8]
        return self.folder / "batches" / f"{slug(batch_id, 60)}-{digest}.json"

    # --- What the server refused ---

    def set_aside(
        self, *, line: bytes, reason: str, status: int | None, upload: dict[str, Any] | None = None
    ) -> None:
        """Keep what will never be accepted, with the server's words. Errors: OSError."""
        event = None
        if line:
            try:
                event = json.loads(line)
            except ValueError:
                event = {"unreadable": line.decode("utf-8", "replace")}
        kept = {
            "at": time.time(),
            "event_id": (event or {}).get("event_id") or (upload or {}).get("id"),
            "status": status,
            "reason": reason[:2000],
            "event": event,
            "upload": upload,
        }
        with locked(f"{self._text}/books.lock"):
            append_line(self.folder / "aside.jsonl", dumps(kept))

    def aside(self) -> list[dict[str, Any]]:
        """What was set aside, each once."""
        try:
            lines = (self.folder / "aside.jsonl").read_bytes().splitlines()
        except OSError:
            return []
        found: dict[str, dict[str, Any]] = {}
        for line in lines:
            try:
                value = json.loads(line)
            except ValueError:
                continue
            found.setdefault(str(value.get("event_id")), value)
        return list(found.values())

    def drop_aside(self, event_ids: set[str] | None, reason: str) -> int:
        """Give up what was set aside (those named, or all); returns how many. Errors: OSError."""
        with locked(f"{self._text}/books.lock"):
            kept = self.aside()
            given_up = [
                value for value in kept if event_ids is None or value["event_id"] in event_ids
            ]
            for value in given_up:
                batch_id = (value.get("event") or {}).get("batch_id")
                if batch_id:
                    path = self.batch_path(str(batch_id))
                    book = _read_or_empty(path)
                    counts = Counts.from_json(book.get("counts", {}))
                    counts.set_aside -= 1
                    counts.drop(reason)
                    write_json(path, book | {"batch_id": batch_id, "counts": counts.to_json()})
            ids = {value["event_id"] for value in given_up}
            left = [dumps(value) + "\n" for value in kept if value["event_id"] not in ids]
            write_text_whole(self.folder / "aside.jsonl", "".join(left))
        return len(given_up)

    # --- Accounts ---

    def accounts(self) -> list[Account]:
        """Every batch's account, oldest first as far as that is known."""
        return [Account.of(batch_id, counts) for batch_id, counts in self._ledger().batches.items()]

    def account(self, batch_id: str) -> Account:
        """One batch's account; all zeros where it is not known here."""
        return Account.of(batch_id, self._ledger().of(batch_id))

    def waiting_events(self) -> Iterator[tuple[str, bytes]]:
        """Segment and line of every event that has not been acknowledged."""
        for segment in self.segments():
            try:
                reader = SegmentReader(self.segment_path(segment), self.read_ack(segment)[0])
            except OSError:
                continue
            try:
                while entries := reader.read():
                    for entry in entries:
                        if entry.line:
                            yield segment, entry.line
                    reader.take(entries[-1])
            finally:
                reader.close()

    def has_waiting(self) -> bool:
        """Whether anything has not been acknowledged; looks at the beginning of each segment's
        rest only."""
        for segment in self.segments():
            try:
                reader = SegmentReader(self.segment_path(segment), self.read_ack(segment)[0])
            except OSError:
                continue
            try:
                if any(entry.line or entry.upload for entry in reader.read(4096)):
                    return True
            finally:
                reader.close()
        return False

    def _ledger(self) -> Ledger:
        ledger = Ledger()
        folded: set[str] = set()
        for path in sorted((self.folder / "batches").glob("*.json"), key=_age):
            kept = _read_or_empty(path)
            if "counts" in kept:
                folded |= set(kept.get("folded", []))
                ledger.of(str(kept["batch_id"])).add(Counts.from_json(kept["counts"]))
        batch_of_series: dict[str, str] = {}
        for segment in self.segments():
            if segment not in folded:
                self._add_segment(segment, ledger, batch_of_series)
        for chain in self.chains() - folded:
            ledger.add_drops(read_drops(f"{self._text}/{chain}{DROPS_ENDING}"))
        return ledger

    def _add_segment(self, segment: str, ledger: Ledger, batch_of_series: dict[str, str]) -> None:
        offset, acknowledged = self.read_ack(segment)
        ledger.add(acknowledged)
        try:
            reader = SegmentReader(self.segment_path(segment), offset)
        except OSError:
            return
        try:
            while entries := reader.read():
                for entry in entries:
                    count_entry(entry.line, entry.torn, entry.dropped, ledger, batch_of_series)
                reader.take(entries[-1])
            torn = reader.torn_end()
            if torn and not self.is_live(segment.rsplit(".", 1)[0]):
                count_entry(b"", torn, {}, ledger, batch_of_series)
        finally:
            reader.close()


def count_entry(
    line: bytes,
    torn: bytes | None,
    dropped: dict[str, dict[str, Any]],
    ledger: Ledger,
    batch_of_series: dict[str, str],
) -> str | None:
    """Count one entry as waiting (a torn one as dropped); returns the batch of its event."""
    batch_id = None
    if line:
        prefix, number = _series(line)
        batch_id = batch_of_series.get(prefix)
        if batch_id is None:
            try:
                batch_id = batch_of_series[prefix] = batch_of(line)
            except (ValueError, KeyError):
                return None
        counts = ledger.of(batch_id)
        counts.saw(prefix, number)
        counts.waiting += 1
    if torn and (series := torn_series(torn)) and series[0] in batch_of_series:
        counts = ledger.of(batch_of_series[series[0]])
        counts.saw(*series)
        counts.drop("torn")
    ledger.add_drops(dropped)
    return batch_id


def _series(line: bytes) -> tuple[str, int]:
    try:
        series = torn_series(line)
    except ValueError:
        series = None
    return series or ("", 0)


def _age(path: Path) -> float:
    try:
        return path.stat().st_ctime
    except OSError:
        return 0.0


def _read_or_empty(path: Path) -> dict[str, Any]:
    try:
        value = read_json(path)
    except (OSError, ValueError):
        return {}
    return value if isinstance(value, dict) else {}
