"""Task graphs as text: trees, Mermaid and DOT source, and a summary in figures.

Plain functions of a `TaskGraph`, and of the `GraphResult` of a run of it, if there is one: then
the tasks are marked, or coloured, by the states they ended in. Each returns lines, all of them
ended. Nothing of the engine imports this package, and it changes nothing.

    import tgtrio.drawing

    print(tgtrio.drawing.draw_tree(graph))
    Path("graph.dot").write_text(tgtrio.drawing.to_dot(graph, result))

A drawing of more than `limit` boxes would be read by nobody. Then tasks of one action and one
level (the longest way from a task without dependencies) are folded into one box that says how
many they are; where that is not enough, several levels, and at last all actions of a level.
`limit=None` draws every task.

| module | what lives there |
|---|---|
| `_picture`, `_folding` | boxes and arrows: a box for each task, or for several |
| `_labels` | what is written in a box |
| `_tree`, `_mermaid`, `_dot` | the drawings |
| `_figures`, `_summary` | what is counted, and how it is told |
"""

from ._dot import to_dot
from ._figures import Figures, measure
from ._mermaid import to_mermaid
from ._summary import summarize
from ._tree import draw_tree

__all__ = ["Figures", "draw_tree", "measure", "summarize", "to_dot", "to_mermaid"]

for _name in __all__:
    globals()[_name].__module__ = __name__
del _name
