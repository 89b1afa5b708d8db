"""Secrets of a plan: finding literal ones, resolving `${...}` references. No secret is ever printed from here."""

import importlib
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import quote

from transhume.errors import DriverMissing, Finding, PlanError, Position

_SECRET_BYTES_MAX = 65_536
REFERENCE = re.compile(r"\$\{([^{}]*)\}")
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*\Z")
_USERINFO = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*://[^\s/?#:@]*):(?![0-9]{1,5}/)([^\s'\"]+)@")
"""User and password of a URL. A password may wrongly hold any sign; digits and a slash are a port and a path."""
_PARAMETER = re.compile(r"(?i)([?&;\s][a-z0-9._-]*(?:password|passwd|pwd|secret|token)[a-z0-9._-]*=)([^&;\s'\"]+)")

_MASK_KEY = re.compile(r"(\bmask\s*:.*?\bkey\s*:\s*['\"]?|\bkey\s*:\s*['\"]?(?=[^,}]*,\s*mask\s*:))([^,}'\"]+)")
"""The key of a rule that masks, in one line with it."""


def masked(text: str) -> str:
    """Return a text in which every literal password of a URL or connection string, or key of a mask, is `***`."""
    text = _MASK_KEY.sub(lambda found: found[1] + _mask(found[2]), text)
    text = _USERINFO.sub(lambda found: f"{found[1]}:{_mask(found[2])}@", text)
    return _PARAMETER.sub(lambda found: found[1] + _mask(found[2]), text)


def holds_literal_password(text: str) -> bool:
    """Say whether a URL or connection string holds a password that is not wholly a `${...}` reference."""
    return masked(text) != text


def _mask(secret: str) -> str:
    return secret if not REFERENCE.sub("", secret) else "***"


@dataclass(frozen=True, slots=True, repr=False)
class SecretUrl:
    """A URL with its secrets in it; shows itself as `***`. Only `reveal` gives the text."""

    _text: str

    def reveal(self) -> str:
        """Return the real URL, for a driver and nothing else."""
        return self._text

    def __repr__(self) -> str:
        return "***"

    __str__ = __repr__

    def __format__(self, specification: str) -> str:
        return "***"

    def __reduce__(self) -> str:
        message = "a secret is not written anywhere"
        raise TypeError(message)


@dataclass(frozen=True, slots=True, repr=False)
class Resolver:
    """Looks `${NAME}`, `${file:PATH}` and `${keyring:SERVICE/USER}` up; the environment wins over `.env`."""

    directory: Path
    environment: Mapping[str, str] = field(default_factory=dict)
    dotenv: Mapping[str, str] = field(default_factory=dict)

    def missing(self, text: str) -> list[str]:
        """Return, one sentence each, the references of `text` that have no value; no value is ever in it."""
        return [problem for found in REFERENCE.finditer(text) if (problem := self._problem(found[1]))]

    def resolve(self, text: str, position: Position | None = None) -> SecretUrl:
        """Return `text` with its references replaced; inside `user:password@` values are percent-encoded.

        A text that is one reference and nothing more is taken as it is.
        Raises: PlanError naming each reference without a value, and no other.
        """
        if problems := self.missing(text):
            cure = "set it in the environment, or in the file '.env' beside the plan"
            raise PlanError([Finding("variable", "error", problem, cure, position) for problem in problems])
        host_at = text.rfind("@") if "://" in text else -1
        whole = REFERENCE.fullmatch(text)

        def value(found: re.Match[str]) -> str:
            plain = self._value(found[1])
            return quote(plain, safe="") if not whole and found.start() < host_at else plain

        return SecretUrl(REFERENCE.sub(value, text))

    def _problem(self, reference: str) -> str:
        kind, _, rest = reference.partition(":")
        if kind == "file" and rest:
            return "" if self._file(rest).is_file() else f"the file of '${{{reference}}}' is not there"
        if kind == "keyring" and rest:
            return "" if "/" in rest else f"'${{{reference}}}' names no user: write '${{keyring:service/user}}'"
        if not _NAME.match(reference):
            return f"'${{{reference}}}' is no variable: names are made of letters, digits and '_'"
        if reference in self.environment or reference in self.dotenv:
            return ""
        return f"the variable '{reference}' is not set"

    def _value(self, reference: str) -> str:
        kind, _, rest = reference.partition(":")
        if kind == "file" and rest:
            with self._file(rest).open("rb") as opened:
                return opened.read(_SECRET_BYTES_MAX).decode("utf-8-sig").rstrip("\r\n")
        if kind == "keyring" and rest:
            return _from_keyring(rest)
        return self.environment[reference] if reference in self.environment else self.dotenv[reference]

    def _file(self, name: str) -> Path:
        return self.directory / name


def _from_keyring(name: str) -> str:
    service, _, user = name.rpartition("/")
    try:
        keyring = importlib.import_module("keyring")
    except ImportError:
        message = f"'${{keyring:{name}}}' needs the package 'keyring': pip install keyring"
        raise DriverMissing(message) from None
    found = keyring.get_password(service, user)
    if found is None:
        message = f"the keyring holds no password of '{user}' for '{service}'"
        cure = f"store it: keyring set {service} {user}"
        raise PlanError([Finding("variable", "error", message, cure)])
    return str(found)


def parse_dotenv(text: str) -> dict[str, str]:
    """Return the variables of a `.env` file: `NAME=value` lines, `export ` before them and quotes allowed.

    A line that is none is passed over: the file may serve other programs too.
    """
    result: dict[str, str] = {}
    for line in text.splitlines():
        name, separator, value = line.strip().removeprefix("export ").partition("=")
        name, value = name.strip(), value.strip()
        if not separator or not _NAME.match(name):
            continue
        if len(value) >= 2 and value[0] == value[-1] and value[0] in "'\"":  # noqa: PLR2004 - a pair of quotes
            value = value[1:-1]
        else:
            value = re.sub(r"\s+#.*\Z", "", value)
        result[name] = value
    return result
