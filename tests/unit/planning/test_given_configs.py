"""Configs that JSON cannot represent: what is recorded of them, reused, and run again."""

from __future__ import annotations

import json
import math
from collections import deque
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, event, given, settings
from hypothesis import strategies as st
from omegaconf import OmegaConf
from pydantic import BaseModel

from argus_tasks import ExpRunner
from argus_tasks.base.errors import BadInput
from argus_tasks.cli.main import main
from argus_tasks.integrations.tracked import texts_of
from argus_tasks.orchestration.prefect_artifacts.leaderboard_artifact import RunningLeaderboard
from argus_tasks.planning.saved_request import load_request
from argus_tasks.planning.sweep_plan import Action
from argus_tasks.results.read.rows import load_rows
from argus_tasks.results.tables.leaderboard import leaderboard
from argus_tasks.runs.ledger.sweep_folder import batches
from argus_tasks.runs.ledger.verification import verify
from argus_tasks.session.sweep_session import new_session
from tests.support import experiments
from tests.support.sessions import records, request_for, run_session
from tests.unit.base.test_given import plain_of

WEIGHTS = [{"class_weight": {0: 1.0, 1: w}, "sizes": (64, 64), "data": Path("a")} for w in (2, 5)]
CLIPS = [{"clip": value} for value in (None, math.inf, -math.inf, math.nan, 1.0)]


class Optimizer(Enum):
    ADAM = "adam"


@dataclass
class Layers:
    sizes: list[int] = field(default_factory=lambda: [64, 32])


@dataclass
class Config:
    lr: float
    layers: Layers = field(default_factory=Layers)
    optimizer: Optimizer = Optimizer.ADAM


class Model(BaseModel):
    lr: float
    layers: dict[str, list[int]] = {"sizes": [64, 32]}
    optimizer: str = "adam"


class Opaque:
    pass


def seen(ctx: Any) -> dict[str, Any]:
    return {"repr": repr(ctx.config)}


def weighed(ctx: Any) -> dict[str, Any]:
    return {"weight": ctx.config["class_weight"][1] + len(ctx.config["data"].parts)}


def noted(ctx: Any) -> dict[str, Any]:
    return {"loss": len(ctx.config)}


def reused(configs: Any, experiment: Any, root: Path) -> int:
    return run_session(new_session(request_for(configs, experiment, root, mode="thread"))).reused


def test_number_keys_reach_the_run_and_do_not_come_back_as_text(results_root: Path) -> None:
    assert reused(WEIGHTS, weighed, results_root) == 0
    assert [record["status"] for record in records(results_root)] == ["succeeded"] * 2
    assert reused(WEIGHTS, weighed, results_root) == 2
    texts = [{**config, "class_weight": {"0": 1.0, "1": 2}} for config in WEIGHTS[:1]]
    assert reused(texts, seen, results_root) == 0
    assert reused(texts, weighed, results_root) == 0, "they are other configs"
    assert verify(results_root).findings == []
    assert reused(WEIGHTS, weighed, results_root) == 2
    (folder,) = [each for each in batches(results_root) if "weighed" in str(each.state())]
    with pytest.raises(BadInput, match="class_weight has keys that are not text; run its script"):
        load_request(folder)


@pytest.mark.parametrize("keys", [{1: "int", "1": "text"}, {None: 1, "null": 2}])
def test_keys_that_are_one_in_json_are_refused(results_root: Path, keys: Any) -> None:
    with pytest.raises(BadInput, match=r"a\.w of configs\[1\] has keys that are one text in JSON"):
        new_session(request_for([{}, {"a": {"w": keys}}], experiments.noop, results_root))
    with pytest.raises(BadInput, match=r"w of configs\[0\] has keys that are one text in JSON"):
        new_session(
            request_for(
                [{"w": keys}],
                experiments.noop,
                results_root,
                search={
                    "n_trials": 2,
                    "metric": "x",
                    "direction": "min",
                    "space": {"y": {"int": [1, 3]}},
                },
            )
        )
    assert not results_root.exists()


