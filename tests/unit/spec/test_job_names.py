"""Names of jobs: readable, short, different, and never an error."""

from __future__ import annotations

import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from argus_tasks.spec.config_sections import JobTemplates
from argus_tasks.spec.job_names import JobNamer, JobNames, job_names


def ids(*configs: dict[str, Any], **templates: str) -> list[str]:
    return [names.id for names in job_names(configs, JobTemplates(**templates))]


@pytest.mark.parametrize(
    ("configs", "expected"),
    [
        (
            [{"model": "PatchTST", "dataset": "etth1", "seed": 1, "epochs": 3}],
            ["PatchTST-etth1-s1"],
        ),
        (
            [{"lr": lr, "dataset": "d", "model": "m", "seed": 0} for lr in (0.001, 1e-5)],
            ["m-d-s0-lr0.001", "m-d-s0-lr1e-05"],
        ),
        ([{"model": {"name": "mlp", "w": w}} for w in (1, 2)], ["mlp-w1", "mlp-w2"]),
        (
            [{"a": {"n": 1}, "b": {"n": 1}}, {"a": {"n": 2}, "b": {"n": 2}}],
            ["a.n1-b.n1", "a.n2-b.n2"],
        ),
        ([{"amp": True}, {"amp": False}, {"amp": None}], ["amp", "no-amp", "ampnone"]),
        ([{"act": "relu"}, {"act": "gelu"}], ["relu", "gelu"]),
        ([{"h": [64, 64]}, {"h": [32]}, {"h": []}], ["h64x64", "h32", None]),
        ([{"x": 1}, {}], ["x1", "run-1"]),
        ([{}], ["run-0"]),
        ([{"data": "a b/c:ö"}, {"data": "d"}], ["a-b-c", "d"]),
    ],
)
def test_default_names(configs: list[dict[str, Any]], expected: list[str | None]) -> None:
    for name, want in zip(ids(*configs), expected, strict=True):
        assert want is None or name == want


def test_equal_configs_are_numbered() -> None:
    assert ids({"model": "m"}, {"model": "m"}, {"model": "m"}) == ["m", "m-2", "m-3"]
    assert ids({"model": "m"}, {"model": "m-2"}, {"model": "m"}) == ["m", "m-2", "m-3"]


def test_equal_names_of_different_configs_end_in_their_digests() -> None:
    configs = [{"model": "m", "x": n} for n in range(3)]
    digests = ["a" * 64, "b" * 64, "c" * 64]
    template = JobTemplates(id="{model}")
    names = {names.id for names in job_names(configs, template, digests)}
    assert names == {"m-aaaaaa", "m-bbbbbb", "m-cccccc"}
    turned = job_names(configs[::-1], template, digests[::-1])
    assert [names.id for names in turned] == ["m-cccccc", "m-bbbbbb", "m-aaaaaa"]
    alone = job_names(configs[:1], template, digests[:1])
    assert [names.id for names in alone] == ["m"]


def test_templates() -> None:
    config = {"net": "mlp", "optim": {"lr": 0.01}, "seed": 3, "tags": ["a"]}
    assert ids(config, id="{net}-lr{optim.lr}-s{seed}-{index}") == ["mlp-lr0.01-s3-0"]
    assert ids(config, {}, id="x-{net}") == ["x-mlp", "x"]
    assert ids(config, id="{{{net}}}")[0] == "mlp"
    names = JobNamer([config], JobTemplates(model="{net}", dataset="set-{seed}")).render(config, 0)
    assert names == JobNames("s3", "mlp", "set-3")
    assert ids({"index": 9}, id="n{index}") == ["n9"]


def test_nothing_is_evaluated() -> None:
    assert ids({"a": "x"}, id="n{a.__class__}{a!r}{a:>10}") == ["n"]
    assert ids({"a": "{b}", "b": "y"}, id="{a}") == ["b"]


def test_model_and_dataset() -> None:
    [names] = job_names([{"model_name": "m", "dataset": {"name": "d"}}])
    assert (names.model, names.dataset) == ("m", "d")
    [names] = job_names([{"model": {"layers": 2}, "dataset": True}])
    assert (names.model, names.dataset) == (None, None)


def test_long_names_are_cut_and_differ() -> None:
    configs = [{f"key_number_{k}": f"value-{k}-{n}" for k in range(20)} for n in range(50)]
    names = ids(*configs)
    assert all(len(name) <= 80 for name in names)
    assert len(set(names)) == 50
    same = ids(*[configs[0]] * 1200)
    assert all(len(name) <= 80 for name in same)
    assert len(set(same)) == 1200


values = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=100)),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3), st.dictionaries(st.text(max_size=10), inner, max_size=3)
    ),
    max_leaves=8,
)
configs = st.dictionaries(
    st.one_of(st.sampled_from(["model", "dataset", "seed", "lr"]), st.text(max_size=10)), values
)


@given(st.lists(configs, max_size=6))
def test_names_never_fail(many: list[dict[str, Any]]) -> None:
    named = job_names(many)
    assert named == job_names(many)
    assert len({names.id for names in named}) == len(many)
    for names in named:
        assert re.fullmatch(r"[A-Za-z0-9._=+-]{1,80}", names.id)
