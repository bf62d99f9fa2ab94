"""What `argus-tasks doctor` says of Prefect."""

from __future__ import annotations

import json
import subprocess
from typing import Any

import pytest

from argus_tasks.cli.doctor import hooks
from argus_tasks.prefect_compat.all_hooks import all_hooks


def test_every_hook_is_active_on_the_pinned_versions() -> None:
    found = hooks()
    assert {(result.level, result.what) for result in found} == {("good", "hook")}
    assert [result.said.partition(": active: ")[0] for result in found] == [
        hook.name for hook in all_hooks()
    ]


def test_one_that_stands_back_is_told_with_its_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    hook = {"name": "h", "does": "d", "without": "slower", "stands_back": "it has changed"}

    def done(*_: Any, **__: Any) -> subprocess.CompletedProcess[str]:
        return subprocess.CompletedProcess([], 0, json.dumps([hook]), "")

    monkeypatch.setattr(subprocess, "run", done)
    (found,) = hooks()
    assert (found.level, found.said) == ("warning", "h: stands back (it has changed): slower")
