"""A run of the tests of others is held against the list of what is known to differ."""

from __future__ import annotations

import pytest

from tests.peers.known import compare, patterns

RAN = ["test_a.py::test_one[x]", "test_a.py::test_one[y]", "test_a.py::test_two"]


def test_what_differs_and_is_listed_is_known() -> None:
    comparison = compare(["test_a.py::test_two"], RAN, ["test_a.py::test_two"])
    assert (comparison.listed, comparison.unlisted, comparison.outdated) == (["test_a.py::test_two"], [], {})


def test_what_differs_and_is_not_listed_is_found() -> None:
    assert compare(["test_a.py::test_two"], RAN, ["test_a.py::test_one[*]"]).unlisted == ["test_a.py::test_two"]


@pytest.mark.parametrize(
    ("differing", "same"),
    [
        ([], ["test_a.py::test_one[x]", "test_a.py::test_one[y]"]),
        (["test_a.py::test_one[x]"], ["test_a.py::test_one[y]"]),
    ],
)
def test_what_is_listed_and_differs_no_more_is_found(differing: list[str], same: list[str]) -> None:
    """Each test of a pattern has to differ."""
    assert compare(differing, RAN, ["test_a.py::test_one[*]"]).outdated == {"test_a.py::test_one[*]": same}


def test_what_is_listed_and_is_no_test_is_found() -> None:
    assert compare([], RAN, ["test_a.py::test_three"]).outdated == {"test_a.py::test_three": []}


@pytest.mark.parametrize("differing", [[], ["test_a.py::test_two"]])
def test_what_differs_sometimes_need_not(differing: list[str]) -> None:
    comparison = compare(differing, RAN, [], ["test_a.py::test_two"])
    assert (comparison.listed, comparison.unlisted, comparison.outdated) == (differing, [], {})


def test_brackets_and_dots_stand_for_themselves() -> None:
    assert compare(["test_aXpy::test_one[x]"], [], ["test_a.py::test_one[x]"]).unlisted


def test_each_entry_needs_a_sentence() -> None:
    assert patterns([{"reason": "It is so.", "tests": ["a", "b"]}]) == ["a", "b"]
    with pytest.raises(ValueError, match="need a reason"):
        patterns([{"reason": "", "tests": ["a"]}])
