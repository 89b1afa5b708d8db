"""What a `files:` URL says: folder, pattern and how its texts are written. No file is looked at here."""

import re
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote

from transhume.errors import UsageError
from transhume.words import hint

_FORM = (
    "files:folder, files:folder/*.csv or files:folder/one.csv, with options behind '?' (delimiter=;&encoding=cp1252)"
)
_DELIMITERS = {"tab": "\t", "\\t": "\t", "comma": ",", "semicolon": ";", "pipe": "|"}
_QUOTES = {'"': '"', "'": "'", "double": '"', "single": "'", "none": ""}
_OPTIONS = ("delimiter", "encoding", "header", "null", "quote")
_ASCII_MAX = 127


@dataclass(frozen=True, slots=True)
class Address:
    """A folder and which of its files are tables; what the URL leaves open is None and found in each file.

    `pattern` is None for every file with a known suffix. `null` is the unquoted text that is NULL.
    """

    folder: Path
    pattern: str | None
    delimiter: str | None = None
    encoding: str | None = None
    header: bool = True
    null: str = ""
    quote: str = '"'

    @property
    def identity(self) -> str:
        """What tells these files from others."""
        return f"files:{self.folder}" if self.pattern is None else f"files:{self.folder}/{self.pattern}"


def parse_url(url: str, base: Path) -> Address:
    """Return the parts of `files:folder/*.csv?delimiter=;`; a relative folder is below `base`.

    `*` stands for any part of a file's name, and only there; `%2A` and `%3F` write `*` and `?` of a name.
    Raises: UsageError for what cannot be read, all of it at once.
    """
    path, _, query = url.partition(":")[2].partition("?")
    path = path.removeprefix("//") if path.startswith("///") else path
    folder, _, last = path.rpartition("/")
    if not path or path.startswith("//") or "*" in folder or "#" in path:
        message = f"the files URL names no folder; write {_FORM}; '*' may stand in the last part only"
        raise UsageError(message)
    options, problems = _options(query)
    delimiter, encoding = options.get("delimiter"), options.get("encoding")
    delimiter = _DELIMITERS.get(delimiter, delimiter) if delimiter is not None else None
    quote = _QUOTES.get(options.get("quote", '"'))
    if delimiter is not None and (len(delimiter) != 1 or ord(delimiter) > _ASCII_MAX or delimiter in "\r\n\0\"'"):
        problems.append("delimiter is one ASCII sign or one of: " + ", ".join(_DELIMITERS))
    if quote is None:
        problems.append("quote is one of: double, single, none")
    if options.get("header", "yes") not in {"yes", "no"}:
        problems.append("header is yes or no")
    if encoding is not None and (problem := encoding_problem(encoding)):
        problems.append(problem)
    if re.search(r"[\r\n\0\"]", options.get("null", "")):
        problems.append("null is a text of one line, without quotes")
    if problems:
        message = f"the files URL cannot be used: {'; '.join(problems)}"
        raise UsageError(message)
    settings = {"header": options.get("header", "yes") == "yes", "null": options.get("null", ""), "quote": quote or ""}
    place = (base / unquote(path)).resolve()
    if "*" in last or not place.is_dir():
        where = base / unquote(folder or ("/" if path.startswith("/") else "."))
        pattern = "".join("*" if part == "*" else _literal(unquote(part)) for part in re.split(r"(\*)", last))
        return Address(where.resolve(), pattern, delimiter, encoding, **settings)  # type: ignore[arg-type]
    return Address(place, None, delimiter, encoding, **settings)  # type: ignore[arg-type]


def encoding_problem(name: str) -> str | None:
    """Return why texts of an encoding cannot be read row by row, None where they can.

    ASCII signs must be the same single bytes everywhere, so that a byte that does not decode spoils one value only;
    UTF-16 is decoded before rows are told apart.
    """
    try:
        if "".join(name.lower().split("-")).replace("_", "").startswith(("utf8", "utf16")):
            b"".decode(name)
            return None
        if all(bytes([each]).decode(name) == chr(each) for each in range(128)) and _is_single_byte(name):
            return None
    except (LookupError, UnicodeDecodeError, ValueError):
        return f"the encoding '{name[:40]}' is not known; write a name such as utf-8, utf-16, latin-1 or cp1252"
    return f"the encoding '{name[:40]}' is not read; convert the files to UTF-8 first (iconv does)"


def _is_single_byte(name: str) -> bool:
    return all(len(bytes([each]).decode(name, "replace")) == 1 for each in range(128, 256)) and (
        # A lead byte of a longer sign gives one replacement sign by itself; two of them would then be fewer than two.
        len(bytes(range(128, 256)).decode(name, "replace")) == 128  # noqa: PLR2004
    )


def _options(query: str) -> tuple[dict[str, str], list[str]]:
    found: dict[str, str] = {}
    problems: list[str] = []
    for pair in query.split("&") if query else ():
        name, equals, value = pair.partition("=")
        if name not in _OPTIONS:
            problems.append(f"'{name[:40]}' is no option; {hint(name, _OPTIONS, 'options are')}")
        elif name in found or not equals:
            problems.append(f"'{name}' stands twice, or without '='")
        else:
            found[name] = unquote(value)
    return found, problems


def _literal(text: str) -> str:
    return re.sub(r"([*?\[])", r"[\1]", text)
