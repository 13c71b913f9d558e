"""What is done for every task that is described: the fields of its node, and its ids."""

from array import array
from typing import Any

class NodeWriter:
    """Makes and fills nodes, which are frozen and have `__slots__`.

    Args:
        cls: `TaskNode`.
        names: Its fields in order.
        defaults: What those that need not be given are otherwise.
    """

    def __init__(
        self, cls: type[Any], names: tuple[str, ...], defaults: dict[str, Any]
    ) -> None: ...
    def write(self, node: Any, values: tuple[Any, ...]) -> None:
        """Write all fields, in order. Nothing is checked."""

    def write_plain(self, node: Any, given: tuple[Any, ...]) -> bool:
        """Write all fields if what is given for them is right beyond doubt, `inputs` empty.

        Returns:
            False if it may not be, and then nothing was written: the checks decide, and say
            what is wrong. The twin always leaves it to them.

        The garbage collector does not track a node that was written so, nor the tuple of its
        dependencies.
        """

    def plain_node(self, item: object) -> Any:
        """The node of a mapping that is right beyond doubt, else None."""

    def find_places(
        self,
        names: tuple[str, ...],
        places: dict[str, int],
        nodes: list[Any],
        first: int,
        found: array[int] | None,
    ) -> bool:
        """Look up names, append their places, and let the tuple hold the ids that the nodes hold.

        An equal str for every edge would be a quarter of the memory of a graph. The twin
        leaves the tuple as it is.

        Args:
            names: The dependencies of a task.
            places: The place of each id.
            nodes: The nodes from place `first` on.
            first: The place of `nodes[0]`.
            found: int32, to append to; None if nobody wants the places.

        Returns:
            False if a name is not in `places`, and then nothing was appended.
        """
