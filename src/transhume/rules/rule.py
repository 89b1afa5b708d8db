"""What a rule is: parameters, needs, its SQL twin and its Python twin. No single rule stands here.

A rule never imports another: where it takes a column it may hold a rule, and both twins reach it through
the scope (`SqlScope.argument`, `PythonScope.argument`). The twins of a rule share its parameters and nothing else.
"""

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, NamedTuple, Protocol, Self

from annotated_types import MinLen
from pydantic import BaseModel, BeforeValidator, ConfigDict, ValidationInfo
from sqlglot import exp

from transhume.facts import Need
from transhume.schema import LogicalType
from transhume.words import kind_of


class Text(str):
    """A scalar of the plan as it was written; `quoted` tells a literal from a bare word."""

    __slots__ = ("quoted",)
    quoted: bool

    def __new__(cls, text: str, *, quoted: bool = False) -> Self:
        """Return the text with its quoting."""
        made = super().__new__(cls, text)
        made.quoted = quoted
        return made


def is_quoted(text: str) -> bool:
    """Say whether a plan's scalar stands in quotes (a plain `str` counts as bare)."""
    return isinstance(text, Text) and text.quoted


@dataclass(frozen=True, slots=True)
class ColumnRef:
    """A source column, or `alias.column` of a join."""

    name: str


@dataclass(frozen=True, slots=True)
class Constant:
    """A literal text of the plan; the type it is used with gives it its type. None is NULL."""

    text: str | None


@dataclass(frozen=True, slots=True)
class Otherwise:
    """What happens to a value that a rule cannot place: `reject`, `null`, `keep` or `literal` (with `text`)."""

    action: str
    text: str = ""


@dataclass(frozen=True, slots=True)
class Reason:
    """A row for which `condition` is TRUE is rejected with `text`, a `kind:source_column`."""

    condition: exp.Expression
    text: str


@dataclass(frozen=True, slots=True)
class Sql:
    """What the SQL twin gives: a value of `type`, NULL wherever a reason holds, and the reasons in rule order."""

    value: exp.Expression
    type: LogicalType
    reasons: tuple[Reason, ...] = ()


class Outcome(NamedTuple):
    """What the Python twin gives: a value (None for NULL) and the reasons that hold, in rule order.

    Values: str, int, float, bool, bytes, decimal.Decimal, uuid.UUID, datetime.date, datetime.time,
    naive datetime.datetime (timestamp), aware UTC datetime.datetime (timestamptz), list (its elements likewise).
    """

    value: Any
    reasons: tuple[str, ...] = ()


class RuleProblem(ValueError):
    """A rule cannot work on the columns it is given: `message` says what, `cure` what to write instead."""

    def __init__(self, message: str, cure: str = "") -> None:
        self.message, self.cure = message, cure
        super().__init__(message)


class RuleInvalid(ValueError):
    """A node of the plan is not a rule, or not a complete one; `problems` are (path below the node, message).

    A path holds keys and list positions, such as ("coalesce", 1, "in"); the empty path is the node itself.
    """

    def __init__(self, problems: Sequence[tuple[tuple[str | int, ...], str]]) -> None:
        self.problems = tuple(problems)
        super().__init__("; ".join(message for _, message in self.problems))


class TypeScope(Protocol):
    """What a rule may ask when only types are known."""

    def argument(self, argument: "Argument", wanted: LogicalType | None = None) -> LogicalType:
        """Return the type of a column, constant or nested rule; of a constant, `wanted` or text."""
        ...

    def lookup_value(self, name: str) -> LogicalType:
        """Return the type of a lookup's value column."""
        ...


