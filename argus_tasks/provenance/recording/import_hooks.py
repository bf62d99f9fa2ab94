"""The hooks by which a process records what it loads: its loader, an audit hook, a finder."""

from __future__ import annotations

import _thread
import os
import sys
from _frozen_importlib_external import PathFinder, SourceFileLoader

from argus_tasks.provenance.recording.bytecode import cached_code, compiled_code
from argus_tasks.provenance.recording.content import read_file, sha256_hex
from argus_tasks.provenance.recording.record_journal import (
    VARIABLE,
    packed,
    recording_environment,
    records_by,
    unpacked,
)
from argus_tasks.provenance.recording.recorder import BINARY, CONFIG, MODULE, READ, SCRIPT, Recorder
from argus_tasks.provenance.recording.scope import (
    ARCHIVE_SUFFIXES,
    CONFIG_SUFFIXES,
    INSTALLED_FOLDERS,
    SOURCE_SUFFIXES,
    CodeScope,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from importlib.machinery import ModuleSpec
    from types import CodeType, FrameType, ModuleType
    from typing import Any

_KEPT = (*SOURCE_SUFFIXES, *CONFIG_SUFFIXES)
_OPENED = (*_KEPT, *ARCHIVE_SUFFIXES, ".pyc")
_WRITES = os.O_WRONLY | os.O_RDWR
# Whoever reads a source only to show a line of it.
_SHOWS_LINES = ("traceback.py", "warnings.py", "linecache.py", "tokenize.py", "codecs.py")

_original_get_code = SourceFileLoader.get_code
_installed: Recorder | None = None


def install(scope: CodeScope, *, tell_to: str | None = None) -> Recorder:
    """Record what this process loads from now on, and what it has loaded already. Once a process.

    It must come before user code is imported, and cannot be taken back. `tell_to`: the address of
    the journal of a parent process, in a child.
    """
    global _installed
    if _installed is not None:
        return _installed
    recorder = _installed = Recorder(scope, tell_to, hooked=True)
    hooks = _Hooks(recorder)
    recorder.scan()
    SourceFileLoader.get_code = hooks.get_code_method()  # type: ignore[method-assign]
    places = [at for at, finder in enumerate(sys.meta_path) if finder is PathFinder]
    sys.meta_path.insert(places[0] if places else len(sys.meta_path), _Finder(recorder))
    sys.addaudithook(hooks.audit_hook())
    # The threads that a fork does not take along are not quiet in it.
    os.register_at_fork(after_in_child=recorder.quiet_threads.clear)
    return recorder


def installed() -> Recorder | None:
    """The recorder of this process; None where there is none."""
    return _installed


def tell_children(recorder: Recorder) -> None:
    """Make the Python processes that this one starts record too, by their environment."""
    recording_environment(os.environ, child_value(recorder))


def child_value(recorder: Recorder) -> str:
    """What `VARIABLE` is to be in the environment of a child process."""
    journal = recorder.journal
    address = journal.address if journal is not None else recorder.tells_to or ""
    scope = recorder.scope
    copied_from = scope.tops[1] if scope.tops[1:] else ""
    return packed((address, scope.top, scope.results_root, copied_from, *scope.editable))


def start_in_child() -> None:
    """Record in a process that has `VARIABLE` in its environment; nothing without."""
    value = os.environ.get(VARIABLE)
    if value and sys.version_info >= (3, 8):
        address, top, results_root, copied_from, *editable = unpacked(value)
        install(CodeScope(top, results_root, tuple(editable), copied_from), tell_to=address)


class _Finder:
    """Stands before Python's own finder, asks it, and notes where a name was not found."""

    def __init__(self, recorder: Recorder) -> None:
        self._recorder = recorder
        self._folders: dict[str, tuple[str, bool]] = {}

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        spec = PathFinder.find_spec(name, path, target)
        try:
            self._note(name, sys.path if path is None else path, spec)
        except Exception:  # noqa: BLE001, S110 - an import never fails because of us
            pass
        return spec

    def _note(self, name: str, path: Sequence[str], spec: ModuleSpec | None) -> None:
        recorder = self._recorder
        last = name.rpartition(".")[2]
        place = None  # the folder in which it was found
        if spec is not None and spec.origin is not None and spec.loader is not None:
            place = os.path.dirname(spec.origin)
            if spec.submodule_search_locations is not None:
                place = os.path.dirname(place)
        for entry in path:
            if type(entry) is not str:
                continue
            if entry == place:
                break
            folder, counts = self._folders.get(entry) or self._looked_at(entry)
            if folder == place:
                break
            if counts:
                recorder.missed(folder, last, bare=spec is None)
        if spec is not None and spec.loader is None:  # a package without `__init__.py`
            for portion in spec.submodule_search_locations or ():
                if recorder.scope.counts_folder(portion):
                    recorder.missed(os.path.abspath(portion), "__init__", bare=False)
        elif place is not None and "." not in name and place.endswith(INSTALLED_FOLDERS):
            recorder.found_installed(name, place)

    def _looked_at(self, entry: str) -> tuple[str, bool]:
        """The folder of an entry of the search path, and whether what lies there may be code."""
        folder = os.path.abspath(entry)
        # Editable installs put entries there that are no paths, for hooks of their own.
        is_path = os.path.isabs(entry) or os.path.isdir(folder)
        counts = (
            is_path and not os.path.isfile(folder) and self._recorder.scope.counts_folder(folder)
        )
        if os.path.isabs(entry):
            self._folders[entry] = (folder, counts)
        return folder, counts


class _Hooks:
    def __init__(self, recorder: Recorder) -> None:
        self._recorder = recorder
        self._scope = recorder.scope
        self._busy = recorder.quiet_threads
        self._ready: set[str] = set()  # read by us, and about to be executed

    def get_code_method(self) -> Any:
        """The method of source loaders that reads a file once, and compiles what was hashed."""
        read, scope = self._read_source, self._scope

        def get_code(self: SourceFileLoader, fullname: str) -> CodeType | None:
            path = self.get_filename(fullname)
            if type(self) is SourceFileLoader and scope.counts(path):
                found = read(path)
                if found is not None:
                    data, status = found
                    code = cached_code(path, data, status)
                    return compiled_code(self, path, data, status) if code is None else code
            return _original_get_code(self, fullname)

        return get_code

    def _read_source(self, path: str) -> tuple[bytes, os.stat_result] | None:
        path = os.path.abspath(path)
        me = _thread.get_ident()
        self._busy.add(me)
        try:
            data, status = read_file(path)
            # What a run wrote before it loaded it is its own work.
            if path not in self._recorder.written or path in self._recorder.files:
                self._recorder.saw(path, sha256_hex(data), MODULE, source=data, status=status)
            self._ready.add(path)
        except Exception:  # noqa: BLE001 - Python's own loader then says what is wrong
            return None
        else:
            return data, status
        finally:
            self._busy.discard(me)

    def audit_hook(self) -> Callable[[str, tuple[Any, ...]], None]:
        """The audit hook: it sees each `open` and each module's code that is executed.

        Python calls it for every event, of which `id(x)` is one: what is not for us must cost as
        little as can be (a bound method with a few comparisons made `copy.deepcopy` four times as
        slow).
        """
        watched, handle = frozenset(("open", "exec", *_HANDLED)), self._audited

        def audit(event: str, args: tuple[Any, ...]) -> None:
            if event in watched:
                handle(event, args)

        return audit

    def _audited(self, event: str, args: tuple[Any, ...]) -> None:
        if event == "open":
            path = args[0]
            if type(path) is not str:
                if type(path) is not bytes:
                    return
                path = os.fsdecode(path)
            if not path.endswith(_OPENED):
                return
            handle: Any = self._opened
            words: tuple[Any, ...] = (path, args[1], args[2])
        elif event == "exec":
            code = args[0]
            if code.co_name != "<module>" or code.co_filename[:1] == "<":
                return
            handle, words = self._executed, (code.co_filename,)
        else:
            handle, words = getattr(self, _HANDLED[event]), args
        me = _thread.get_ident()
        if me in self._busy:
            return
        self._busy.add(me)
        try:
            handle(*words)
        except Exception:  # noqa: BLE001, S110 - nothing of the user's fails because of us
            pass
        finally:
            self._busy.discard(me)

    def _opened(self, path: str, mode: str | None, flags: int) -> None:
        path = os.path.abspath(path)
        recorder, scope = self._recorder, self._scope
        if flags & _WRITES or (mode and mode.strip("rbtU")):
            if scope.counts(path):
                recorder.wrote(path)
            return
        if path in recorder.written:
            return
        if path.endswith(SOURCE_SUFFIXES):
            if scope.counts(path) and os.path.isfile(path) and not self._only_shown(path):
                recorder.saw_now(path, READ, foreign=False)
                self._ready.add(path)
        elif path.endswith(CONFIG_SUFFIXES):
            if scope.counts_as_config(path) and os.path.isfile(path):
                recorder.saw_now(path, CONFIG, foreign=False)
        elif path.endswith(".pyc"):
            if "__pycache__" not in path and scope.counts(path):
                recorder.saw_now(path, MODULE, foreign=False)
        elif path in sys.path and scope.counts(path):
            recorder.saw_now(path, BINARY, foreign=False)

    def _only_shown(self, path: str) -> bool:
        """Whether the source of a loaded module is opened to show lines of it."""
        if path not in self._recorder.files:
            return False
        frame: FrameType | None = sys._getframe(2)
        for _ in range(8):
            frame = None if frame is None else frame.f_back
            if frame is None:
                return False
            name = os.path.basename(frame.f_code.co_filename)
            if name in ("traceback.py", "warnings.py"):
                return True
            if name not in _SHOWS_LINES and frame.f_code.co_filename != __file__:
                return False
        return False

    def _executed(self, name: str) -> None:
        path = os.path.abspath(name)
        if path in self._ready:
            self._ready.discard(path)
            seen = self._recorder.files.get(path)
            if seen is not None and seen.kind == READ:
                self._recorder.saw(path, seen.digest, SCRIPT, unsure=seen.unsure)
        elif path in self._recorder.written or not self._scope.counts(path):
            return
        elif os.path.isfile(path):
            self._recorder.saw_now(path, SCRIPT, foreign=True)

    def _loads_binary(self, *args: Any) -> None:
        name = args[1] if len(args) > 1 else args[0]
        if type(name) is str:
            path = os.path.abspath(name)
            if self._scope.counts(path) and os.path.isfile(path):
                self._recorder.saw_now(path, BINARY, foreign=False)

    def _renamed(self, source: Any, target: Any, *_: Any) -> None:
        before, after = os.path.abspath(os.fsdecode(source)), os.path.abspath(os.fsdecode(target))
        recorder, below = self._recorder, f"{before}{os.sep}"
        for path in [path for path in list(recorder.written) if path.startswith(below)]:
            recorder.wrote(f"{after}{os.sep}{path.removeprefix(below)}")
        # A file that is put in place from a name that nobody watches was written under that.
        put = after.endswith(_KEPT) and not before.endswith(_KEPT) and self._scope.counts(after)
        if before in recorder.written or put:
            recorder.wrote(after)

    def _starts_process(self, program: Any, words: Any, *rest: Any) -> None:
        environment = rest[-1]
        words = [os.fsdecode(word) for word in words] if isinstance(words, list | tuple) else []
        folder = rest[0] if len(rest) > 1 and rest[0] is not None else os.getcwd()
        given = os.environ if environment is None else environment
        told = records_by({os.fsdecode(key): os.fsdecode(text) for key, text in given.items()})
        name = os.path.basename(os.fsdecode(program or (words[0] if words else "")))
        options = [word for word in words[1:] if word[:1] == "-" and word[:2] != "--"]
        ignoring = any(set("EIS") & set(word[1:]) for word in options if word[1:].isalpha())
        if (told and not ignoring) or not name.startswith("python"):
            return
        for word in words[1:]:
            if word.endswith(SOURCE_SUFFIXES):
                path = os.path.abspath(os.path.join(os.fsdecode(folder), word))
                if self._scope.counts(path):
                    self._recorder.cannot_follow(path)


_HANDLED = {
    "import": "_loads_binary",
    "ctypes.dlopen": "_loads_binary",
    "os.rename": "_renamed",
    "os.link": "_renamed",
    "subprocess.Popen": "_starts_process",
    "os.exec": "_starts_process",
    "os.posix_spawn": "_starts_process",
}
