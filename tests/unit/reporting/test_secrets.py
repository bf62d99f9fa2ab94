"""Canaries in argv, environment, URL, remote, config and exception texts: none comes out."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from argus_tasks.base.redact import redact, redact_command
from argus_tasks.base.secret_names import names_a_secret
from tests.argus_server import ArgusServer
from tests.support.delivery import ROOT, argus_tasks, environment

SCRIPT = """
import os, sys, logging
logging.basicConfig(level=logging.DEBUG)
from argus_tasks import Reporter, emit
with Reporter("t", batch_id="b", heartbeat=0.05, resource_snapshot=0.05, stop_polling=0.1) as r:
    try:
        with r.job("j") as j:
            j.epoch(0, note="--token canary-note", api_key="canary-field")
            j.log("connecting with password=canary-log and " + os.environ["MY_API_KEY"])
            j.metrics({"secret": "canary-metric"})
            emit("my event", url="https://u:canary-emit@host/x")
            raise RuntimeError("no login: token=canary-error https://u:canary-url@h/ " +
                               os.environ["MY_API_KEY"])
    except RuntimeError:
        pass
    import time; time.sleep(0.4)
    raise SystemExit("password=canary-exit")
"""


def test_none_reaches_any_place(server: ArgusServer, tmp_path: Path, outbox: Path) -> None:
    script = tmp_path / "train.py"
    script.write_text(SCRIPT)
    for words in (
        ["init", "-q"],
        ["remote", "add", "origin", "https://u:canary-remote@host/x.git"],
        ["-c", "user.name=a", "-c", "user.email=a@b", "commit", "-q", "--allow-empty", "-m", "x"],
    ):
        subprocess.run(["git", *words], cwd=tmp_path, check=True)
    env = environment(outbox, server.url.replace("http://", "http://me:canary-login@"))
    env |= {"ARGUS_TOKEN": "em_live_canarytoken", "MY_API_KEY": "canary-variable"}
    done = subprocess.run(
        [
            str(ROOT / ".venv" / "bin" / "python"),
            str(script),
            "--token",
            "canary-argument",
            "--api-key=canary-joined",
            "PASSWORD=canary-assigned",
            "https://u:canary-argv-url@host/",
            "--tokenizer",
            "bert",
        ],
        env=env,
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 1, done.stderr
    events = json.dumps(server.rows())
    assert len(server.rows("b")) > 5
    assert "tokenizer bert" in events
    bodies = events + json.dumps([vars(one) | {"token": ""} for one in server.receipts])
    ours = "\n".join(line for line in done.stderr.splitlines() if "canary-exit" not in line)
    files = "".join(
        path.read_bytes().decode("utf-8", "replace") + str(path)
        for path in outbox.rglob("*")
        if path.is_file()
    )
    for where, text in (("events", bodies), ("log", ours), ("files", files)):
        assert "canary" not in text, f"{where}: {text[max(text.find('canary') - 200, 0) :][:400]}"


def test_a_token_file_that_others_can_read_is_not_used(
    server: ArgusServer, tmp_path: Path, outbox: Path
) -> None:
    token = tmp_path / "token"
    token.write_text("em_live_canary\n")
    token.chmod(0o644)
    settings = {"ARGUS_TOKEN": "", "ARGUS_TOKEN_FILE": str(token)}
    code, out, _ = argus_tasks("doctor", outbox=outbox, url=server.url, **settings)
    assert code == 1
    assert f"chmod 600 {token}" in out
    token.chmod(0o600)
    code, out, _ = argus_tasks("doctor", outbox=outbox, url=server.url, **settings)
    assert code == 0, out
    assert "canary" not in out
    assert {one.token for one in server.receipts} == {"", "em_live_canary"}


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("python t.py --token abc --lr 0.1", "python t.py --token *** --lr 0.1"),
        ("WANDB_API_KEY=zzz python t.py", "WANDB_API_KEY=*** python t.py"),
        ("KEY=abc", "KEY=***"),
        ("git+https://user:pw@host/x.git", "git+https://***@host/x.git"),
        ("https://h/x?token=abc&y=1", "https://h/x?token=***&y=1"),
        ("Authorization: Bearer abcdefghij", "Authorization: ***"),
        ("{'password': 'hunter2', 'a': 1}", "{'password': ***, 'a': 1}"),
        ("em_live_abcdef", "***"),
        ("tokenizer=bert --max-tokens 5 key=a monkey=b", None),
        ("--tokenizer bert --key-bias 1 --author me", None),
        ("epoch 3: loss=0.5, acc: 0.9", None),
        ("https://host:8080/path?x=1", None),
    ],
)
def test_what_is_masked_and_what_is_not(text: str, shown: str | None) -> None:
    assert redact(text) == (text if shown is None else shown)


def test_commands_stay_runnable() -> None:
    words = ["python", "t.py", "--token", "a b", "--out", "a b", "--use-token", "--x", "K=1"]
    assert redact_command(words, ()) == "python t.py --token *** --out 'a b' --use-token --x K=1"


@pytest.mark.parametrize("name", ["token", "--token", "HF_TOKEN", "apiKey", "api_key", "AWS_KEY"])
def test_names_of_secrets(name: str) -> None:
    assert names_a_secret(name)


@pytest.mark.parametrize("name", ["tokens", "tokenizer", "key", "monkey", "keyword", "n_keys"])
def test_names_that_are_none(name: str) -> None:
    assert not names_a_secret(name)
