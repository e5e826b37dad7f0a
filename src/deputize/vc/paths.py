"""A path to claims: names into objects, indexes into arrays, and None for each element of an array."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from deputize.core.wire import Malformed

Step = str | int | None
Path = tuple[Step, ...]

STEPS_MAX: Final = 20


def path(said: object) -> Path:
    """Read a path: a text alone is the path of one name. Raises Malformed."""
    steps: Sequence[object] = (said,) if isinstance(said, str) else said if isinstance(said, list | tuple) else ()
    if not 1 <= len(steps) <= STEPS_MAX:
        raise Malformed("a path has one to twenty steps")
    return tuple(_step(step) for step in steps)


def _step(step: object) -> Step:
    if step is None or isinstance(step, str) or (type(step) is int and step >= 0):  # True is no 1 here
        return step
    raise Malformed("a step is a name, an index or null")


@dataclass(frozen=True, slots=True, eq=False)
class Node:
    """A place in a credential as it was issued, with what is there as far as it was shown.

    `disclosure` is the Disclosure that showed it, empty where it is always shown. `value` is a scalar, or the nodes
    below. An element of an array that was not shown is None and keeps its index.
    """

    path: tuple[str | int, ...]
    disclosure: str
    value: object
    members: "dict[str, Node] | None" = None
    elements: "tuple[Node | None, ...] | None" = None

    def below(self) -> "Iterable[Node]":
        """This node, and all that lie below it."""
        yield self
        for child in (*(self.members or {}).values(), *(self.elements or ())):
            if child is not None:
                yield from child.below()


def select(root: Node, steps: Path) -> "list[Node | None]":
    """The nodes that a path selects; None for an element that is there and was not shown.

    Raises Malformed where a step does not fit what it meets. Nothing selected is no error (SD-JWT VC, Claim Path).
    """
    selected: list[Node | None] = [root]
    for step in steps:
        selected = [found for node in selected if node is not None for found in _one(node, step)]
    return selected


def _one(node: Node, step: Step) -> "Sequence[Node | None]":
    if isinstance(step, str):
        if node.members is None:
            raise Malformed("a name selects from objects alone")
        return [node.members[step]] if step in node.members else []
    if node.elements is None:
        raise Malformed("an index or null selects from arrays alone")
    return node.elements if step is None else node.elements[step : step + 1]


def showing(root: Node, nodes: "Iterable[Node]") -> frozenset[str]:
    """The Disclosures that show these nodes with all that lies in them, and those that lead there."""
    wanted = set[str]()
    for node in nodes:
        wanted |= {below.disclosure for below in node.below()} | _above(root, node)
    return frozenset(wanted - {""})


def _above(root: Node, node: Node) -> set[str]:
    """The Disclosures that have to be there for a node to be reached."""
    here, found = root, {root.disclosure}
    for step in node.path:
        if isinstance(step, str):
            here = (here.members or {})[step]
        else:
            element = (here.elements or ())[step]
            if element is None:
                break
            here = element
        found.add(here.disclosure)
    return found
