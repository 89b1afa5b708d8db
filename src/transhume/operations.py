"""The portable operations that rules, expressions and checks are built of, as SQLGlot nodes.

Each has ONE meaning, written in its docstring; a dialect lowers it by hand. SQLGlot's own functions whose
meaning differs between engines (lower, trim, round, cast of text, AT TIME ZONE ...) are not used.
NULL in, NULL out, unless the docstring says otherwise. No dialect's SQL stands here.
"""

from importlib.util import find_spec

from sqlglot import exp

from transhume.errors import UsageError

if find_spec("sqlglotc") is not None:
    _message = (
        "SQLGlot's compiled form (the package sqlglotc) is installed, and its classes cannot be extended; "
        "pip uninstall sqlglotc, or install transhume into an environment of its own"
    )
    raise UsageError(_message)


class Operation(exp.Expression, exp.Func):
    """A node that a dialect must lower; printing one that was not lowered is a bug."""


class ParquetFiles(Operation):
    """Table function: the rows of the Parquet files `expressions` (text literals), one file after the other.

    Columns are matched by name; the files of one call have the same columns. At least one file.
    """

    arg_types = {"expressions": True}
    is_var_len_args = True


class TrimAscii(Operation):
    """Text without leading and trailing ASCII white space (tab, LF, VT, FF, CR, space)."""

    arg_types = {"this": True}


class CodePoints(Operation):
    """Length of a text in code points, BIGINT."""

    arg_types = {"this": True}


class TextPart(Operation):
    """The `length` code points of a text from the place `start` on (literals, from 1); fewer where the text ends."""

    arg_types = {"this": True, "start": True, "length": True}


class IntegerText(Operation):
    """Decimal digits of an integer, `-` before a negative one."""

    arg_types = {"this": True}


class UuidText(Operation):
    """The lower-case 8-4-4-4-12 text of a UUID."""

    arg_types = {"this": True}


class UuidFromBytes(Operation):
    """UUID of its 16 bytes; the way in which extracts carry UUIDs (`batches.arrow_type`)."""

    arg_types = {"this": True}


class UuidBytes(Operation):
    """The 16 bytes of a UUID."""

    arg_types = {"this": True}


class DecimalText(Operation):
    """Digits of a decimal, `-` before a negative one, with exactly the digits of its scale after the point."""

    arg_types = {"this": True}


class ParseInteger(Operation):
    """BIGINT of a text that is `[+-]?[0-9]+` after TrimAscii; NULL if it is not, or does not fit 64 bits."""

    arg_types = {"this": True}


class ParseDecimal(Operation):
    """decimal(precision, scale) of a text `[+-]?digits[.digits][e[+-]digits]` after TrimAscii.

    NULL if it is not one or if any digit other than zero would be lost or would not fit.
    """

    arg_types = {"this": True, "precision": True, "scale": True}


class ParseDouble(Operation):
    """The nearest double of a text in ParseDecimal's grammar; NULL if infinite, or zero for a number that is not."""

    arg_types = {"this": True}


class ParseBoolean(Operation):
    """BOOLEAN of the texts `true`, `false`, `t`, `f`, `1`, `0` after TrimAscii (exactly these); NULL otherwise."""

    arg_types = {"this": True}


class ParseUuid(Operation):
    """UUID of a text of 8-4-4-4-12 hexadecimal digits in either case after TrimAscii; NULL otherwise."""

    arg_types = {"this": True}


class ParseJson(Operation):
    """The text itself if it is one JSON value by RFC 8259 to the letter, NULL otherwise.

    NaN, Infinity, comments, a comma too many and lone surrogates in escapes are none; repeated names are.
    """

    arg_types = {"this": True}


class JsonKeepsValue(Operation):
    """BOOLEAN: a JSON text survives a system that keeps its value and not its text (PostgreSQL's jsonb).

    FALSE where an object repeats a name, an escape stands for U+0000, or a number has 1,000 digits in a row or an
    exponent of 1,000 or more. Source: https://www.postgresql.org/docs/current/datatype-json.html
    """

    arg_types = {"this": True}


class ParseDate(Operation):
    """DATE of `YYYY-MM-DD` after TrimAscii, years 0001-9999, calendar checked; NULL otherwise."""

    arg_types = {"this": True}


class ParseTime(Operation):
    """TIME of `HH:MM:SS[.f{1,6}]` after TrimAscii, hours 00-23; further fraction digits only if 0; NULL otherwise."""

    arg_types = {"this": True}


class ParseTimestamp(Operation):
    """Naive TIMESTAMP of `YYYY-MM-DD`, space or `T`, `HH:MM:SS[.f]` (ParseDate's and ParseTime's grammars)."""

    arg_types = {"this": True}


class ParseInstant(Operation):
    """TIMESTAMPTZ of ParseTimestamp's text followed by `Z`, `+HH`, `+HH:MM` or `+HH:MM:SS` (or `-`); NULL otherwise.

    Offsets are below 24 hours; an instant outside the years 0001-9999 of UTC is NULL.
    """

    arg_types = {"this": True}


