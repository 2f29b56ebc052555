"""Where workers are to be on a cluster that somebody else keeps."""

import pytest

from slackwater.core.placement import (
    AGAIN_SECONDS,
    AGAIN_SECONDS_MAX,
    LASTING_SECONDS,
    REFUSED_SECONDS,
    Node,
    Step,
    again_seconds,
    step,
    takes,
)

HEAD = Node(id="h", name="10.0.0.1", head=True, resources=frozenset({"CPU", "slackwater"}))
ONE = Node(id="a", name="10.0.0.2", resources=frozenset({"CPU"}))
TWO = Node(id="b", name="10.0.0.3", resources=frozenset({"CPU", "slackwater"}))


def gone(node: Node) -> Node:
    return Node(id=node.id, name=node.name, alive=False)


def leaving(node: Node) -> Node:
    return Node(id=node.id, name=node.name, leaving=True, resources=node.resources)


def test_all_but_the_head_take_one() -> None:
    """Unless a resource is asked for: then those that have it, the head among them if it does."""
    assert [takes(each, "") for each in (HEAD, ONE, TWO)] == [False, True, True]
    assert [takes(each, "slackwater") for each in (HEAD, ONE, TWO)] == [True, False, True]
    assert not takes(gone(TWO), "")
    assert not takes(leaving(TWO), "")


def test_a_node_that_joins_gets_one() -> None:
    """Once: who has one, gets no other."""
    assert step([HEAD, ONE, TWO], {}, resource="") == Step(start=("a", "b"))
    assert step([HEAD, ONE, TWO], {"a": False}, resource="") == Step(start=("b",))
    assert step([HEAD, ONE, TWO], {"a": False, "b": False}, resource="") == Step()


def test_a_node_that_is_about_to_go_lets_its_worker_end() -> None:
    """It is told once, and gets no other one when that has ended."""
    nodes = [HEAD, leaving(ONE), TWO]
    assert step(nodes, {"a": False, "b": False}, resource="") == Step(end=("a",))
    assert step(nodes, {"a": True, "b": False}, resource="") == Step()
    assert step(nodes, {"b": False}, resource="") == Step()


def test_a_node_that_is_gone() -> None:
    """Somebody asks whether its worker lives, also where it was about to end, and where nobody knows the node any more."""
    assert step([HEAD, gone(ONE), TWO], {"a": False, "b": False}, resource="") == Step(lost=("a",))
    assert step([HEAD, TWO], {"a": True, "b": False}, resource="") == Step(lost=("a",))
    assert step([], {"a": False}, resource="") == Step(lost=("a",))


def test_who_is_sent_away() -> None:
    """One node, or all of them."""
    assert step([ONE, TWO], {"a": False, "b": False}, resource="", sent_away={"a"}) == Step(end=("a",))
    assert step([ONE, TWO], {}, resource="", sent_away={"a"}) == Step(start=("b",))
    assert step([ONE, TWO], {"a": False, "b": True}, resource="", sent_away={"a", "b"}) == Step(end=("a",))


def test_another_resource_is_asked_for() -> None:
    """Who is where none is to be any more, ends."""
    assert step([HEAD, ONE, TWO], {"a": False}, resource="slackwater") == Step(start=("b", "h"), end=("a",))


@pytest.mark.parametrize("code", [1, -9, 0])
def test_who_ends_again_and_again_is_started_less_and_less_often(code: int) -> None:
    waits = [again_seconds(code, 0.5, ends) for ends in range(40)]
    assert waits[:3] == [AGAIN_SECONDS, 2 * AGAIN_SECONDS, 4 * AGAIN_SECONDS]
    assert waits == sorted(waits)
    assert waits[-1] == AGAIN_SECONDS_MAX
    assert again_seconds(code, LASTING_SECONDS, 7) == AGAIN_SECONDS


def test_who_says_that_something_is_to_be_put_right_is_asked_now_and_then() -> None:
    assert again_seconds(2, 0.5, 0) == again_seconds(2, 1000.0, 9) == REFUSED_SECONDS