class SqlScope(Protocol):
    """What the SQL twin may ask while one table mapping is compiled."""

    namespace: str
    """The plan's namespace, as the 32 hexadecimal digits of its UUID."""
    source_table: str

    def argument(self, argument: "Argument", wanted: LogicalType | None = None) -> Sql:
        """Return the value of a column, constant or nested rule, converted to `wanted` if given.

        Its reasons are included: a rule passes on the reasons of its arguments before its own.
        """
        ...

    def as_text(self, argument: "Argument") -> Sql:
        """Return the argument as text where that is exact (text, integers, UUIDs, decimals, odd values).

        A column that the extract carries as text gives that text. Raises: RuleProblem for other types.
        """
        ...

    def bind(self, expression: exp.Expression) -> exp.Column:
        """Evaluate an expression once per row and return a name for it that may be used many times."""
        ...

    def join(self, need: Need, on: Mapping[str, exp.Expression]) -> Callable[[str], exp.Column]:
        """Left-join the relation of `need` on its columns being equal to these expressions.

        Returns a function from a relation's column to a reference; all are NULL where no row matches.
        The relation has at most one row per key.
        """
        ...

    def key_of(self, mapping: str) -> tuple[str, tuple[str, ...]]:
        """Return source table and key columns of another table mapping."""
        ...


class PythonScope(Protocol):
    """What the Python twin may ask about the row at hand; built by the oracle, never by the compiler."""

    namespace: str
    """The plan's namespace text."""
    source_table: str

    def type_of(self, argument: "Argument") -> LogicalType:
        """Return the type of a column, constant or nested rule, as `TypeScope.argument` gives it."""
        ...

    def argument(self, argument: "Argument", wanted: LogicalType | None = None) -> Outcome:
        """Return the value of a column, constant or nested rule, converted to `wanted` if given."""
        ...

    def as_text(self, argument: "Argument") -> Outcome:
        """Return the argument as text."""
        ...

    def lookup(self, name: str) -> Mapping[str, str | None]:
        """Return a lookup as a mapping of key text to value text."""
        ...

    def canonical_names(self, name: str) -> Mapping[str, tuple[str, ...]]:
        """Return a names lookup: canonical name to its other spellings."""
        ...

    def key_of(self, mapping: str) -> tuple[str, tuple[str, ...]]:
        """Return source table and key columns of another table mapping."""
        ...

    def children(self, table: str, on: Mapping[str, str], columns: Sequence[str]) -> Iterator[tuple["Outcome", ...]]:
        """Yield these columns, as texts, of every row of a source table whose `on` columns have these texts."""
        ...

    def secret(self, reference: str) -> bytes:
        """Return the secret that a reference (`${NAME}`) stands for."""
        ...

    def parent_fate(self, mapping: str, key: tuple[str, ...]) -> str | None:
        """Return the fate (`compiler.transform`) of the row with this key (as texts); None if there is none."""
        ...


def label(argument: "Argument") -> str:
    """Return the source column that a reason names: the first column that the argument is made of."""
    if isinstance(argument, ColumnRef):
        return argument.name
    if isinstance(argument, Constant):
        return "constant"
    return next(iter(argument.columns()), "constant")


