"""The report's tables: who won, the leaderboard, the matrix, the importance of keys, failures."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from argus_tasks.results.compare.contests import Contest, Noise
from argus_tasks.results.compare.side_text import plural
from argus_tasks.results.read.failures import Failures
from argus_tasks.results.read.rows import Row
from argus_tasks.results.report.headline import lead_text
from argus_tasks.results.report.markup import Markup, fill, join
from argus_tasks.results.tables.axes import Axes
from argus_tasks.results.tables.effects import METHOD, Effects
from argus_tasks.results.tables.leaderboard import SEED, Group, Leaderboard, Spread, spread
from argus_tasks.results.tables.pivot import Pivot
from argus_tasks.results.tables.table import (
    code_text,
    keys_shown,
    number_specs,
    titles_of,
    value_text,
)

MOST_GROUPS = 300
_MOST_RUNS = 12
_MOST_METRICS = 6
_MOST_FAILED = 30
_DIGITS = 12
_SHORT = 32
_NOISE_CLASS = {
    Noise.BEYOND: "yes",
    Noise.NONE: "yes",
    Noise.WITHIN: "no",
    Noise.TIE: "no",
    Noise.UNKNOWN: "unknown",
    Noise.ALONE: "unknown",
}


def rerun_command(root: Path, row: Row) -> str | None:
    """What runs that run's config again; None for a run that has no digest."""
    if not row.digest:
        return None
    return f"argus-tasks rerun {shlex.quote(str(root))} --digest {row.digest[:_DIGITS]}"


def contests_table(board: Leaderboard, axes: Axes, found: Sequence[Contest]) -> Markup:
    """A line a dataset: the winner, what its lead is worth, and the numbers that say so."""
    assert board.metric is not None
    title = titles_of([axes.dataset])[0] if axes.dataset else ""
    means = _texts([contest.group.metrics.get(board.metric) for contest in found])
    seconds = _texts(
        [c.second_group.metrics.get(board.metric) if c.second_group else None for c in found]
    )
    lines = []
    for contest, mean, second in zip(found, means, seconds, strict=True):
        where = fill("<th scope=row>{}</th>", value_text(contest.dataset, 40)) if title else ""
        interval = (
            f"{contest.low:.3g} to {contest.high:.3g}"
            if contest.low is not None and contest.high is not None
            else "-"
        )
        lines.append(
            fill(
                "<tr>{}<td><strong>{}</strong></td><td class='verdict {}'>{}</td>"
                "<td class=n>{}</td><td class=n>{}</td><td class=n>{}</td><td>{}</td>"
                "<td class=n>{}</td></tr>",
                where,
                value_text(contest.winner, 60),
                _NOISE_CLASS[contest.noise],
                contest.noise,
                lead_text(contest) if contest.second is not None else "-",
                interval,
                mean,
                value_text(contest.second or "-", 60),
                second,
            )
        )
    heads = [
        "winner",
        "the lead is",
        "lead",
        "95 % interval",
        board.metric,
        "runner-up",
        board.metric,
    ]
    return fill(
        "<div class=scroll tabindex=0 role=region aria-label='Who won'><table>"
        "<thead><tr>{}{}</tr></thead><tbody>{}</tbody></table></div>",
        fill("<th scope=col>{}</th>", title) if title else Markup(),
        join(fill("<th scope=col>{}</th>", head) for head in heads),
        join(lines),
    )


