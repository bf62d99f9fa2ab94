"""The `command` of a sweep file: a command line with keys of the config in braces."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from argus_tasks.base.errors import BadInput, did_you_mean
from argus_tasks.base.files import dumps
from argus_tasks.base.jsonable import to_jsonable
from argus_tasks.base.nested import MISSING, flatten, reach
from argus_tasks.spec.shell_quoting import unsafe_key
from argus_tasks.spec.templates import check_template, fill_template, template_keys

SCHEMES = ("command:", "shell:")
"""The beginnings of an experiment's path that is a command line, without and with a shell."""

ALL_ARGUMENTS = "args"
RUN_KEYS = (ALL_ARGUMENTS, "run_dir", "run_id", "config_file")
"""Keys that a command may name besides the config's; a config's key of the same name wins."""

_PYTHONS = ("python", "python3")
_SHELLS = frozenset({"sh", "bash", "dash", "zsh", "ksh"})
_PLAIN_WORD = re.compile(r"[\w@%+=:,./{}-]+", re.ASCII)
_LONGEST_SHOWN = 80


@dataclass(frozen=True, slots=True)
class Command:
    """A command line before its keys are filled in.

    Attributes:
        words: the words; with `shell`, the whole text as one word.
        shell: whether `/bin/sh` runs the text.
    """

    words: tuple[str, ...]
    shell: bool = False

    @classmethod
    def from_path(cls, path: str) -> Command:
        """The command of `command:...` or `shell:...`. Raises BadInput as `from_text` does."""
        scheme, _, text = path.partition(":")
        return cls.from_text(text, shell=scheme == "shell")

    @classmethod
    def from_text(cls, text: str, *, shell: bool = False) -> Command:
        """The command of a text. Raises BadInput if quotes or braces do not match."""
        try:
            words = (text,) if shell else tuple(shlex.split(text))
        except ValueError:
            raise BadInput(f"command is {_shown(text)}; expected quotes that match.") from None
        return cls.from_words(words, shell=shell)

    @classmethod
    def from_words(cls, words: Sequence[str], *, shell: bool = False) -> Command:
        """The command of a list of words. Raises BadInput if the list is empty, or braces do not
        match."""
        if not words or not words[0].strip():
            raise BadInput("command is empty; expected a command line such as 'python train.py'.")
        command = cls(tuple(words), shell)
        for word in words:
            try:
                check_template(word)
            except ValueError:
                raise BadInput(
                    f"command has {_shown(word)}; expected keys of the config in braces such as"
                    " {lr}, and {{ or }} for a plain brace."
                ) from None
            if f"{{{ALL_ARGUMENTS}}}" in word and not shell and word != f"{{{ALL_ARGUMENTS}}}":
                raise BadInput(f"command has {_shown(word)}; expected {{args}} as its own word.")
        command._check_shell()
        return command

    def _check_shell(self) -> None:
        """Raise BadInput if a shell could execute a config's value instead of passing it as an
        argument."""
        if self.shell:
            found = unsafe_key(self.words[0])
            if found:
                raise BadInput(
                    f"command has {{{found[0]}}} in {found[1]}, where the shell would execute what"
                    f" is in its value; expected {{{found[0]}}} outside of them: its value is"
                    " quoted by itself."
                )
            return
        for flag, text in zip(self.words[1:], self.words[2:], strict=False):
            keys = template_keys(text)
            if keys and flag[:1] == "-" and flag[-1:] == "c" and self._begins_with_shell():
                raise BadInput(
                    f"command has {{{keys[0]}}} in a text for a shell, which would execute what is"
                    " in its value; expected the text as the command, with shell: true."
                )

    def _begins_with_shell(self) -> bool:
        words = (Path(word).name for word in self.words)
        return any(word in _SHELLS for word in words)

    @property
    def text(self) -> str:
        """The command line, spelled the same for every way to write it."""
        if self.shell:
            return self.words[0]
        return " ".join(w if _PLAIN_WORD.fullmatch(w) else shlex.quote(w) for w in self.words)

    @property
    def path(self) -> str:
        """The text that `from_path` takes."""
        return f"{SCHEMES[self.shell]}{self.text}"

    @property
    def name(self) -> str:
        """The script's name without its suffix, for a sweep that has no name."""
        for word in self.words[0].split() if self.shell else self.words:
            if word not in _PYTHONS and not word.startswith("-"):
                return Path(word).name.partition(".")[0] or "command"
        return "command"

    def check_keys(self, configs: Sequence[Mapping[str, Any]]) -> str:
        """Check that each config has all keys of the command.

        Returns:
            A sentence about the first key that is missing; empty if none is.
        """
        keys = [key for word in self.words for key in template_keys(word)]
        for key in dict.fromkeys(keys):
            lacking = [n for n, config in enumerate(configs) if reach(config, key) is MISSING]
            if not lacking or (key in RUN_KEYS and len(lacking) == len(configs)):
                continue
            known = list(dict.fromkeys(name for config in configs for name in flatten(config)))
            if len(lacking) == len(configs):
                hint = did_you_mean(key, known) or f" There are {', '.join(known)}."
                return f"command names {{{key}}}, which no config has.{hint}"
            return (
                f"command names {{{key}}}, which {len(lacking)} of {len(configs)} configs lack,"
                f" the first of them {_shown(dumps(to_jsonable(configs[lacking[0]])))};"
                " expected a key of all, or {args}."
            )
        return ""

    def check_place(self, folder: Path) -> None:
        """Raise BadInput if the folder, or the program that the command names, does not exist."""
        if not folder.is_dir():
            raise BadInput(f"cwd is '{folder}'; expected an existing folder.")
        first = self.words[0]
        if self.shell or template_keys(first) or first in _PYTHONS:
            return
        found = os.access(folder / first, os.X_OK) if "/" in first else shutil.which(first)
        if not found:
            where = folder if "/" in first else "PATH"
            raise BadInput(f"command begins with '{first}', which is not a program in {where}.")

    def filled(self, config: Mapping[str, Any], run: Mapping[str, str]) -> list[str]:
        """The words to execute for a config.

        Args:
            config: the config.
            run: the values of `RUN_KEYS`, except for `args`.

        Raises:
            BadInput: for a key that does not exist.
        """

        def text_of(key: str) -> str:
            value = reach(config, key)
            if value is not MISSING:
                return argument_text(value)
            if key == ALL_ARGUMENTS:
                return shlex.join(all_arguments(config))
            if key not in run:
                raise BadInput(f"command names {{{key}}}, which the config lacks.")
            return run[key]

        if self.shell:

            def quoted(key: str) -> str:
                many = key == ALL_ARGUMENTS and key not in config
                return text_of(key) if many else shlex.quote(text_of(key))

            return ["/bin/sh", "-c", fill_template(self.words[0], quoted)]
        filled: list[str] = []
        for word in self.words:
            if word == f"{{{ALL_ARGUMENTS}}}" and ALL_ARGUMENTS not in config:
                filled += all_arguments(config)
            else:
                filled.append(fill_template(word, text_of))
        if filled[0] in _PYTHONS:
            filled[0] = sys.executable
        return filled


def argument_text(value: Any) -> str:
    """A config's value as an argument: text unchanged, everything else as JSON."""
    plain = to_jsonable(value)
    return plain if isinstance(plain, str) else dumps(plain)


def all_arguments(config: Mapping[str, Any]) -> list[str]:
    """`--key=value` for every key, with dotted keys for nested values."""
    return [f"--{key}={argument_text(value)}" for key, value in flatten(config).items()]


def _shown(text: str) -> str:
    return repr(text if len(text) <= _LONGEST_SHOWN else f"{text[: _LONGEST_SHOWN - 3]}...")
