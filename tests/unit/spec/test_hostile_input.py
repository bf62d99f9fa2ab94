"""Small files that ask for much: one sentence, within a second of work."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import pytest

from argus_tasks.base.errors import BadInput
from argus_tasks.reporting import target
from argus_tasks.spec.document import Document
from argus_tasks.spec.expansion import expand
from argus_tasks.spec.json_reader import read_json
from argus_tasks.spec.sweep_spec import SweepSpec
from argus_tasks.spec.yaml_reader import read_yaml

N = 50_000
BOMB = "a: &a [x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"{here}: &{here} [{', '.join([f'*{below}'] * 9)}]\n"
    for below, here in zip("abcdefghijk", "bcdefghijkl", strict=True)
)
MERGES = "a: &a {x: 1}\n" + "".join(
    f"{here}: &{here} {{<<: [{', '.join([f'*{below}'] * 9)}]}}\n"
    for below, here in zip("abcdefghijk", "bcdefghijkl", strict=True)
)

YAML = {
    BOMB: "f: its aliases stand for more than 50,000 values.",
    MERGES: "f: its aliases stand for more than 50,000 values.",
    "a: " + "[" * N: "f:1: the values are nested deeper than 32 levels.",
    "{a: " * N: "f:1: the values are nested deeper than 32 levels.",
    "- " * N: "f:1: the values are nested deeper than 32 levels.",
    "? " * N: "f:1: the values are nested deeper than 32 levels.",
    "a: 0x" + "f" * 5_000: f"'0x{'f' * 38}' cannot be read as a number; quote it if it is text.",
    "a: " + "9" * 5_000: f"'{'9' * 40}' cannot be read as a number; quote it if it is text.",
    "a: 1" + "0" * 400: f"'1{'0' * 39}' cannot be read as a number; quote it if it is text.",
    "a: 1e" + "9" * 5_000: f"'1e{'9' * 38}' cannot be read as a number; quote it if it is text.",
    "a: '" + "${" * N + "'": "",
}
JSON = {
    "[" * N: "f: not JSON: maximum recursion depth exceeded",
    '{"a":' * N: "f: not JSON: maximum recursion depth exceeded",
    '{"a": ' + "9" * 5_000 + "}": "f: not JSON: a number has 5,000 digits, expected at most 300.",
    '{"a": 1e999}': "f: not JSON: 1e999 is too large a number.",
}


@pytest.mark.parametrize(
    ("text", "said"), [*YAML.items(), *JSON.items()], ids=range(len(YAML) + len(JSON))
)
def test_it_is_one_sentence_within_a_second(text: str, said: str) -> None:
    read = read_json if text in JSON else read_yaml
    began = time.process_time()
    try:
        found: Document = read(text, "f", {})
        sentences = [problem.sentence for problem in found.problems]
    except BadInput as error:
        sentences = [str(error)]
    assert time.process_time() - began < 1
    assert sentences == [] if not said else sentences[0].startswith(said)


def test_aliases_as_people_use_them_are_read() -> None:
    variants = "".join(f"  - {{<<: *common, lr: {n}}}\n" for n in range(1_000))
    text = f"base: &common {{a: 1, b: [1, 2], c: {{d: 1}}}}\nvariants:\n{variants}"
    found = read_yaml(text, "f", {})
    assert not found.problems
    assert found.value["variants"][999] == {"a": 1, "b": [1, 2], "c": {"d": 1}, "lr": 999}


def test_numbers_up_to_the_limit_are_numbers() -> None:
    digits = "9" * 300
    assert read_yaml(f"a: {digits}", "f", {}).value == {"a": int(digits)}
    assert read_json(f'{{"a": {digits}}}', "f", {}).value == {"a": int(digits)}


def test_a_size_beyond_all_digits_is_said() -> None:
    digits = 10**3_000
    drawn = {"n": digits, "space": {"x": {"uniform": [0, 1]}}}
    given = {"random": drawn, "repeats": {"n": digits}}
    with pytest.raises(BadInput, match="the sweep has more than 10\\^15 configs; expected at most"):
        expand(SweepSpec.from_mapping({**given, "experiment": "a:b"}))


def test_the_command_line_says_it_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "bomb.yaml").write_text(BOMB)
    done = subprocess.run(
        [sys.executable, "-m", "argus_tasks", "plan", "bomb.yaml"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 2
    said = "argus-tasks: bomb.yaml: its aliases stand for more than 50,000 values.\n"
    assert (done.stdout, done.stderr) == ("", said)


@pytest.mark.parametrize("text", [MERGES, "[" * N, "[" * 9_000, "url: " + "9" * 5_000])
def test_a_monitor_file_costs_no_more(
    text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("ARGUS_URL", raising=False)
    (tmp_path / "configs").mkdir()
    (tmp_path / "configs" / "monitor.yaml").write_text(text)
    began = time.process_time()
    assert target.server_url() is None
    assert time.process_time() - began < 1
