"""Makes readable names of jobs from their configs."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from argus_tasks.base.ids import canonical_json, slug
from argus_tasks.base.nested import MISSING, flatten, reach
from argus_tasks.base.redact import known_secrets, redact
from argus_tasks.base.secret_names import names_a_secret
from argus_tasks.spec.config_sections import JobTemplates
from argus_tasks.spec.templates import fill_template

LONGEST_NAME = 80
_MODEL_KEYS = ("model", "model.name", "model_name")
_DATASET_KEYS = ("dataset", "dataset.name", "dataset_name")


@dataclass(frozen=True)
class JobNames:
    """The names of one run: its readable id, and its model and dataset where the config
    has them."""

    id: str
    model: str | None
    dataset: str | None


class JobNamer:
    """Makes the names of the runs of one sweep.

    It never fails: a key of a template that a config lacks is left out.

    Args:
        configs: all configs, to find out which keys differ between them.
        templates: the templates of the sweep file.
    """

    def __init__(
        self, configs: Sequence[Mapping[str, Any]], templates: JobTemplates | None = None
    ) -> None:
        self._templates = templates or JobTemplates()
        self._varying = {} if self._templates.id else _varying_keys(configs)

    def render(self, config: Mapping[str, Any], index: int) -> JobNames:
        """The names of one config; `index` is its position among all configs, from 0."""
        templates = self._templates
        return JobNames(
            id=self._from(templates.id, config, index) or self._default(config, index),
            model=self._from(templates.model, config, index) or _first(config, _MODEL_KEYS)[1],
            dataset=self._from(templates.dataset, config, index)
            or _first(config, _DATASET_KEYS)[1],
        )

    def _from(self, template: str | None, config: Mapping[str, Any], index: int) -> str | None:
        if template is None:
            return None

        def text_of(key: str) -> str:
            value = reach(config, key)
            if value is MISSING or names_a_secret(key):
                return str(index) if key == "index" else ""
            return value_text(value)

        return slug(fill_template(template, text_of), LONGEST_NAME)

    def _default(self, config: Mapping[str, Any], index: int) -> str:
        model_key, model = _first(config, _MODEL_KEYS)
        dataset_key, dataset = _first(config, _DATASET_KEYS)
        pieces = [piece for piece in (model, dataset) if piece]
        seed = config.get("seed", MISSING)
        if seed is not MISSING:
            pieces.append(f"s{value_text(seed)}")
        named = {model_key, dataset_key, "seed"}
        for key, short in self._varying.items():
            if key not in named:
                value = reach(config, key)
                if value is not MISSING:
                    pieces.append(_piece(short, value))
        return slug("-".join(pieces), LONGEST_NAME) or f"run-{index}"


def job_names(
    configs: Sequence[Mapping[str, Any]],
    templates: JobTemplates | None = None,
    digests: Sequence[str] | None = None,
) -> list[JobNames]:
    """The names of all configs, in order; all ids differ.

    Ids that would be equal end in the first six digits of the config's digest, if digests are
    given, so that they stay the same when configs are reordered. Otherwise they are numbered (`-2`,
    `-3`).
    """
    namer = JobNamer(configs, templates)
    named = [namer.render(config, index) for index, config in enumerate(configs)]
    if digests is not None:
        often = Counter(names.id for names in named)
        named = [
            _with_end(names, digest[:6]) if often[names.id] > 1 else names
            for names, digest in zip(named, digests, strict=True)
        ]
    taken: set[str] = set()
    numbers: dict[str, int] = {}
    for index, names in enumerate(named):
        unique = names
        while unique.id in taken:
            number = numbers[names.id] = numbers.get(names.id, 1) + 1
            unique = _with_end(names, str(number))
        taken.add(unique.id)
        named[index] = unique
    return named


def _with_end(names: JobNames, end: str) -> JobNames:
    return replace(names, id=f"{slug(names.id, LONGEST_NAME - 8)}-{end}")


def value_text(value: Any) -> str:
    """A value as part of a name: short, without secrets, and the same for equal values."""
    if isinstance(value, str):
        return redact(value, known_secrets())
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        return f"{value:.6g}"
    if value is None:
        return "none"
    if isinstance(value, int):
        return str(value)
    if isinstance(value, list | tuple) and all(type(item) in (int, float, str) for item in value):
        text = "x".join(value_text(item) for item in value)
        if 0 < len(text) <= 20:
            return text
    return hashlib.sha256(canonical_json(value).encode()).hexdigest()[:6]


def _piece(key: str, value: Any) -> str:
    if isinstance(value, str):
        return value_text(value)
    if isinstance(value, bool):
        return key if value else f"no-{key}"
    return f"{key}{value_text(value)}"


def _first(config: Mapping[str, Any], keys: Sequence[str]) -> tuple[str | None, str | None]:
    """The first of the keys whose value is text or a number, and that value as text."""
    for key in keys:
        value = reach(config, key)
        if isinstance(value, str | int | float) and not isinstance(value, bool):
            return key, slug(value_text(value), LONGEST_NAME) or None
    return None, None


def _varying_keys(configs: Sequence[Mapping[str, Any]]) -> dict[str, str]:
    """The dotted keys that differ between the configs, in order, each with a short form."""
    first: dict[str, str] = {}
    seen: dict[str, int] = {}
    varying: dict[str, None] = {}
    for config in configs:
        for key, value in flatten(config).items():
            if names_a_secret(key):
                continue
            text = value_text(value)
            seen[key] = seen.get(key, 0) + 1
            if first.setdefault(key, text) != text:
                varying[key] = None
    ordered = [key for key in first if key in varying or seen[key] < len(configs)]
    last = [key.rpartition(".")[2] for key in ordered]
    return {
        key: short if last.count(short) == 1 else key
        for key, short in zip(ordered, last, strict=True)
    }