class IsZeroDate(Operation):
    """TRUE for a text that after TrimAscii is `0000-00-00`, alone or with a time: space or `T`, `dd:dd:dd[.d+]`."""

    arg_types = {"this": True}


class IntegerFromDouble(Operation):
    """BIGINT of a double that is a whole number within 64 bits; NULL otherwise (NaN and infinity too)."""

    arg_types = {"this": True}


class IntegerFromDecimal(Operation):
    """BIGINT of a decimal without a fraction; NULL otherwise."""

    arg_types = {"this": True}


class DoubleFromInteger(Operation):
    """Double of an integer that a double holds exactly (magnitude up to 2^53); NULL otherwise."""

    arg_types = {"this": True}


class DoubleFromDecimal(Operation):
    """The nearest double of a decimal."""

    arg_types = {"this": True}


class DecimalFromInteger(Operation):
    """decimal(precision, scale) of an integer; NULL if it does not fit."""

    arg_types = {"this": True, "precision": True, "scale": True}


class DecimalFromDecimal(Operation):
    """decimal(precision, scale) of another decimal; NULL if a digit other than zero would be lost or does not fit."""

    arg_types = {"this": True, "precision": True, "scale": True}


class IsFinite(Operation):
    """FALSE for NaN and the infinities, TRUE for every other double."""

    arg_types = {"this": True}


class FitsInt(Operation):
    """TRUE if a BIGINT lies within 32 bits."""

    arg_types = {"this": True}


class LocalMicros(Operation):
    """Microseconds of a naive TIMESTAMP since 1970-01-01T00:00:00, BIGINT, no zone involved."""

    arg_types = {"this": True}


class LocalYear(Operation):
    """The year of a naive TIMESTAMP, BIGINT."""

    arg_types = {"this": True}


class InstantFromMicros(Operation):
    """TIMESTAMPTZ that lies so many microseconds after 1970-01-01T00:00:00Z; NULL outside years 0001-9999."""

    arg_types = {"this": True}


class InstantText(Operation):
    """`YYYY-MM-DDTHH:MM:SSZ` of a TIMESTAMPTZ in UTC; `.ffffff` before the Z where microseconds are not 0."""

    arg_types = {"this": True}


class TimestampFromDate(Operation):
    """Midnight of a DATE as naive TIMESTAMP."""

    arg_types = {"this": True}


class ApproximateDistinct(Operation):
    """Aggregate: about how many different values there are, BIGINT, a few per cent off; NULL is not counted.

    `kind` (text) is what the values' type is called in `schema.Kind`.
    """

    arg_types = {"this": True, "kind": True}


class Total(Operation):
    """Aggregate: the sum of numbers, exact for integers and decimals; NULL is left out, no value gives NULL.

    The sum of doubles depends on the order of adding. What does not fit the engine's widest type is an error.
    """

    arg_types = {"this": True}


class HashShare(Operation):
    """Which of `shares` (literal) shares the values `expressions` fall into, BIGINT from 0 up; no NULL for NULL.

    Equal values fall into the same share, many different ones into all; which one, each engine decides for itself.
    """

    arg_types = {"expressions": True, "shares": True}


class Uuid5(Operation):
    """RFC 9562 version 5 UUID of a name (text, as UTF-8) in a namespace (`namespace`: hex literal of 32 digits)."""

    arg_types = {"this": True, "namespace": True}


class RegexMatches(Operation):
    """TRUE if the WHOLE text matches `pattern`, a literal in the closed subset of patterns.

    The subset: literal characters (escaped), `[^/]+`-like negated or positive ASCII classes, groups, `*`,
    `+`, `?`, `{m,n}`; no alternation, lookaround, back-reference, flag or lazy repeat.
    """

    arg_types = {"this": True, "pattern": True}


class RegexCapture(Operation):
    """What group number `group` of `pattern` holds if the whole text matches (RegexMatches), else NULL.

    A group that the match left out is NULL; one that may be left out and may be empty is refused.
    """

    arg_types = {"this": True, "pattern": True, "group": True}


class TextBeforeLast(Operation):
    """What stands before the last occurrence of `find`, a literal of one ASCII character.

    NULL if it does not occur, or nothing stands before it.
    """

    arg_types = {"this": True, "find": True}


class TextAfterLast(Operation):
    """What stands after the last occurrence of `find`, a literal of one ASCII character.

    NULL if it does not occur, or nothing stands after it.
    """

    arg_types = {"this": True, "find": True}


class HasNul(Operation):
    """TRUE if a text holds U+0000."""

    arg_types = {"this": True}


class OddClass(Operation):
    """Class of the odd value of column `name` in the row's `_odd` list (`this`), NULL if it has none."""

    arg_types = {"this": True, "name": True}


class OddText(Operation):
    """Text of the odd value of column `name`: digits, repr or text; NULL for none, `blob`, `invalid`, `refused`."""

    arg_types = {"this": True, "name": True}


class JoinReasons(Operation):
    """The texts of those `expressions` that are not NULL, joined by a line feed; NULL if there is none."""

    arg_types = {"expressions": False}
    is_var_len_args = True


