"""A command's words: split before the values go in, so that a value stays one argument."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from argus_tasks.base.errors import BadInput
from argus_tasks.experiments.experiment import experiment_from
from argus_tasks.planning.resolve import resolve
from argus_tasks.spec.command_line import Command
from argus_tasks.spec.expansion import expand
from argus_tasks.spec.sweep_spec import load_sweep_file

RUN = {"run_dir": "/r", "run_id": "id", "config_file": "/r/config.json"}


def filled(text: str, config: dict[str, Any], *, shell: bool = False) -> list[str]:
    return Command.from_text(text, shell=shell).filled(config, RUN)


def test_a_value_stays_one_argument() -> None:
    config = {"text": "a b 'c' \"d\" $HOME; rm -rf *", "n": {"deep": [1, 2.5, None]}, "on": True}
    assert filled("./x --text {text} --n={n.deep} {on} {{}} 'two words'", config) == [
        "./x",
        "--text",
        "a b 'c' \"d\" $HOME; rm -rf *",
        "--n=[1,2.5,null]",
        "true",
        "{}",
        "two words",
    ]


def test_python_at_the_front_is_this_one() -> None:
    assert filled("python -m a", {}) == [sys.executable, "-m", "a"]
    assert filled("python3 a.py", {})[0] == sys.executable
    assert filled("./python a.py python", {}) == ["./python", "a.py", "python"]


def test_all_arguments_and_places() -> None:
    config = {"lr": 1e-05, "optim": {"name": "adam w", "beta": 0.9}}
    assert filled("./x {args} {run_dir}/out {run_id} {config_file}", config) == [
        "./x",
        "--lr=1e-05",
        "--optim.name=adam w",
        "--optim.beta=0.9",
        "/r/out",
        "id",
        "/r/config.json",
    ]
    assert filled("./x {args} {run_dir}", {"args": "mine", "run_dir": 3}) == ["./x", "mine", "3"]


@given(st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=40))
def test_a_shell_gives_a_value_as_one_argument(text: str) -> None:
    words = filled("printf '%s|' {text} {args} | cat", {"text": text}, shell=True)
    assert words[:2] == ["/bin/sh", "-c"]
    done = subprocess.run(words, capture_output=True, check=True)
    assert done.stdout.decode() == f"{text}|--text={text}|"


def test_ways_to_write_it_are_one_command() -> None:
    text = Command.from_text("python  train.py --lr {lr} 'a b'")
    words = Command.from_words(["python", "train.py", "--lr", "{lr}", "a b"])
    assert text == words
    assert text.path == "command:python train.py --lr {lr} 'a b'"
    assert Command.from_path(text.path) == text
    shell = Command.from_text("a | b  {x} 'c'", shell=True)
    assert Command.from_path(shell.path) == shell
    assert [
        Command.from_text(given).name for given in ("python -u a/train.v2.py", "./run.sh x")
    ] == [
        "train",
        "run",
    ]


PROBLEMS = {
    "command: python train.py --lr {lrr}\ngrid: {lr: [1]}\n": (
        "f:1: command names {lrr}, which no config has. Did you mean 'lr'?"
    ),
    "grid: {lr: [1]}\ncommand: echo {wibble}\n": (
        "f:2: command names {wibble}, which no config has. There are lr."
    ),
    "command: echo {p}\nvariants: [{m: a}, {m: b, p: 1}]\n": (
        "f:1: command names {p}, which 1 of 2 configs lack, the first of them"
        """ '{"m":"a"}'; expected a key of all, or {args}."""
    ),
    "command: echo 'a\n": 'f:1: command is "echo \'a"; expected quotes that match.',
    'command: "  "\n': (
        "f:1: command is empty; expected a command line such as 'python train.py'."
    ),
    'command: "echo {a"\n': (
        "f:1: command has '{a'; expected keys of the config in braces such as {lr}, and {{ or }}"
        " for a plain brace."
    ),
    "command: echo x{args}\n": "f:1: command has 'x{args}'; expected {args} as its own word.",
    "command: no-such-program\n": (
        "f:1: command begins with 'no-such-program', which is not a program in PATH."
    ),
    "command: ./no.sh\n": "f:1: command begins with './no.sh', which is not a program in HERE.",
    "command: echo\ncwd: nowhere\n": ("f:2: cwd is 'HERE/nowhere'; expected an existing folder."),
    "command: echo\nexperiment: a:b\n": ("f:1: command is given beside experiment; expected one."),
    "experiment: a:b\nshell: true\n": "f:2: shell is given without a command; expected both.",
    "command: [echo, a]\nshell: true\n": (
        "f:1: command is a list, and shell is true; expected a text for the shell."
    ),
    "command: [echo, 1]\n": (
        'f:1: command is ["echo", 1]; expected a command line, as text or as a list of texts.'
    ),
    "experiment: hydra:no.py\n": "experiment is 'hydra:no.py', but there is no file HERE/no.py.",
    "experiment: hydra:no\n": (
        "experiment is 'hydra:no'; expected a Hydra app such as 'hydra:path/to/app.py'."
    ),
}


@pytest.mark.parametrize("text", PROBLEMS, ids=range(len(PROBLEMS)))
def test_what_is_wrong_is_said_before_anything_starts(text: str, tmp_path: Path) -> None:
    file = tmp_path / "f.yaml"
    file.write_text(text)
    with pytest.raises(BadInput) as caught:
        resolve(file, results_root=tmp_path / "results")
    said = str(caught.value).replace(str(file), "f").replace(str(tmp_path.resolve()), "HERE")
    assert said == PROBLEMS[text]
    assert not (tmp_path / "results").exists()


def test_the_folder_is_part_of_what_it_is(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "f.yaml").write_text("command: echo {x}\ngrid: {x: [1]}\n")
    one, other = (resolve(tmp_path / name / "f.yaml").experiment for name in ("a", "b"))
    assert one.former_identity == f"command:echo {{x}} (in {tmp_path.resolve()}/a)"
    assert one.mark is not None
    assert other.mark is not None
    assert one.mark.match(other.mark) == "other"
    (tmp_path / "b" / "g.yaml").write_text("command: [echo, '{x}']\ncwd: ../a\ngrid: {x: [1]}\n")
    assert resolve(tmp_path / "b" / "g.yaml").experiment == one
    # As a batch's record has it, when the file is gone.
    assert experiment_from(str(one.path), Path(str(one.folder))) == one


def test_in_a_work_tree_the_folder_is_told_from_its_top(tmp_path: Path) -> None:
    git = ["git", "-C", str(tmp_path), "-c", "user.name=a", "-c", "user.email=a@b"]
    subprocess.run([*git, "init", "-q"], check=True)
    subprocess.run([*git, "commit", "-q", "--allow-empty", "-m", "x"], check=True)
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "f.yaml").write_text("command: echo\n")
    found = resolve(tmp_path / "a" / "f.yaml").experiment
    assert (found.identity, found.former_identity) == ("a:command:echo", "command:echo (in a)")


def test_a_file_with_a_command_has_configs(tmp_path: Path) -> None:
    (tmp_path / "f.json").write_text(json.dumps({"command": "echo {x}", "grid": {"x": [1, 2]}}))
    assert len(expand(load_sweep_file(tmp_path / "f.json")).configs) == 2


IN_A_SHELL = {
    "echo '{x}'": "quotes",
    'echo "{x}"': "quotes",
    'echo "a\\"{x}"': "quotes",
    "echo $'a\\'{x}'": "quotes",
    "echo $'a' {x}": "",
    "echo $'\\'' {x}": "quotes",
    'echo "$(echo "{x}")"': "quotes",
    'echo "$(case a in a) echo {x};; esac)"': "quotes",
    "echo `echo {x}`": "backticks",
    "echo $(( {x} + 1 ))": "arithmetic",
    "echo \\{x}": "a backslash",
    "cat <<EOF\n{x}\nEOF\n": "a here-document",
    "cat <<-'EOF'\n{x}\nEOF\n": "a here-document",
    "cat <<< {x}": "",
    "echo {x} > 'a b' | tee \"c d\" # don't": "",
    "echo a # don't\necho {x}": "",
    'echo "$(echo {x})" $(echo {x}) (echo {x})': "",
    "echo $((1 + 1)) {x}": "",
    "echo {{x}} '{{' {x}": "",
    "echo '{run_dir}/a'": "quotes",
    "cat {args} | tee '{run_dir}/out'": "quotes",
}


@pytest.mark.parametrize("text", IN_A_SHELL)
def test_a_key_where_a_shell_would_execute_its_value_is_refused(text: str) -> None:
    if not IN_A_SHELL[text]:
        Command.from_text(text, shell=True)
        return
    with pytest.raises(BadInput, match=f"in {IN_A_SHELL[text]}, where the shell would execute"):
        Command.from_text(text, shell=True)


ATTACKS = [
    "$(touch MARK)",
    "`touch MARK`",
    "'; touch MARK; '",
    '"; touch MARK; "',
    "\\'; touch MARK #",
]


@pytest.mark.parametrize(
    "text", [text for text, said in IN_A_SHELL.items() if not said and "<<<" not in text]
)
def test_where_it_is_allowed_nothing_is_executed(text: str, tmp_path: Path) -> None:
    command = Command.from_text(text.replace("(echo {x})", "").replace("$()", ""), shell=True)
    for attack in ATTACKS:
        words = command.filled({"x": attack.replace("MARK", str(tmp_path / "mark"))}, {})
        subprocess.run(words, capture_output=True, check=False, cwd=tmp_path)
        assert not (tmp_path / "mark").exists()


@pytest.mark.parametrize(
    "words", [["sh", "-c", "echo {x}"], ["env", "/bin/bash", "-lc", "echo {x}", "a"]]
)
def test_a_text_for_a_shell_of_ones_own_is_refused(words: list[str]) -> None:
    with pytest.raises(BadInput, match="in a text for a shell, which would execute what is in its"):
        Command.from_words(words)
    Command.from_words(["sh", "-c", "echo $0", "{x}"])
    Command.from_words(["python", "-c", "print('{x}')"])


def test_a_refused_command_is_not_executed(tmp_path: Path) -> None:
    file = tmp_path / "f.yaml"
    file.write_text('command: \'echo "{x}"\'\nshell: true\ngrid: {x: ["$(touch mark)"]}\n')
    done = subprocess.run(
        [sys.executable, "-m", "argus_tasks", "run", "f.yaml"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 2
    assert done.stderr.startswith(
        "argus-tasks: f.yaml:1: command has {x} in quotes, where the shell"
    )
    assert [path.name for path in tmp_path.iterdir()] == ["f.yaml"]
