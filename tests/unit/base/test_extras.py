"""A package that is not installed names the extra that brings it."""

from __future__ import annotations

import pytest

from argus_tasks.base.errors import ArgusTasksError
from argus_tasks.base.extras import need


def test_one_of_them_is_enough() -> None:
    need("lightning", "no_such_package", "json")


def test_the_extra_is_named() -> None:
    with pytest.raises(ImportError, match=r"pip install 'argus-tasks\[lightning\]'") as caught:
        need("lightning", "no_such_package", "nor_this_one")
    assert isinstance(caught.value, ArgusTasksError)
    assert str(caught.value).startswith("no_such_package or nor_this_one is not installed")
