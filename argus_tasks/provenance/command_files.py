"""The code of a command: what it names, and what lies around that in the same language."""

from __future__ import annotations

import os
import shlex
from collections.abc import Sequence

from argus_tasks.provenance.recording.recorder import SCRIPT, Recorder
from argus_tasks.provenance.recording.scope import SOURCE_SUFFIXES
from argus_tasks.provenance.static_imports import neighbouring_files


class CommandFiles:
    """The files of one run of a command.

    Python programs tell themselves what they load. Of others, the files of the command line that
    lie in the project are noted, and those of the first one's language in its folder tree.
    """

    def __init__(self, recorder: Recorder, words: Sequence[str], folder: str) -> None:
        self._recorder = recorder
        self._python: list[str] = []
        if words[:2] == ["/bin/sh", "-c"]:
            words = _words_of(words[2])
        first = True
        for word in words:
            path = os.path.abspath(os.path.join(folder, word))
            if not os.path.isfile(path) or not recorder.scope.counts_folder(os.path.dirname(path)):
                continue
            if path.endswith(SOURCE_SUFFIXES):
                self._python.append(path)
            else:
                files = neighbouring_files(path, recorder.scope)[0] if first else [path]
                with recorder.quiet():
                    for each in files:
                        recorder.saw_now(each, SCRIPT, foreign=False)
            first = False

    def ended(self) -> None:
        """The command has ended: what a Python program could not tell is read from its imports."""
        with self._recorder.quiet():
            self._recorder.catch_up()
        for path in self._python:
            if path not in self._recorder.files:
                self._recorder.cannot_follow(path)


def _words_of(text: str) -> list[str]:
    """The words of a shell's text, as far as they can be told apart."""
    try:
        return shlex.split(text, comments=True)
    except ValueError:
        return text.split()