def leaderboard_table(board: Leaderboard, root: Path) -> Markup:
    """The best groups, sortable; in the last column each run with the command that reruns it."""
    groups = board.groups[:MOST_GROUPS]
    keys = keys_shown(board)
    others = [name for name in board.metrics if name != board.metric][:_MOST_METRICS]
    metrics = [board.metric, *others] if board.metric else []
    columns = [
        _texts([group.metrics.get(name) for group in groups], with_std=name == board.metric)
        for name in metrics
    ]
    seconds = [spread(row.duration_sec for row in g.rows if row.duration_sec) for g in groups]
    memory = [spread(row.peak_ram_mb for row in g.rows if row.peak_ram_mb) for g in groups]
    has_memory = any(memory)
    lines = []
    for index, group in enumerate(groups):
        cells = [_number(board.rank(index), str(board.rank(index) or "-"))]
        cells += [_value(group.config.get(key)) for key in keys]
        for name, texts in zip(metrics, columns, strict=True):
            found = group.metrics.get(name)
            cells.append(_number(found.mean if found else None, texts[index]))
        if board.has_codes:
            cells.append(_value(code_text(group)))
        cells.append(_number(len(group.rows), _count(group, board.metric)))
        cells.append(_mean(seconds[index]))
        if has_memory:
            cells.append(_mean(memory[index]))
        cells.append(_runs(group, board, root))
        lines.append(fill("<tr>{}</tr>", join(cells)))
    order = "descending" if board.direction == "max" else "ascending"
    heads = [fill("<th scope=col class=n>#</th>")]
    heads += [fill("<th scope=col>{}</th>", title) for title in titles_of(keys)]
    heads += [
        fill("<th scope=col class=n{}>{}</th>", Markup(f" aria-sort={order}" if not at else ""), n)
        for at, n in enumerate(metrics)
    ]
    if board.has_codes:
        heads.append(fill("<th scope=col>code</th>"))
    heads += [fill("<th scope=col class=n>{}</th>", name) for name in ("n", "seconds")]
    if has_memory:
        heads.append(fill("<th scope=col class=n>peak MB</th>"))
    heads.append(fill("<th scope=col data-fixed>runs, and how to rerun</th>"))
    return fill(
        "<div class=scroll tabindex=0 role=region aria-label=Leaderboard><table data-sort>"
        "<thead><tr>{}</tr></thead><tbody>{}</tbody></table></div>",
        join(heads),
        join(lines),
    )


def matrix_table(found: Pivot) -> Markup:
    """Models by datasets; best and worst of each dataset carry a word."""
    columns = [_texts([row[at] for row in found.cells]) for at in range(len(found.column_values))]
    lines = []
    for index, value in enumerate(found.row_values):
        cells = []
        for at, texts in enumerate(columns):
            look, word = "", Markup()
            if index in found.best(at):
                look, word = " best", fill("<span class=mark>▲ best</span>")
            elif index in found.worst(at):
                look, word = " worst", fill("<span class=mark>▽ worst</span>")
            cells.append(fill('<td class="n{}">{}{}</td>', look, texts[index], word))
        lines.append(fill("<tr><th scope=row>{}</th>{}</tr>", value_text(value), join(cells)))
    model, dataset = titles_of([found.row_key, found.column_key])
    return fill(
        "<div class=scroll tabindex=0 role=region aria-label='Model by dataset'><table>"
        "<thead><tr><th scope=col>{} \\ {}</th>{}</tr></thead><tbody>{}</tbody></table></div>",
        model,
        dataset,
        join(fill("<th scope=col class=n>{}</th>", value_text(v)) for v in found.column_values),
        join(lines),
    )


def importance_table(found: Effects) -> Markup:
    """How much of the differences each key explains."""
    lines = []
    for effect in found.effects:
        share = effect.importance
        if share is None:
            text, told = "-", "cannot be told: too few configs, or it varies only with other keys"
        else:
            text = f"{share * 100:.0f} %"
            told = "not told from chance" if effect.is_chance else ""
        bar = Markup()
        if share is not None:
            width = Markup(f"{share * 100:.0f}%")
            bar = fill('<span class=bar><span style="width:{}"></span></span>', width)
        lines.append(
            fill(
                "<tr><th scope=row>{}</th><td>{}</td><td class=n>{}</td><td>{}</td></tr>",
                effect.key,
                bar,
                text,
                told,
            )
        )
    return fill(
        "<div class=scroll tabindex=0 role=region aria-label=Importance><table>"
        "<thead><tr><th scope=col>key</th><th scope=col colspan=2>importance</th>"
        "<th scope=col></th></tr></thead><tbody>{}</tbody></table></div><p class=small>{}</p>",
        join(lines),
        METHOD,
    )


