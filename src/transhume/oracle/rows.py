"""Rows of one mapping side by side: columns, what is joined to them, what identifies them. No rule stands here."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Self

from transhume.oracle.reading import JoinedRow, RowScope
from transhume.plan.types import resolve
from transhume.rules.rule import Argument, ColumnRef, Outcome

if TYPE_CHECKING:
    from transhume.oracle.row import Oracle

Key = tuple[str, ...]
_NOTHING: Mapping[str, JoinedRow] = {}


class Rows:
    """Some rows, each as `Oracle.expected_row` takes it. What is asked of a column is read once for all of them."""

    __slots__ = ("_columns", "_key_parts", "_key_values", "_scopes", "joined", "oracle", "rows")

    def __init__(
        self,
        oracle: "Oracle",
        rows: Sequence[Mapping[str, Any]],
        joined: Sequence[Mapping[str, JoinedRow]] | None = None,
        *,
        columns: dict[str, list[Any]] | None = None,
        key_parts: dict[str, list[Outcome]] | None = None,
    ) -> None:
        """Take the rows, and for each one what every alias stands for; `columns` and `key_parts` known already."""
        self.oracle, self.rows = oracle, rows
        self.joined = joined if joined is not None else [_NOTHING] * len(rows)
        self._columns = columns if columns is not None else {}
        self._key_parts = key_parts if key_parts is not None else {}
        self._key_values: dict[tuple[str, ...], list[tuple[Any, ...] | None]] = {}
        self._scopes: list[RowScope] | None = None

    def __len__(self) -> int:
        """Return how many rows there are."""
        return len(self.rows)

    @property
    def scopes(self) -> list[RowScope]:
        """What the rules' twins ask, row by row."""
        if self._scopes is None:
            oracle = self.oracle
            self._scopes = [RowScope(oracle, row, known) for row, known in zip(self.rows, self.joined, strict=True)]
        return self._scopes

    def beside(self, joined: Sequence[Mapping[str, JoinedRow]]) -> Self:
        """Return the same rows beside other joined ones."""
        own = {name: values for name, values in self._columns.items() if self._is_own(name)}
        parts = {name: parts for name, parts in self._key_parts.items() if self._is_own(name)}
        return type(self)(self.oracle, self.rows, joined, columns=own, key_parts=parts)

    def take(self, places: Sequence[int]) -> Self:
        """Return the rows at these places."""
        columns = {name: _at(values, places) for name, values in self._columns.items()}
        parts = {name: _at(each, places) for name, each in self._key_parts.items()}
        rows, joined = _at(self.rows, places), _at(self.joined, places)
        return type(self)(self.oracle, rows, joined, columns=columns, key_parts=parts)

    def column(self, name: str) -> list[Any]:
        """Return the values of a column, or of `alias.column`, as the rows hold them."""
        values = self._columns.get(name)
        if values is None:
            if self._is_own(name):
                values = [row[name] for row in self.rows]
            else:
                # By the alias's own name of the column: of a pivot's columns each one is the same column of its table.
                alias, _, column = name.partition(".")
                found = [known.get(alias) for known in self.joined]
                values = [each[column] if isinstance(each, Mapping) else None for each in found]
            self._columns[name] = values
        return values

    def columns(self, names: Sequence[str]) -> Sequence[Any]:
        """Return for each row the value of the one column, or a tuple with those of all."""
        if len(names) == 1:
            return self.column(names[0])
        return list(zip(*(self.column(name) for name in names), strict=True)) if names else [()] * len(self.rows)

    def key_parts(self, name: str) -> list[Outcome]:
        """Return a column as it identifies rows: as text where it has one."""
        parts = self._key_parts.get(name)
        if parts is None:
            read = self.oracle.key_reader(name)
            parts = self._key_parts[name] = list(map(read, self.scopes))
        return parts

    def key_values(self, names: Sequence[str]) -> list[tuple[Any, ...] | None]:
        """Return the values by which columns identify each row, None where one is NULL or cannot be read."""
        found = self._key_values.get(tuple(names))
        if found is None:
            columns = [self.key_parts(name) for name in names]
            found = [_values(parts) for parts in zip(*columns, strict=True)]
            self._key_values[tuple(names)] = found
        return found

    def keys(self, arguments: Sequence[Argument]) -> list[Key | None]:
        """Return the key that arguments (of `key`, `on`, a reference) make of each row, None where a part has none.

        Without arguments it is the empty one.
        """
        if not arguments:
            return [()] * len(self.rows)
        columns = [
            self.key_parts(argument.name)
            if isinstance(argument, ColumnRef)
            else [scope.as_text(argument) for scope in self.scopes]
            for argument in arguments
        ]
        return [_key(parts) for parts in zip(*columns, strict=True)]

    def _is_own(self, name: str) -> bool:
        return resolve(self.oracle.mapping, name)[1] == name


def _at(values: Sequence[Any], places: Sequence[int]) -> list[Any]:
    return [values[place] for place in places]


def _values(parts: tuple[Outcome, ...]) -> tuple[Any, ...] | None:
    found = []
    for value, reasons in parts:
        if value is None or reasons:
            return None
        found.append(value)
    return tuple(found)


def _key(parts: tuple[Outcome, ...]) -> Key | None:
    texts = []
    for value, reasons in parts:
        if value is None or reasons:
            return None
        texts.append(str(value))
    return tuple(texts)
