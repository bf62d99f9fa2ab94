from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from argus_tasks.server.profile import configured_api_url

URL = "http://team.example:4200/api"
OTHER = "http://other.example:4200/api"


@pytest.fixture(autouse=True)
def nothing_set(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in list(os.environ):
        if name.startswith(("PREFECT_", "ARGUS_")):
            monkeypatch.delenv(name)
    home = tmp_path / "home"
    work = tmp_path / "work"
    home.mkdir()
    work.mkdir()
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.chdir(work)
    return home


def write_profiles(path: Path, active: str = "team") -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(
        f'active = "{active}"\n[profiles.team]\nPREFECT_API_URL = "{URL}"\n'
        f'[profiles.other]\nPREFECT_API_URL = "{OTHER}"\n[profiles.ephemeral]\n'
    )


def what_prefect_says() -> str:
    code = "from prefect.settings import PREFECT_API_URL as u; print(u.value() or '')"
    return subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    ).stdout.strip()


def test_nothing_set_means_the_embedded_server() -> None:
    assert configured_api_url() is None


def test_environment_wins(nothing_set: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_profiles(nothing_set / ".prefect" / "profiles.toml")
    monkeypatch.setenv("PREFECT_API_URL", OTHER)
    assert configured_api_url() == OTHER


def test_our_own_url_in_the_environment_is_not_the_users(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PREFECT_API_URL", OTHER)
    monkeypatch.setenv("ARGUS_TASKS_EMBEDDED_API_URL", OTHER)
    assert configured_api_url() is None
    monkeypatch.setenv("PREFECT_API_URL", URL)
    assert configured_api_url() == URL


def test_active_profile_as_prefect_reads_it(nothing_set: Path) -> None:
    write_profiles(nothing_set / ".prefect" / "profiles.toml")
    assert configured_api_url() == URL == what_prefect_says()


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("PREFECT_PROFILE", "other", OTHER),
        ("PREFECT_PROFILE", "ephemeral", None),
        ("PREFECT_PROFILE", "no such profile", None),
    ],
)
def test_chosen_profile(
    nothing_set: Path,
    monkeypatch: pytest.MonkeyPatch,
    name: str,
    value: str,
    expected: str | None,
) -> None:
    write_profiles(nothing_set / ".prefect" / "profiles.toml")
    monkeypatch.setenv(name, value)
    assert configured_api_url() == expected


def test_profiles_elsewhere(
    nothing_set: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_profiles(tmp_path / "elsewhere" / "profiles.toml", "other")
    monkeypatch.setenv("PREFECT_HOME", str(tmp_path / "elsewhere"))
    assert configured_api_url() == OTHER
    write_profiles(tmp_path / "third.toml", "team")
    monkeypatch.setenv("PREFECT_PROFILES_PATH", str(tmp_path / "third.toml"))
    assert configured_api_url() == URL


@pytest.mark.parametrize(
    ("file", "text"),
    [
        (".env", f'PREFECT_API_URL="{URL}"\n'),
        ("prefect.toml", f'[api]\nurl = "{URL}"\n'),
        ("pyproject.toml", f'[tool.prefect.api]\nurl = "{URL}"\n'),
    ],
)
def test_files_of_the_working_folder_as_prefect_reads_them(file: str, text: str) -> None:
    Path(file).write_text(text)
    assert configured_api_url() == URL == what_prefect_says()


def test_a_file_that_cannot_be_read_is_prefects_business(nothing_set: Path) -> None:
    path = nothing_set / ".prefect" / "profiles.toml"
    path.parent.mkdir()
    path.write_text("active = \n")
    assert configured_api_url() is None