def test_infinities_are_rows_of_their_own(results_root: Path, capsys: Any) -> None:
    assert reused(CLIPS, noted, results_root) == 0
    assert reused(CLIPS, noted, results_root) == 5
    for config in results_root.glob("*/config.json"):
        assert json.loads(config.read_text()) in ({"clip": None}, {"clip": 1.0})
    assert main(["results", str(results_root), "--json", "-"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert len(found["groups"]) == 5
    assert sorted(map(str, found["nonfinite"].values())) == sorted(["inf", "-inf", "nan"] * 2)
    with_numbers = {"clip": math.inf, "w": {"a": [math.nan], "b": -math.inf}}
    assert texts_of(with_numbers) == {"clip": "inf", "w.a": "[null]", "w.b": "-inf"}
    running = RunningLeaderboard(
        new_session(request_for(CLIPS, noted, results_root, mode="thread"))
    )
    running.look()
    places = [(row["clip"], row["n"]) for row in running.rows(9)]
    assert sorted(places) == [(text, 1) for text in ("-inf", "1", "inf", "nan", "null")]
    clips = [row.config["clip"] for row in load_rows(results_root).rows]
    assert sorted(map(repr, clips)) == sorted(["None", "inf", "-inf", "nan", "1.0"])
    (folder,) = batches(results_root)
    assert repr(load_request(folder).configs) == repr(tuple(CLIPS))


@pytest.mark.parametrize(("where", "n"), [(".inf", 1), ("inf", 1), (".nan", 1), ("null", 1)])
def test_an_infinity_is_chosen_as_yaml_writes_it(
    results_root: Path, capsys: Any, where: str, n: int
) -> None:
    reused(CLIPS, experiments.noop, results_root)
    assert main(["rerun", str(results_root), "--where", f"clip={where}", "--dry-run"]) == 0
    assert f"{n} of 5 configs" in capsys.readouterr().out


def test_other_sequences_and_mappings_are_lists_and_mappings(results_root: Path) -> None:
    plain = [{"layers": [64, 32], "lr": lr, "tag": f"lr-{lr}"} for lr in (0.1, 0.2)]
    base = OmegaConf.create({"layers": [64, 32], "lr": 0, "tag": "lr-${lr}"})
    configs = [OmegaConf.merge(base, {"lr": lr}) for lr in (0.1, 0.2)]
    assert reused(configs, experiments.noop, results_root) == 0
    assert [record["config"] for record in records(results_root)] == plain
    assert reused(configs, experiments.noop, results_root) == 2
    assert reused(plain, experiments.noop, results_root) == 2
    others = [{**config, "layers": deque([64, 32])} for config in plain]
    assert reused(others, experiments.noop, results_root) == 2


def test_dataclasses_and_models_are_the_configs_of_their_fields(results_root: Path) -> None:
    plain = {"lr": 0.1, "layers": {"sizes": [64, 32]}, "optimizer": "adam"}
    assert reused([Config(0.1)], experiments.noop, results_root) == 0
    assert [record["config"] for record in records(results_root)] == [plain]
    for same in (Config(0.1), Model(lr=0.1), plain):
        assert reused([same], experiments.noop, results_root) == 1
    summary = ExpRunner([Config(0.1), Model(lr=0.2)], results_root, experiments.noop)
    assert [config["lr"] for config in summary.configs] == [0.1, 0.2]
    with pytest.raises(BadInput, match="expected a mapping, a dataclass or a pydantic model"):
        request_for([3], experiments.noop, results_root)  # type: ignore[list-item]


def test_an_object_that_is_only_an_address_is_never_reused_and_said_once(
    results_root: Path,
) -> None:
    def session() -> Any:
        configs = [{"lr": lr, "model": Opaque()} for lr in (1, 2)] + [{"lr": 3}]
        return new_session(request_for(configs, experiments.noop, results_root, mode="thread"))

    first = session()
    (note,) = first.plan.notes
    assert note == (
        "2 of 3 configs are never reused: they hold objects whose text is only an address"
        " (model is of tests.unit.planning.test_given_configs.Opaque)"
    )
    run_session(first)
    second = session()
    assert (second.plan.count(Action.RUN), second.plan.count(Action.REUSE)) == (2, 1)
    run_session(second)
    unknown = [record["digest"] for record in records(results_root) if "model" in record["config"]]
    assert unknown == [None] * 4
    board = leaderboard(load_rows(results_root).rows)
    counts = [len(group.rows) for group in board.groups]
    assert counts == [1] * 5, "nobody knows that two of them are the same"
    assert verify(results_root).findings == []
    with pytest.raises(BadInput, match=r"model is of .*Opaque; run its script again"):
        load_request(batches(results_root)[0])


def test_a_plan_says_what_json_does_not(tmp_path: Path, capsys: Any) -> None:
    file = tmp_path / "sweep.yaml"
    file.write_text("experiment: tests.support.experiments:noop\ngrid: {clip: [null, .inf]}\n")
    assert main(["plan", str(file)]) == 0
    assert '{"clip":null}  given: {"/clip":"inf"}' in capsys.readouterr().out
    assert main(["plan", str(file), "--json"]) == 0
    configs = json.loads(capsys.readouterr().out)["configs"]
    assert [config["given"] for config in configs] == [{}, {"/clip": "inf"}]


def test_what_does_not_count_need_not_be_known(results_root: Path) -> None:
    configs = [{"lr": 1, "device": Opaque()}]
    request = request_for(configs, experiments.noop, results_root, ignore_keys=["device"])
    plan = new_session(request).plan
    assert (plan.notes, plan.runs[0].digest is None) == ([], False)


_kept = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.just(Path("a/b")),
    lambda inner: (
        st.lists(inner)
        | st.builds(deque, st.lists(inner))
        | st.tuples(inner, inner)
        | st.dictionaries(st.text(), inner)
    ),
    max_leaves=6,
)
_lost = st.sampled_from([Optimizer.ADAM, Layers(), b"x", {1}, Opaque]) | st.dictionaries(
    st.text() | st.integers(), st.booleans()
)
_configs = st.dictionaries(st.text(), _kept, max_size=4)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(configs=st.lists(_configs, min_size=1, max_size=4), lost=st.lists(_lost, max_size=1))
def test_a_rerun_gets_the_configs_that_were_given_or_is_refused(
    configs: list[dict[str, Any]], lost: list[Any], tmp_path_factory: pytest.TempPathFactory
) -> None:
    root = tmp_path_factory.mktemp("results")
    configs[0] |= {"may be lost": lost}
    try:
        session = new_session(request_for(configs, experiments.noop, root, mode="thread"))
        with session:
            pass
        again = load_request(batches(root)[0])
    except BadInput as refused:
        event("cannot be restored" if "restored" in str(refused) else str(refused)[-40:])
        return
    asked = [run.config for run in session.plan.runs]
    assert repr(list(again.configs)) == repr([plain_of(config) for config in asked])
    digests = [run.digest for run in new_session(again).plan.runs]
    assert digests == [run.digest for run in session.plan.runs]