def failures_list(found: Sequence[Failures], root: Path) -> Markup:
    """Each cause with its count, messages, last lines, and the commands that rerun its runs."""
    return join(_failure(each, root) for each in found)


def _failure(found: Failures, root: Path) -> Markup:
    messages = [
        fill("<li>{}{}</li>", text[:400], fill(" <span class=small>({} times)</span>", count))
        if count > 1
        else fill("<li>{}</li>", text[:400])
        for text, count in found.messages[:3]
    ]
    if len(found.messages) > 3:
        messages.append(fill("<li class=small>and {} more messages</li>", len(found.messages) - 3))
    log = Markup()
    if found.last_lines:
        lines = "\n".join(line[:300] for line in found.last_lines)
        log = fill(
            "<p class=small>The last lines of {}/{}:</p><pre tabindex=0>{}</pre>",
            found.shown.run_id,
            found.log,
            lines,
        )
    runs = [
        fill("<li>{} {}</li>", row.job_id or row.run_id, _command(root, row))
        for row in found.rows[:_MOST_FAILED]
    ]
    if len(found.rows) > _MOST_FAILED:
        runs.append(fill("<li class=small>and {} more</li>", len(found.rows) - _MOST_FAILED))
    return fill(
        "<h3><span class=failed>✗ {}</span>: {}</h3><ul>{}</ul>{}"
        "<details><summary>How to rerun</summary><ul>{}</ul></details>",
        found.cause,
        plural(len(found.rows), "run"),
        join(messages),
        log,
        join(runs),
    )


def _runs(group: Group, board: Leaderboard, root: Path) -> Markup:
    lines, metric = [], board.metric
    for row in group.rows[:_MOST_RUNS]:
        what = [] if row.config.get(SEED) is None else [f"seed {value_text(row.config[SEED])}"]
        value = row.metrics.get(metric) if metric else None
        if isinstance(value, int | float) and row.status == "succeeded":
            what.append(f"{value:.5g}")
        else:
            what.append(": ".join(t for t in (row.status, row.cause or row.error_type) if t))
        what.append(row.path.name)
        if board.has_codes and row.code:
            what.append(f"code {row.code}")
        lines.append(fill("<li>{}{}</li>", ", ".join(what), _command(root, row)))
    hidden = len(group.rows) - _MOST_RUNS
    if hidden > 0:
        lines.append(fill("<li class=small>and {} more</li>", hidden))
    return fill(
        "<td><details><summary>{}</summary><ul>{}</ul></details></td>",
        plural(len(group.rows), "run"),
        join(lines),
    )


def _command(root: Path, row: Row) -> Markup:
    command = rerun_command(root, row)
    if command is None:
        return fill(" <span class=small>(has no digest, so no command reruns it alone)</span>")
    return fill("<code class=run tabindex=0>{}</code>", command)


def _count(group: Group, metric: str | None) -> str:
    have = group.metrics[metric].n if metric in group.metrics else 0
    return str(have) if have == len(group.rows) else f"{have} of {len(group.rows)}"


def _value(value: Any) -> Markup:
    if isinstance(value, int | float) and not isinstance(value, bool):
        return _number(value, value_text(value))
    text = "" if value is None else value_text(value, 60)
    return fill("<td{}>{}</td>", Markup(" class=t" if len(text) <= _SHORT else ""), text)


def _number(value: float | None, text: str) -> Markup:
    return fill('<td class=n data-v="{}">{}</td>', "" if value is None else repr(value), text)


def _mean(found: Spread | None) -> Markup:
    return _number(found.mean if found else None, f"{found.mean:.3g}" if found else "-")


def _texts(found: Sequence[Spread | None], *, with_std: bool = True) -> list[str]:
    """Means, and spreads, with as many digits as a column needs."""
    have = [each for each in found if each]
    specs = iter(number_specs([each.mean for each in have]) if have else [])
    texts = []
    for each in found:
        if each is None:
            texts.append("-")
            continue
        spec = next(specs)
        std = "" if each.std is None or not with_std else f" ± {each.std:{spec}}"
        texts.append(f"{each.mean:{spec}}{std}")
    return texts