class Rule(BaseModel):
    """One rule with its parameters. Subclasses stand in `rules/<verb>.py`, one each, listed in RULES.

    `verb` names the rule; the field of the same meaning that holds its column is aliased to the verb.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, arbitrary_types_allowed=True, populate_by_name=True)
    verb: ClassVar[str]

    def arguments(self) -> Iterator["Argument"]:
        """Yield the columns, constants and rules that this rule takes, in order."""
        raise NotImplementedError(self.verb)

    def columns(self) -> Iterator[str]:
        """Yield every source column (or alias.column) that the rule reads, nested ones included."""
        for argument in self.arguments():
            if isinstance(argument, ColumnRef):
                yield argument.name
            elif isinstance(argument, Rule):
                yield from argument.columns()

    def needs(self) -> Iterator[Need]:
        """Yield the relations that the SQL twin joins, nested rules' ones included."""
        for argument in self.arguments():
            if isinstance(argument, Rule):
                yield from argument.needs()

    def secrets(self) -> Iterator[str]:
        """Yield the references (`${NAME}`) to secrets that the rule computes with, nested rules' ones included."""
        for argument in self.arguments():
            if isinstance(argument, Rule):
                yield from argument.secrets()

    def result(self, scope: TypeScope, wanted: LogicalType | None) -> LogicalType:
        """Return the type of the rule's value where the target column is of type `wanted` (None: not known yet).

        Raises: RuleProblem where the types do not fit.
        """
        raise NotImplementedError(self.verb)

    def to_sql(self, scope: SqlScope, wanted: LogicalType) -> Sql:
        """Return the SQL twin's value and reasons; the compiler converts the value to the target column."""
        raise NotImplementedError(self.verb)

    def to_python(self, scope: PythonScope, wanted: LogicalType) -> Outcome:
        """Return what one row gives, by plain Python, knowing nothing of the SQL twin."""
        raise NotImplementedError(self.verb)

    def way(self, scope: PythonScope) -> str:  # noqa: ARG002
        """Return which of its ways the rule takes for a row (a form, a choice, a code), "" where it has one only.

        A sample is chosen, and its coverage stated, so that every way is taken by some row.
        """
        return ""

    def ways(self, names: Mapping[str, Collection[str]]) -> tuple[str, ...]:  # noqa: ARG002
        """Return the ways of `way` that the plan itself lists, in its order; `names` are the canonical ones by lookup.

        What a value alone decides (a fallback, a folded spelling, a skipped time) is not among them.
        """
        return ()


def parse_argument(node: Any, info: ValidationInfo) -> ColumnRef | Constant | Rule:
    """Turn a node of the plan into an argument: bare word = column, quoted = literal, mapping = rule.

    `info.context["parse_rule"]` is the registry's function; rules do not know one another.
    """
    if isinstance(node, ColumnRef | Constant | Rule):
        return node
    if isinstance(node, str):
        if is_quoted(node):
            return Constant(str(node))
        return Constant(None) if node == "null" else ColumnRef(str(node))
    if isinstance(node, Mapping):
        if info.context is None:
            message = "a nested rule can only be read with the registry at hand"
            raise ValueError(message)
        rule: Rule = info.context["parse_rule"](node, info.context)
        arguments = tuple(rule.arguments()) if rule.verb == "copy" else ()
        # A plain copy inside a rule is the column itself, whichever way its name is written.
        return arguments[0] if arguments and isinstance(arguments[0], ColumnRef) else rule
    message = f"expected a column, a quoted text or a rule, found {kind_of(node)}"
    raise ValueError(message)


def parse_otherwise(node: Any) -> Otherwise:
    """Turn a plan's `else:` into an Otherwise: a keyword, a quoted text or `{value: text}`."""
    if isinstance(node, Otherwise):
        return node
    if isinstance(node, Mapping) and set(node) == {"value"} and isinstance(node["value"], str):
        return Otherwise("literal", str(node["value"]))
    if isinstance(node, str):
        if is_quoted(node):
            return Otherwise("literal", str(node))
        if node in {"reject", "null", "keep"}:
            return Otherwise(str(node))
    message = f"expected reject, null, keep or a quoted text, found '{node}'; a literal stands in quotes"
    raise ValueError(message)


def parse_flag(node: Any) -> bool:
    """Turn a plan's `true` or `false` into a bool; no other word is one."""
    if isinstance(node, bool):
        return node
    if isinstance(node, str) and node in {"true", "false"}:
        return bool(node == "true")
    message = f"expected true or false, found '{node}'"
    raise ValueError(message)


def _as_tuple(node: Any) -> Any:
    return tuple(node) if isinstance(node, list | tuple) else (node,)


Argument = Annotated[ColumnRef | Constant | Rule, BeforeValidator(parse_argument)]
Arguments = Annotated[tuple[Argument, ...], BeforeValidator(_as_tuple), MinLen(1)]
"""One argument or a list of them."""
OtherwiseField = Annotated[Otherwise, BeforeValidator(parse_otherwise)]
Flag = Annotated[bool, BeforeValidator(parse_flag)]
