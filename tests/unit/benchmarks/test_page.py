"""docs/performance.md and the README's table say what the committed results say."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks import page
from benchmarks.figures import RATIO, figure
from benchmarks.readme_table import readme_table
from benchmarks.record import load_record
from benchmarks.targets import TARGETS

MADE = "make bench-pages makes it again from benchmarks/record.json"


def test_the_page_is_made_from_the_results() -> None:
    assert page.PAGE.read_text(encoding="utf-8") == page.performance_page(load_record()), MADE


def test_the_readmes_table_is_made_from_the_results() -> None:
    text = page.README.read_text(encoding="utf-8")
    assert text == page.put_between_marks(text, readme_table(load_record())), MADE


def test_every_plot_of_the_page_is_there() -> None:
    for line in page.PAGE.read_text(encoding="utf-8").splitlines():
        if line.startswith("!["):
            assert (page.PAGE.parent / line.partition("](")[2].rstrip(")")).is_file(), line


def test_what_is_not_met_is_told_with_its_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    target = TARGETS[0]
    record = {
        "started_at": "2026-01-01T00:00:00+00:00",
        "versions": {"git": "a" * 40},
        "machine": {"cpu": "x", "cores_usable": 2, "python": "3.11", "load_before": [0.5]},
        "figures": {target.figure: figure([3.0, 3.1], RATIO)},
    }
    why = {target.figure: {"reason": "Because.", "next": "Less."}}
    monkeypatch.setattr(page, "reasons", lambda: why)
    made = page.performance_page({"some": record})
    assert f"| {target.words} | 3.05× (3.00× to 3.10×) | ≤ 1.50×, aim 1.10× | **not met** |" in made
    assert f"- **{target.words}**: Because. Next: Less." in made
    monkeypatch.setattr(page, "reasons", dict)
    assert "no reason has been written down yet" in page.performance_page({"some": record})


def test_results_that_are_not_there_are_left_out() -> None:
    made = page.performance_page({})
    assert "not measured" in made
    assert "| a worker is killed" not in readme_table({})
    assert "| run folders | yes | yes | - | - |" in readme_table({})


def test_a_text_without_marks_is_told() -> None:
    with pytest.raises(ValueError, match="there is no <!-- table"):
        page.put_between_marks("nothing", "table")


def test_plots_are_the_same_bytes_each_time(tmp_path: Path) -> None:
    from benchmarks import plots

    results = load_record()
    for turn in ("a", "b"):
        plots.write(results, tmp_path / turn)
    written = sorted(path.name for path in (tmp_path / "a").iterdir())
    assert written
    for name in written:
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()
