"""`argus-tasks report`: one file, nothing else needed, nothing of a user's taken for markup."""

from __future__ import annotations

import builtins
import re
from collections.abc import Callable
from datetime import UTC, datetime
from hashlib import sha256
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from markupsafe import Markup

from argus_tasks.cli.main import main
from argus_tasks.results.read import needs
from argus_tasks.results.report.page_template import render

HOSTILE = (
    "$\\bad{$<script>alert(1)</script>\"'><img src=http://evil.test/x onerror=alert(2)>"
    " \x00\u202e & 😀 語"
)
VOID = {"meta", "link", "br", "img", "input", "hr"}
CURVE = '{"step": 0, "metrics": {"val_loss": 2}}\n{"step": 1, "metrics": {"val_loss": 1}}\n'
MakeRun = Callable[..., Path]


class Tags(HTMLParser):
    """Every tag of a page with its attributes; fails on one that does not close."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.text: list[str] = []
        self.feed(text)
        assert not self.open, f"not closed: {self.open}"

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        self.found.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: Any) -> None:
        self.found.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text.append(data)


def two_models(make_run: MakeRun, root: Path) -> None:
    for model, top in (("ridge", 0.9), ("mlp", 0.5)):
        for dataset in ("nile", "co2"):
            for seed in range(3):
                folder = make_run(
                    {"model": model, "dataset": dataset, "seed": seed},
                    {"skill": top + seed / 100},
                    digest=sha256(f"{model}{dataset}{seed}".encode()).hexdigest(),
                )
                (folder / "metrics.jsonl").write_text(CURVE)
    make_run(
        {"model": "mlp", "dataset": "co2", "seed": 3},
        status="failed",
        cause="out of memory",
        error_type="OutOfMemory",
        error_message="killed by the kernel",
        digest="f" * 64,
    )


def report_of(root: Path, *options: str) -> str:
    assert main(["report", str(root), *options]) == 0
    return (root / "report.html").read_text("utf-8")


def test_the_report_answers_and_names_its_file(
    make_run: MakeRun, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    two_models(make_run, tmp_path)
    text = report_of(tmp_path)
    assert capsys.readouterr().out.splitlines() == [
        "12 of 13 runs succeeded, 1 failed.",
        "ridge wins on every dataset, 2 of 2, by skill (higher is better).",
        "The winner's lead is more than seed noise on 2 of 2.",
        f"report: {tmp_path / 'report.html'}",
    ]
    page = Tags(text)
    shown = " ".join(page.text)
    for words in (
        "ridge wins on every dataset",
        "▲ best",
        "▽ worst",
        "more than seed noise",
        "out of memory",
        f"argus-tasks rerun {tmp_path} --digest ffffffffffff",
    ):
        assert words in shown, words
    digests = set(re.findall(r"--digest (\w+)", text))
    assert len(digests) == 13
    ids = [attributes["id"] for _, attributes in page.found if "id" in attributes]
    assert len(ids) == len(set(ids))
    links = {a["href"] for tag, a in page.found if tag == "a"}
    assert links
    assert links <= {f"#{key}" for key in ids}
    assert len(text) < 300_000


def test_it_needs_nothing_from_outside(make_run: MakeRun, tmp_path: Path) -> None:
    two_models(make_run, tmp_path)
    text = report_of(tmp_path)
    assert text.count("<svg") >= 4
    drawn = "".join(re.findall(r"<svg.*?</svg>", text, re.DOTALL))
    assert not re.findall(r"[:\"] ?#[0-9a-f]{6}", drawn)  # every colour follows the page
    for tag, attributes in Tags(text).found:
        assert tag not in {"iframe", "object", "embed", "base", "form"}
        for name in ("src", "href", "xlink:href", "data", "action"):
            assert str(attributes.get(name) or "#")[0] in "#d", (tag, attributes)
    assert not re.search(r"@import|url\((?!#)", text)
    assert "default-src 'none'" in text


def test_what_users_wrote_is_text(make_run: MakeRun, tmp_path: Path) -> None:
    for seed in range(2):
        folder = make_run(
            {
                "model": HOSTILE,
                HOSTILE: seed,
                "dataset": HOSTILE,
                "nested": {"<b>": HOSTILE + str(seed)},
            },
            {HOSTILE: 0.5 + seed, "<i>m</i>": 1.0},
            digest=f"{seed}{HOSTILE}",
            job_id=HOSTILE,
            batch_id="b",
            experiment_name=HOSTILE,
        )
        (folder / "metrics.jsonl").write_text(
            '{"step": 0, "metrics": {"</svg><script>alert(3)</script>$_$": 1}}\n'
        )
    failed = make_run(
        {"model": "x"}, status="failed", cause=HOSTILE, error_message=HOSTILE, digest=HOSTILE
    )
    (failed / "error.log").write_bytes(
        HOSTILE.encode() + b"\xff\xfe</pre><script>alert(4)</script>"
    )
    for options in ((), ("--model", "nested.<b>", "--dataset", HOSTILE)):
        text = report_of(tmp_path, *options)
        page = Tags(text)
        assert [tag for tag, _ in page.found].count("script") == 1
        assert not [tag for tag, _ in page.found if tag in {"img", "b", "i"}]
        assert not [a for _, a in page.found if any(name.startswith("on") for name in a)]
        assert "\x00" not in text
        assert "\u202e" not in text


def test_templates_escape_what_is_put_into_them() -> None:
    text = render(
        "history.html",
        datetime(2026, 1, 1, tzinfo=UTC),
        title="'\"<b>\u202e\ud800",
        metric="<i>m</i>",
        about=["a & b"],
        changed=[],
        plots=[Markup("<svg></svg>"), "<svg>"],
        hidden=0,
        columns=[],
        rows=[],
    )
    assert "<h1>&#39;&#34;&lt;b&gt;\\u202e?</h1>" in text
    assert "&lt;i&gt;m&lt;/i&gt;, cell by cell" in text
    assert "<figure><svg></svg></figure><figure>&lt;svg&gt;</figure>" in text


def test_runs_without_any_number_have_a_report_too(make_run: MakeRun, tmp_path: Path) -> None:
    make_run({"a": 1}, status="failed", cause="exit 3")
    make_run({"a": 2}, status="running", finished_at=None)
    shown = " ".join(Tags(report_of(tmp_path)).text)
    assert "No run has a number to compare by." in shown
    assert "has no digest" in shown
    assert "1 still running, or cut off" in shown


def test_a_batch_has_a_report_of_its_own(make_run: MakeRun, tmp_path: Path) -> None:
    make_run({"model": "a"}, {"acc": 1.0}, batch_id="first", digest="1")
    make_run({"model": "b"}, {"acc": 2.0}, batch_id="second", digest="2")
    assert main(["report", str(tmp_path), "--batch", "first"]) == 0
    text = (tmp_path / "report-first.html").read_text()
    assert "1 run of 1 config" in text
    assert main(["report", str(tmp_path), "--batch", "third"]) == 2


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--metric", "nope"), "no run has a metric 'nope'"),
        (("--model", "nope"), "the model key is 'nope'"),
        (("--out", "no/such/folder/x.html"), "cannot be written"),
    ],
)
def test_bad_input_is_one_sentence_and_writes_nothing(
    make_run: MakeRun,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    options: tuple[str, ...],
    said: str,
) -> None:
    two_models(make_run, tmp_path)
    assert main(["report", str(tmp_path), *options]) == 2
    error = capsys.readouterr().err
    assert said in error
    assert error.count("\n") == 1
    assert not (tmp_path / "report.html").exists()


def test_without_the_extra_the_sentence_names_it(
    make_run: MakeRun,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    make_run({"a": 1}, {"acc": 1.0})
    there = needs.find_spec
    monkeypatch.setattr(
        needs, "find_spec", lambda name: None if name == "matplotlib" else there(name)
    )
    imported = builtins.__import__

    def refuse(name: str, *rest: Any) -> Any:
        assert not name.startswith("matplotlib")
        return imported(name, *rest)

    monkeypatch.setattr(builtins, "__import__", refuse)
    assert main(["report", str(tmp_path)]) == 1
    assert "pip install 'argus-tasks[report]'" in capsys.readouterr().err
