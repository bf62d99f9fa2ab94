"""What is wrong with a file is said in a sentence: line, key, value, what was expected."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from argus_tasks.base.errors import BadInput
from argus_tasks.spec.expansion import expand
from argus_tasks.spec.json_schema import json_schema
from argus_tasks.spec.problems import expected_values
from argus_tasks.spec.sweep_spec import SweepSpec, load_sweep_file

# (the file, the sentences); `f` stands for the file's name
TABLE: dict[str, tuple[str, str]] = {
    "a slip in a key": (
        "experiment: a:b\ngird: {a: [1]}\n",
        "f:2: 'gird' is not a key here. Did you mean 'grid'?",
    ),
    "a key in the wrong place": (
        "experiment: a:b\nworkers: 2\n",
        "f:2: 'workers' is not a key here. It belongs in 'execution'.",
    ),
    "a key that is like nothing": (
        "retry: {wibble: 3}\n",
        (
            "f:1: 'wibble' is not a key in retry."
            " There are max_attempts, retry_on, not_on, delay_s, backoff."
        ),
    ),
    "a slip in a nested key": (
        "execution:\n  mode: thread\n  worker: 2\n",
        "f:3: 'worker' is not a key in execution. Did you mean 'workers'?",
    ),
    "a slip in a distribution": (
        "random:\n  n: 2\n  space:\n    lr: {log_unifrom: [1, 2]}\n",
        "f:4: 'log_unifrom' is not a key in random.space.lr. Did you mean 'log_uniform'?",
    ),
    "a slip in a condition": (
        "grid: {a: [1, 2]}\nexclude:\n  - {a: {gtt: 1}}\n",
        "f:3: 'gtt' is not a key in exclude.0.a. Did you mean 'gt'?",
    ),
    "a slip in a condition of the short form": (
        "grid: {a: [1, 2]}\nexclude:\n  a:\n    gtt: 1\n",
        "f:4: 'gtt' is not a key in exclude.a. Did you mean 'gt'?",
    ),
    "no number": (
        "retry:\n  max_attempts: three\n",
        'f:2: retry.max_attempts is "three"; expected an integer of 1 or more.',
    ),
    "no integer": (
        "retry: {max_attempts: 2.5}\n",
        "f:1: retry.max_attempts is 2.5; expected an integer of 1 or more.",
    ),
    "true is no number": (
        "execution: {workers: true}\n",
        "f:1: execution.workers is true; expected an integer of 1 or more, or auto.",
    ),
    "two alternatives, one sentence": (
        "execution: {workers: 0}\n",
        "f:1: execution.workers is 0; expected an integer of 1 or more, or auto.",
    ),
    "a mode that is none": (
        "execution:\n  mode: spark\n",
        (
            'f:2: execution.mode is "spark"; '
            "expected one of sequential, process_pool, joblib, dynamic, thread, dask, ray."
        ),
    ),
    "no count of slots": (
        "limits: {license: two}\n",
        (
            'f:1: limits.license is "two"; expected an integer of 1 or more, or a mapping of limit,'
            " slots and where."
        ),
    ),
    "a key that no limit has": (
        "limits: {license: {limit: 2, slot: 1}}\n",
        "f:1: 'slot' is not a key in limits.license. Did you mean 'slots'?",
    ),
    "too large": (
        "execution: {cpu_threshold: 0}\n",
        "f:1: execution.cpu_threshold is 0; expected a number above 0.",
    ),
    "seconds where a multiple is expected": (
        "execution: {timeout: 60}\n",
        (
            "f:1: execution.timeout is 60;"
            ' expected a multiple of the median duration, above 1x, such as "5x".'
        ),
    ),
    "a multiple that ends half of the runs": (
        "execution: {timeout: 1x}\n",
        (
            'f:1: execution.timeout is "1x";'
            ' expected a multiple of the median duration, above 1x, such as "5x".'
        ),
    ),
    "no time at all": (
        "execution: {timeout_s: 0}\n",
        "f:1: execution.timeout_s is 0; expected a number above 0.",
    ),
    "not finite": (
        "execution: {stop_grace_s: .inf}\n",
        "f:1: execution.stop_grace_s is Infinity; expected a number of 0 or more.",
    ),
    "less than one": (
        "retry: {backoff: 0.5, delay_s: -1}\n",
        (
            "f:1: retry.delay_s is -1; expected a number of 0 or more.\n"
            "f:1: retry.backoff is 0.5; expected a number of 1 or more."
        ),
    ),
    "no list in the grid": (
        "grid:\n  lr: 0.1\n",
        "f:2: grid.lr is 0.1; expected a list of at least one value.",
    ),
    "an empty list in the grid": (
        "grid:\n  a: [1]\n  lr: []\n",
        "f:3: grid.lr is []; expected a list of at least one value.",
    ),
    "variants that are none": (
        "variants: [{a: 1}, b]\n",
        'f:1: variants.1 is "b"; expected a mapping of keys to values.',
    ),
    "an experiment without a colon": (
        "experiment: forecast.py\n",
        (
            'f:1: experiment is "forecast.py"; expected "package.module:function", or'
            ' "hydra:path/to/app.py".'
        ),
    ),
    "a name that is a number": ("name: 12\n", "f:1: name is 12; expected text."),
    "random without n": (
        "random:\n  space: {a: {choice: [1]}}\n",
        "f:1: random.n is missing; expected an integer of 1 or more.",
    ),
    "random without space": (
        "random:\n  n: 3\n",
        (
            "f:1: random.space is missing; expected a mapping of keys to distributions, "
            "with at least one."
        ),
    ),
    "two distributions for a key": (
        "random:\n  n: 3\n  space:\n    a: {choice: [1], int: [1, 2]}\n",
        (
            'f:4: random.space.a is {"choice": [1], "int": [1, 2]}; '
            "expected a mapping with one of uniform, log_uniform, int and choice."
        ),
    ),
    "a falling range": (
        "random:\n  n: 3\n  space:\n    a:\n      uniform: [2, 1]\n",
        "f:5: random.space.a.uniform is [2, 1]; expected [low, high], low < high.",
    ),
    "a logarithm of zero": (
        "random: {n: 3, space: {a: {log_uniform: [0, 1]}}}\n",
        "f:1: random.space.a.log_uniform is [0, 1]; expected [low, high], 0 < low < high.",
    ),
    "an int that is none": (
        "random: {n: 3, space: {a: {int: [0.5, 1]}}}\n",
        "f:1: random.space.a.int is [0.5, 1]; expected [low, high], two integers, low <= high.",
    ),
    "repeats in the short form": (
        "repeats: 0\n",
        "f:1: repeats is 0; expected an integer of 1 or more.",
    ),
    "repeats that are neither": (
        "repeats: [1]\n",
        "f:1: repeats is [1]; expected an integer of 1 or more, or a mapping of n and seed.",
    ),
    "repeats in the long form": (
        "repeats:\n  n: 2\n  seed: x\n",
        'f:3: repeats.seed is "x"; expected an integer.',
    ),
    "a filter that is none": (
        "exclude: naive\n",
        (
            'f:1: exclude is "naive"; expected a mapping of keys to conditions, '
            "or a list of such mappings."
        ),
    ),
    "a condition with nothing to compare with": (
        "grid: {a: [1]}\nexclude: {a: {gt: x}}\n",
        'f:2: exclude.a.gt is "x"; expected a number.',
    ),
    "a condition that is null": (
        "grid: {a: [1]}\nexclude: {a: {gt: null}}\n",
        (
            'f:2: exclude.a is {"gt": null}; '
            "expected a value, a list of values, or a mapping of gt, ge, lt, le, in, not or glob."
        ),
    ),
    "tags": (
        "metadata:\n  tags: [1]\n",
        "f:2: metadata.tags is [1]; expected a list of texts, or a mapping of text to text.",
    ),
    "a template with an open brace": (
        "job:\n  id: '{model'\n",
        (
            'f:2: job.id is "{model"; expected text with keys of the config in braces, '
            'such as "{model}-{dataset}".'
        ),
    ),
    "a key twice": (
        "base:\n  lr: 1\n  wd: 2\n  lr: 3\n",
        "f:4: the key 'lr' is given twice, first in line 2.",
    ),
    "an unknown variable": (
        "base:\n  root: ${NOT_THERE}/x\n",
        (
            "f:2: the environment variable 'NOT_THERE' of ${NOT_THERE} is not set; "
            "set it, or write $${ for a plain ${."
        ),
    ),
    "an unknown variable is said once": (
        "execution: \n  workers: ${NOT_THERE}\n",
        (
            "f:2: the environment variable 'NOT_THERE' of ${NOT_THERE} is not set; "
            "set it, or write $${ for a plain ${."
        ),
    ),
    "a tag that makes objects": (
        "base:\n  x: !!python/object/apply:os.system [ls]\n",
        "f:2: the tag '!!python/object/apply:os.system' is not allowed in a sweep file.",
    ),
    "a number beyond all numbers": (
        "base:\n  commit: 12e4567\n",
        "f:2: '12e4567' cannot be read as a number; quote it if it is text.",
    ),
    "an alias of itself": (
        "base: &b\n  x: *b\n",
        "f:2: an alias refers to what it stands in.",
    ),
    "a key that is a list": (
        "base:\n  [1, 2]: x\n",
        "f:1: a key is a list or a mapping; expected text.",
    ),
    "a merge of nothing": (
        "base:\n  <<: 3\n",
        "f:1: '<<' takes a mapping or a list of mappings.",
    ),
    "not YAML": (
        "base: {a: 1\ngrid: 2\n",
        "f:2: not YAML: did not find expected ',' or '}' (while parsing a flow mapping).",
    ),
    "nothing": ("# empty\n", "f: a sweep file is a mapping of keys; this is nothing in it."),
    "a list": ("- a\n", "f:1: a sweep file is a mapping of keys; this is a list."),
    "many at once, in the file's order": (
        "name: x\nretry: {max_attempts: 0}\nbase: {a: '${NOT_THERE}'}\nnmae: y\n",
        (
            "f:2: retry.max_attempts is 0; expected an integer of 1 or more.\n"
            "f:3: the environment variable 'NOT_THERE' of ${NOT_THERE} is not set; "
            "set it, or write $${ for a plain ${.\n"
            "f:4: 'nmae' is not a key here. Did you mean 'name'?"
        ),
    ),
    # found when the file is expanded
    "a filter on a key that is not there": (
        "grid: {model: [a, b]}\ninclude: {}\nexclude:\n  - {model: a}\n  - modle: b\n",
        "f:5: exclude names 'modle', which no config has. Did you mean 'model'?",
    ),
    "a filter on a key that is not there, short form": (
        "grid: {model: [a, b]}\ninclude:\n  modle: b\n",
        "f:3: include names 'modle', which no config has. Did you mean 'model'?",
    ),
    "a template with a key that is not there": (
        "grid: {optim.lr: [1, 2]}\njob:\n  model: m\n  id: 'run-{optim.lrr}'\n",
        "f:4: job.id names 'optim.lrr', which no config has. Did you mean 'optim.lr'?",
    ),
    "an ignored key that is not there": (
        "base: {device: cpu}\nignore_keys: [devcie]\n",
        "f:2: ignore_keys names 'devcie', which no config has at its top. Did you mean 'device'?",
    ),
    "filters that leave nothing": (
        "grid: {a: [1, 2]}\nexclude: {a: {gt: 0}}\n",
        "f:2: include and exclude leave none of the 2 configs.",
    ),
    "a way that is blocked": (
        "base: {optim: adam}\ngrid:\n  optim.lr: [1]\n",
        "f:3: grid.optim.lr cannot be set: 'optim' is \"adam\", not a mapping.",
    ),
    "an empty part": (
        "base:\n  a..b: 1\n",
        "f:2: base.a..b has an empty part between its dots.",
    ),
    "a key in two places": (
        "grid: {model: [a]}\nvariants:\n  - {x: 1}\n  - {model: b}\n",
        "f:4: 'model' is in grid and in variants; expected it in one only.",
    ),
    "two seeds to start from": (
        "base: {seed: 4}\nrepeats: {n: 2, seed: 1}\n",
        "f:2: repeats.seed and the configs' own seed 4 exclude each other.",
    ),
    "a seed that cannot be counted up": (
        "base: {seed: x}\nrepeats: 2\n",
        'f:2: repeats counts up from the seed, which is "x"; expected an integer.',
    ),
    "too many": (
        "random: {n: 600000, space: {a: {uniform: [0, 1]}}}\nrepeats: 2\n",
        "f:1: the sweep has 1,200,000 configs; expected at most 1,000,000.",
    ),
}


@pytest.mark.parametrize("case", TABLE)
def test_yaml(case: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    text, sentences = TABLE[case]
    Path("f.yaml").write_text(text)
    with pytest.raises(BadInput) as caught:
        expand(load_sweep_file("f.yaml", environ={}))
    assert str(caught.value).replace("f.yaml:", "f:") == sentences


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        (
            '{\n  "retry": {\n    "max_attempts": 0\n  }\n}',
            "f.json:3: retry.max_attempts is 0; expected an integer of 1 or more.",
        ),
        (
            '{"base": {"a": ["}", ":,", {"x": "\\""}],\n "b": 1,\n\n "b": 2}}',
            "f.json:4: the key 'b' is given twice, first in line 2.",
        ),
        ('{\n "grid": {"a": [1,]}\n}', "f.json:2: not JSON: "),
        ('{"base": {"a": NaN}}', "f.json: not JSON: NaN is not a JSON number."),
        ('{\n"base": {"a": "${NOT_THERE}"}}', "f.json:2: the environment variable 'NOT_THERE'"),
        ("[1]", "f.json:1: a sweep file is a mapping of keys; this is a list."),
        (
            '{"execution":\n\n{"workers":\n"2"}}',
            'f.json:3: execution.workers is "2"; expected an integer of 1 or more, or auto.',
        ),
    ],
)
def test_json(text: str, sentence: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("f.json").write_text(text)
    with pytest.raises(BadInput) as caught:
        load_sweep_file("f.json", environ={})
    assert str(caught.value).startswith(sentence)
    assert "\n" not in str(caught.value)


def test_files_that_are_none(tmp_path: Path) -> None:
    (tmp_path / "latin.yaml").write_bytes("name: Größe\n".encode("latin-1"))
    (tmp_path / "folder.yaml").mkdir()
    for name, words in {
        "missing.yaml": "there is no such file",
        "sweep.toml": "a sweep file's name ends in .yaml, .yml or .json",
        "latin.yaml": "the file is not UTF-8 text",
        "folder.yaml": "cannot be read",
    }.items():
        with pytest.raises(BadInput, match=words):
            load_sweep_file(tmp_path / name)


def test_a_mapping_has_no_file_to_name() -> None:
    with pytest.raises(BadInput) as caught:
        SweepSpec.from_mapping({"retry": {"max_attempts": 0}, "gird": {}})
    assert str(caught.value).splitlines() == [
        "retry.max_attempts is 0; expected an integer of 1 or more.",
        "'gird' is not a key here. Did you mean 'grid'?",
    ]
    with pytest.raises(BadInput, match=r"^exclude names 'b', which no config has\.$"):
        expand(SweepSpec.from_mapping({"grid": {"a": [1]}, "exclude": {"b": 1}}))


def test_deep_nesting_is_an_error_and_no_crash(tmp_path: Path) -> None:
    deep: dict[str, Any] = {}
    deep["a"] = deep
    with pytest.raises(BadInput, match="nested deeper than 32 levels"):
        SweepSpec.from_mapping({"base": deep})
    (tmp_path / "33.json").write_text('{"base": ' + '{"a":' * 33 + "1" + "}" * 34)
    with pytest.raises(BadInput, match=r"33\.json:1: the values are nested deeper than 32 levels"):
        load_sweep_file(tmp_path / "33.json")
    (tmp_path / "32.json").write_text('{"base": ' + '{"a":' * 32 + "1" + "}" * 33)
    assert load_sweep_file(tmp_path / "32.json").base
    (tmp_path / "deep.json").write_text('{"base": ' + '{"a":' * 100_000 + "1" + "}" * 100_001)
    with pytest.raises(BadInput, match="not JSON"):
        load_sweep_file(tmp_path / "deep.json")
    (tmp_path / "deep.yaml").write_text("base: " + "[" * 100_000 + "]" * 100_000)
    with pytest.raises(BadInput, match=r"deep\.yaml:1: the values are nested deeper"):
        load_sweep_file(tmp_path / "deep.yaml")
    levels = "".join(f"  l{n}: &l{n} {{x: *l{n - 1}}}\n" for n in range(1, 40))
    (tmp_path / "alias.yaml").write_text(f"base:\n  l0: &l0 {{x: 1}}\n{levels}")
    with pytest.raises(BadInput, match="nested deeper"):
        load_sweep_file(tmp_path / "alias.yaml")


def test_every_key_says_what_it_expects() -> None:
    schema = json_schema()

    def keys_of(node: Any, path: tuple[str, ...]) -> set[tuple[str, ...]]:
        found: set[tuple[str, ...]] = set()
        if "$ref" in node:
            node = schema["$defs"][node["$ref"].rpartition("/")[2]]
        for name, below in node.get("properties", {}).items():
            found |= {(*path, name)} | keys_of(below, (*path, name))
        below = node.get("additionalProperties")
        if isinstance(below, dict) and path:
            found |= keys_of(below, (*path, "*"))
        for alternative in node.get("anyOf", []):
            found |= keys_of(alternative, path)
        if "items" in node:
            found |= keys_of(node["items"], (*path, "*"))
        return found

    keys = keys_of(schema, ()) - {("$schema",)}
    assert ("random", "space", "*", "log_uniform") in keys
    filters = {"include": 3, "exclude": 3, "limits": 5}
    short = {path for path in keys if len(path) == filters.get(path[0])}
    assert json.dumps(sorted(keys - short - set(expected_values(SweepSpec)))) == "[]"
