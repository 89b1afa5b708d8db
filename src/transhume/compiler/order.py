"""The order of table mappings by reference."""

from collections.abc import Iterator

from transhume.plan.model import Plan


def table_order(plan: Plan) -> list[tuple[str, ...]]:
    """Return the names of the mappings in groups: every group comes after those that it references.

    A group of more than one is a cycle of references. Inside a group and wherever references leave a choice,
    the plan's order holds. A mapping that references only itself is a group of one; see `is_cyclic`.
    """
    return [tuple(name for name in plan.tables if name in group) for group in _components(plan)]


def is_cyclic(plan: Plan, group: tuple[str, ...]) -> bool:
    """Say whether rows of a group reference rows of the same group, so that fates need a fixpoint."""
    return len(group) > 1 or group[0] in plan.tables[group[0]].parents()


def _components(plan: Plan) -> Iterator[set[str]]:
    """Yield the strongly connected components, referenced ones first.

    Source: R. Tarjan, Depth-first search and linear graph algorithms, 1972, https://doi.org/10.1137/0201010
    """
    parents = {
        mapping.name: [name for name in plan.tables if name in set(mapping.parents())]
        for mapping in plan.tables.values()
    }
    numbers: dict[str, int] = {}
    lowest: dict[str, int] = {}
    open_names: list[str] = []
    for root in plan.tables:
        if root in numbers:
            continue
        path = [(root, iter(parents[root]))]
        numbers[root] = lowest[root] = len(numbers)
        open_names.append(root)
        while path:
            name, rest = path[-1]
            parent = next(rest, None)
            if parent is None:
                path.pop()
                if path:
                    lowest[path[-1][0]] = min(lowest[path[-1][0]], lowest[name])
                if lowest[name] == numbers[name]:
                    cut = open_names.index(name)
                    yield set(open_names[cut:])
                    del open_names[cut:]
            elif parent not in numbers:
                numbers[parent] = lowest[parent] = len(numbers)
                open_names.append(parent)
                path.append((parent, iter(parents[parent])))
            elif parent in open_names:
                lowest[name] = min(lowest[name], numbers[parent])
