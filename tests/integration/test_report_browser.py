"""The report in a real browser: nothing asked of the network, nothing complained of, by keyboard,
on a phone, in the dark, on paper, and without scripts."""

from __future__ import annotations

import json
import math
import random
from collections.abc import Iterator
from pathlib import Path

import pytest

from argus_tasks.cli.main import main
from tests.support.browser import Browser, chromium

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(chromium() is None, reason="no chromium to show the report in"),
]

HOSTILE = "<script>window.stolen=1</script><img src=x onerror='window.stolen=1'>"
# Text whose contrast with what lies behind it is below 4.5 (3 where it is large); SVG text by fill.
CONTRAST = """(() => {
  const channels = (text) => (text.match(/[\\d.]+/g) || [0, 0, 0, 0]).map(Number);
  const light = (c) => [0.2126, 0.7152, 0.0722].reduce((sum, weight, i) => {
    const v = c[i] / 255;
    return sum + weight * (v <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
  }, 0);
  const behind = (node) => {
    for (; node; node = node.parentElement) {
      const c = channels(getComputedStyle(node).backgroundColor);
      if (c.length < 4 || c[3] > 0.99) return c;
    }
    return [255, 255, 255];
  };
  const poor = [];
  const walk = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walk.nextNode()) {
    const node = walk.currentNode.parentElement;
    if (!walk.currentNode.data.trim() || node.closest("script, style")) continue;
    const style = getComputedStyle(node);
    const ink = node.closest("svg") ? style.fill : style.color;
    const [a, b] = [light(channels(ink)), light(behind(node))].sort((x, y) => y - x);
    const least = parseFloat(style.fontSize) >= 24 ? 3 : 4.5;
    if ((a + 0.05) / (b + 0.05) < least)
      poor.push(`${walk.currentNode.data.trim().slice(0, 40)}: ${ink} on ${behind(node)}`);
  }
  return poor;
})()"""


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A report of 90 runs, of which some failed, with curves, and with hostile values."""
    root = tmp_path_factory.mktemp("runs")
    rng = random.Random(1)
    number = 0
    for model in ("ridge", "mlp", "a model with quite a long name"):
        for dataset in ("nile", "co2", "elnino"):
            for lr in (0.1, 0.01, 0.001):
                for seed in range(3):
                    number += 1
                    folder = root / f"20260101_{number:06d}_{number:08x}"
                    folder.mkdir()
                    config = {"model": model, "dataset": dataset, "lr": lr, "seed": seed}
                    failed = number % 17 == 0
                    begin, end = (
                        f"2026-01-01T00:{at // 60:02d}:{at % 60:02d}+00:00"
                        for at in (number, number + 60)
                    )
                    run = {
                        "schema_version": 2,
                        "run_id": folder.name,
                        "status": "failed" if failed else "succeeded",
                        "started_at": begin,
                        "finished_at": end,
                        "duration_sec": 60.0,
                        "digest": f"{number:064x}",
                        "cause": "ValueError" if failed else None,
                        "error_message": HOSTILE if failed else None,
                        "resources": {"peak_ram_mb": 100.0 + number},
                    }
                    (folder / "run.json").write_text(json.dumps(run))
                    (folder / "config.json").write_text(json.dumps(config | {HOSTILE: 1}))
                    if failed:
                        (folder / "error.log").write_text(f"Traceback\n{HOSTILE}\n" + "x" * 900)
                        continue
                    score = len(model) / 50 + math.log10(lr) / 9 + rng.gauss(0, 0.01)
                    (folder / "metrics.json").write_text(
                        json.dumps({"score": score, "mae": -score})
                    )
                    lines = [
                        json.dumps({"step": step, "metrics": {"val_loss": 1 / (step + 1) + lr}})
                        for step in range(30)
                    ]
                    (folder / "metrics.jsonl").write_text("\n".join(lines) + "\n")
    assert main(["report", str(root)]) == 0
    return root / "report.html"


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with Browser() as opened:
        yield opened


def test_it_asks_for_nothing_and_complains_of_nothing(browser: Browser, report: Path) -> None:
    browser.show(report, width=1200)
    assert browser.requests == [report.as_uri()]
    assert browser.errors == []
    assert browser.ask("window.stolen") is None
    assert browser.ask("document.images.length") == 0
    assert browser.ask("document.querySelectorAll('svg').length") >= 6


TITLES = "document.querySelectorAll('table[data-sort] th')"


def column(browser: Browser, place: int) -> list[str]:
    found = browser.ask(
        "[...document.querySelector('table[data-sort]').tBodies[0].rows]"
        f".map((row) => row.cells[{place}].dataset.v ?? row.cells[{place}].textContent)"
    )
    assert isinstance(found, list)
    return found


def test_the_leaderboard_is_sorted_by_keyboard(browser: Browser, report: Path) -> None:
    browser.show(report, width=1200)
    titles = browser.ask(
        "[...document.querySelectorAll('table[data-sort] th')].map((title) => title.textContent)"
    )
    place = titles.index("lr")
    before = column(browser, place)
    browser.ask(
        f"document.querySelectorAll('table[data-sort] th')[{place - 1}].children[0].focus()"
    )
    browser.press("Tab")
    browser.press("Enter")
    assert [float(value) for value in column(browser, place)] == sorted(map(float, before))
    browser.press(" ")
    assert column(browser, place) == sorted(before, key=float, reverse=True)
    order = "[...document.querySelectorAll('table[data-sort] th')].map((t) => t.ariaSort)"
    assert [sort for sort in browser.ask(order) if sort] == ["descending"]
    assert browser.ask(order)[place] == "descending"


def test_runs_without_a_number_stay_last(browser: Browser, report: Path) -> None:
    browser.show(report, width=1200)
    press = "document.querySelector('table[data-sort] th[aria-sort]').children[0].click()"
    for reverse in (False, True):
        browser.ask(press if reverse else press.replace("[aria-sort]", ":nth-child(5)"))
        values = [value for value in column(browser, 4) if value]
        assert values == sorted(values, key=float, reverse=reverse)


def test_everything_that_scrolls_or_folds_is_reached_by_keyboard(
    browser: Browser, report: Path
) -> None:
    browser.show(report, width=1200)
    assert browser.ask(
        "[...document.querySelectorAll('.scroll, pre, code.run')]"
        ".every((box) => box.tabIndex === 0)"
    )
    browser.ask("document.querySelector('td summary').focus()")
    browser.press("Enter")
    assert browser.ask("document.querySelector('td details').open") is True
    assert "argus-tasks rerun" in browser.ask("document.querySelector('td details code').innerText")


@pytest.mark.parametrize("width", [320, 375, 768])
def test_on_a_phone_the_page_does_not_scroll_sideways(
    browser: Browser, report: Path, width: int
) -> None:
    browser.show(report, width=width)
    browser.ask("document.querySelectorAll('details').forEach((fold) => { fold.open = true; })")
    assert browser.ask("document.documentElement.scrollWidth") <= width
    assert browser.ask("innerWidth") == width


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_all_text_can_be_read(browser: Browser, report: Path, dark: bool) -> None:
    browser.show(report, width=1200, dark=dark)
    browser.ask("document.querySelectorAll('details').forEach((fold) => { fold.open = true; })")
    background = browser.ask("getComputedStyle(document.body).backgroundColor")
    assert (sum(map(int, background[4:-1].split(","))) < 200) is dark
    assert browser.ask(CONTRAST) == []


def test_without_scripts_it_can_be_read_all_the_same(browser: Browser, report: Path) -> None:
    browser.show(report, width=1200, scripts=False)
    browser.call("Emulation.setScriptExecutionDisabled", value=False)
    assert browser.ask("document.querySelectorAll('table button').length") == 0
    assert browser.ask("document.querySelectorAll('table[data-sort] tbody tr').length") == 27
    assert "wins" in browser.ask("document.querySelector('.answer').innerText")


def test_it_prints(browser: Browser, report: Path) -> None:
    browser.show(report, width=1200, dark=True)
    assert len(browser.call("Page.printToPDF")["data"]) > 20_000