class GatheredObject(Operation):
    """Aggregate: the JSON object of the texts `this` as names and `expression` as values, without white space.

    Members stand in the order of their names' code points; a row whose name is NULL is left out, a NULL value is
    null. In strings only the quote, the backslash and control characters are escaped, the latter as the letter
    escapes b t n f r or as u and four upper-case hexadecimal digits. NULL without any name.
    """

    arg_types = {"this": True, "expression": True}


class TextLike(Operation):
    """TRUE if the whole text is like `pattern`, a text literal: `%` any run, `_` any one code point, no escape.

    Case counts; line feeds are characters like others.
    """

    arg_types = {"this": True, "pattern": True}


class IntegerSum(Operation):
    """BIGINT sum of two integers; NULL if it does not fit 64 bits."""

    arg_types = {"this": True, "expression": True}


class IntegerDifference(Operation):
    """BIGINT difference of two integers; NULL if it does not fit 64 bits."""

    arg_types = {"this": True, "expression": True}


class IntegerProduct(Operation):
    """BIGINT product of two integers; NULL if it does not fit 64 bits."""

    arg_types = {"this": True, "expression": True}


class DecimalSum(Operation):
    """decimal(precision, scale) sum of two such decimals; NULL if it does not fit."""

    arg_types = {"this": True, "expression": True, "precision": True, "scale": True}


class DecimalDifference(Operation):
    """decimal(precision, scale) difference of two such decimals; NULL if it does not fit."""

    arg_types = {"this": True, "expression": True, "precision": True, "scale": True}


class DecimalProduct(Operation):
    """decimal(precision, scale) product of two decimals whose scales add up to `scale`; NULL if it does not fit."""

    arg_types = {"this": True, "expression": True, "precision": True, "scale": True}


class DoubleSum(Operation):
    """Sum of two doubles as IEEE 754 gives it; NULL if it is not finite."""

    arg_types = {"this": True, "expression": True}


class DoubleDifference(Operation):
    """Difference of two doubles as IEEE 754 gives it; NULL if it is not finite."""

    arg_types = {"this": True, "expression": True}


class DoubleProduct(Operation):
    """Product of two doubles as IEEE 754 gives it; NULL if it is not finite."""

    arg_types = {"this": True, "expression": True}


class ReplaceText(Operation):
    """Text in which every `find` (a text literal, not empty) is `by`, from the left, none overlapping another."""

    arg_types = {"this": True, "find": True, "by": True}


class HmacSha256(Operation):
    """HMAC-SHA256 (RFC 2104) of a text as UTF-8, 64 lower-case hexadecimal digits.

    `key` (a text literal) is the name of a secret that the session was told; its value stands in no statement.
    """

    arg_types = {"this": True, "key": True}


class SplitText(Operation):
    """list(text) of the parts between every `separator` (a text literal, not empty); no parts in an empty text."""

    arg_types = {"this": True, "separator": True}


class Element(Operation):
    """The element of the list at hand: only inside `expression` of ListMap and ListAny."""

    arg_types = {}


class ListMap(Operation):
    """List of what `expression` gives for each Element of a list, in order; elements that are NULL included."""

    arg_types = {"this": True, "expression": True}


class ListAny(Operation):
    """TRUE if `expression` is TRUE for some Element of a list, else FALSE."""

    arg_types = {"this": True, "expression": True}


class OpenJson(Operation):
    """JSON text (RFC 8259) in the form that the other Json operations take; NULL for any other text.

    Nothing is lent: no NaN, comment, trailing comma, byte-order mark or lone surrogate. Equal keys may stand in one
    object. The form is the dialect's own and never leaves a statement.
    """

    arg_types = {"this": True}


class JsonMember(Operation):
    """What `pointer` (a text literal, RFC 6901) leads to in an OpenJson value, in the same form; NULL for nothing.

    Where a key stands twice in an object it is one of the two: HasJsonKeyTwice tells.
    """

    arg_types = {"this": True, "pointer": True}


class HasJsonKeyTwice(Operation):
    """TRUE if an object on the way of `pointer` (a text literal) holds the way's next key more than once, else FALSE.

    Keys are compared as texts, not as they were escaped. The way ends where it leads to nothing.
    """

    arg_types = {"this": True, "pointer": True}


class JsonKind(Operation):
    """`object`, `array`, `string`, `number`, `boolean` or `null`: what an OpenJson value is."""

    arg_types = {"this": True}


class JsonText(Operation):
    """Text of an OpenJson scalar: a string's characters, a number as it was written, `true`, `false`.

    NULL for null, objects and arrays.
    """

    arg_types = {"this": True}


class JsonWritten(Operation):
    r"""JSON text of an OpenJson value without white space: members in their order, numbers as they were written.

    In strings only `"`, `\` and control characters are escaped: `\b` `\t` `\n` `\f` `\r`, else `\u001F`.
    """

    arg_types = {"this": True}


class JsonQuoted(Operation):
    """The text as a JSON string, escaped as in JsonWritten."""

    arg_types = {"this": True}
