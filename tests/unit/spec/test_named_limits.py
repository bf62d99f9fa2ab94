"""Named limits are checked against the configs, and say what an attempt takes."""

from __future__ import annotations

import pytest

from argus_tasks.base.errors import BadInput
from argus_tasks.spec.named_limits import check_limits, required_slots
from argus_tasks.spec.sweep_spec import SweepSpec

CONFIGS = [{"model": "a"}, {"model": "b"}]


@pytest.mark.parametrize(
    ("limit", "sentence"),
    [
        ({"limit": 1, "slots": 2}, "limits.x.slots is 2, more than its limit; expected at most 1."),
        (
            {"limit": 1, "where": {"modle": "a"}},
            "limits.x.where names 'modle', which no config has. Did you mean 'model'?",
        ),
    ],
)
def test_a_limit_that_no_attempt_can_use_is_refused(
    limit: dict[str, object], sentence: str
) -> None:
    with pytest.raises(BadInput) as refused:
        check_limits(SweepSpec.from_mapping({"limits": {"x": limit}}).limits, CONFIGS)
    assert str(refused.value) == sentence


def test_an_attempt_takes_slots_of_the_limits_that_apply_to_its_config() -> None:
    limits = SweepSpec.from_mapping(
        {"limits": {"all": 3, "some": {"limit": 4, "slots": 2, "where": {"model": "b"}}}}
    ).limits
    check_limits(limits, CONFIGS)
    taken = [required_slots(limits, config) for config in CONFIGS]
    assert taken == [(("all", 1),), (("all", 1), ("some", 2))]
