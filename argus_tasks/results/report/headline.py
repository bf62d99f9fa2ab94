"""The report's answer in plain sentences: what ran, how it ended, what won and by how much."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from argus_tasks.results.compare.contests import Contest, Noise
from argus_tasks.results.read.direction import better_is
from argus_tasks.results.read.rows import STATUSES, Row
from argus_tasks.results.tables.axes import Axes
from argus_tasks.results.tables.leaderboard import Leaderboard, not_finite_of
from argus_tasks.results.tables.table import plural, titles_of, value_text

_MOST_NAMED = 4


def ended_sentence(rows: Sequence[Row]) -> str:
    """`30 of 32 runs succeeded, 2 failed.`"""
    counts = Counter(row.status for row in rows)
    good = counts["succeeded"]
    parts = [f"{good} of {plural(len(rows), 'run')} succeeded"]
    parts += [
        f"{counts[status]} {'still running, or cut off' if status == 'running' else status}"
        for status in STATUSES[1:]
        if counts[status]
    ]
    odd = sum(bool(not_finite_of(row)) for row in rows)
    parts += [f"{odd} not finite"] if odd else []
    return f"{', '.join(parts)}."


def won_sentences(board: Leaderboard, axes: Axes, found: Sequence[Contest]) -> list[str]:
    """What won, and whether that is more than seed noise."""
    if board.metric is None:
        return ["No run has a number to compare by."]
    by = f"by {board.metric} ({better_is(board.direction)})"
    rated = [contest for contest in found if contest.second is not None]
    if axes.dataset is None or len(found) == 1:
        return [_one(found[0], by, board)] if found else [f"No config has a finite {board.metric}."]
    title = titles_of([axes.dataset])[0]
    wins = Counter(contest.winner for contest in found if contest.noise is not Noise.TIE)
    if not wins:
        return [f"No winner: a tie on every {title} {by}."]
    name, count = wins.most_common(1)[0]
    if count == len(found):
        first = f"{value_text(name, 60)} wins on every {title}, {count} of {count}, {by}."
    elif list(wins.values()).count(count) == 1:
        first = f"{value_text(name, 60)} wins on most, {count} of {len(found)}, {by}."
        if count <= len(found) / 2:
            first = f"{value_text(name, 60)} wins most often, on {count} of {len(found)}, {by}."
    else:
        tops = [value_text(each, 40) for each, number in wins.items() if number == count]
        more = f" and {len(tops) - _MOST_NAMED} more" if len(tops) > _MOST_NAMED else ""
        first = f"No single winner {by}: {', '.join(tops[:_MOST_NAMED])}{more} win {count} each."
    return [first, *_noise(rated)]


def _noise(rated: Sequence[Contest]) -> list[str]:
    real = [contest for contest in rated if contest.noise in (Noise.BEYOND, Noise.NONE)]
    unknown = [contest for contest in rated if contest.noise is Noise.UNKNOWN]
    if not rated:
        return []
    if len(unknown) == len(rated):
        return ["Whether that is more than seed noise cannot be told: it takes two seeds or more."]
    if not real and not unknown:
        return [f"On none of {len(rated)} is the winner's lead more than seed noise."]
    parts = [f"The winner's lead is more than seed noise on {len(real)} of {len(rated)}"]
    noisy = [value_text(c.dataset, 40) for c in rated if c.noise in (Noise.WITHIN, Noise.TIE)]
    if noisy:
        shown = ", ".join(noisy[:_MOST_NAMED])
        more = f" and {len(noisy) - _MOST_NAMED} more" if len(noisy) > _MOST_NAMED else ""
        parts.append(f"not on {shown}{more}")
    if unknown:
        parts.append(f"not known on {len(unknown)}: too few seeds")
    return [f"{'; '.join(parts)}."]


def _one(contest: Contest, by: str, board: Leaderboard) -> str:
    mean = contest.group.metrics[str(board.metric)].mean
    if contest.second is None:
        return f"{value_text(contest.winner, 80)} has {mean:.4g} {by}; nothing to compare it with."
    rival = value_text(contest.second, 80)
    name = value_text(contest.winner, 80)
    if contest.noise is Noise.TIE:
        return f"A tie {by}: {name} and {rival}, {mean:.4g}."
    return (
        f"{name} wins {by} with {mean:.4g}, {lead_text(contest)} ahead of {rival}: {contest.noise}."
    )


def lead_text(contest: Contest) -> str:
    """`0.0234 (2.5 %)`."""
    share = ""
    if contest.share is not None and contest.share < 10:
        share = f" ({contest.share * 100:.2g} %)"
    return f"{contest.lead:.3g}{share}"
