"""Which columns look like personal data or secrets: by their values, by their name. The one place that decides it.

Profile, draft, validation, reports and masking all ask here; nothing else in transhume looks for e-mail addresses
or passwords. A suspicion is no proof, and no suspicion is none either: a person decides. No I/O, no database.
"""

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from transhume.words import name_words

_SHARE_MIN = 0.5
"""Of the values looked at, so many must be of a kind: a note that mentions an address is not a column of addresses."""
_SECRETS_MIN = 1
"""One private key among a thousand texts is one too many."""
_SHOWN = 2
_MASK = "***"


@dataclass(frozen=True, slots=True)
class Suspicion:
    """What a column seems to hold: `kind` is "personal" or "secret", `what` names it, `why` says what was seen."""

    kind: str
    what: str
    why: str

    def __str__(self) -> str:
        return f"{self.kind}: {self.what} ({self.why})"


def suspicion(name: str, values: Iterable[str]) -> Suspicion | None:
    """Return what a column of this name with these values (NULL left out) seems to hold, None where nothing shows.

    Secrets come before personal data, values before names. At most some thousands of values are worth giving.
    """
    held = [value.strip() for value in values if value.strip()]
    for what, is_one in _SECRET_VALUES.items():
        count = sum(map(is_one, held))
        if count >= _SECRETS_MIN:
            return Suspicion("secret", what, f"{count} of {len(held)} values")
    named = _by_name(name)
    if named is not None and named.kind == "secret":
        return named
    for what, is_one in _PERSONAL_VALUES.items():
        count = sum(map(is_one, held))
        if held and count >= _SHARE_MIN * len(held):
            return Suspicion("personal", what, f"{count} of {len(held)} values")
    return named


def masked(value: str) -> str:
    """Return what may be shown of a value that looks personal: its first letters where it is long enough, no more."""
    return _MASK if len(value) <= 2 * _SHOWN + 2 else value[:_SHOWN] + _MASK


def _by_name(name: str) -> Suspicion | None:
    words = name_words(name)
    joined = f" {' '.join(words)} "
    for kind, phrases in (("secret", _SECRET_NAMES), ("personal", _PERSONAL_NAMES)):
        for what, each in phrases.items():
            if any(f" {phrase} " in joined or phrase.replace(" ", "") in words for phrase in each):
                return Suspicion(kind, what, "by its name")
    return None


def _whole(pattern: str) -> Callable[[str], bool]:
    compiled = re.compile(pattern)
    return lambda value: compiled.fullmatch(value) is not None


def _digits(value: str) -> Sequence[int]:
    return [int(letter) for letter in value if letter in "0123456789"]


def _is_card(value: str) -> bool:
    """Luhn's check digit, and a first digit that issuers use (ISO/IEC 7812-1)."""
    if not re.fullmatch(r"[3-6][0-9]{3}(?:[ -]?[0-9]{4}){2}[ -]?[0-9]{1,7}", value):
        return False
    total = 0
    for place, digit in enumerate(reversed(_digits(value))):
        doubled = digit * 2 if place % 2 else digit
        total += doubled - 9 if doubled > 9 else doubled  # noqa: PLR2004 - the sum of a number's two digits
    return total % 10 == 0


def _is_iban(value: str) -> bool:
    """The two check digits of ISO 13616: the rearranged number is 1 modulo 97."""
    text = value.replace(" ", "")
    if not re.fullmatch(r"[A-Z]{2}[0-9]{2}[A-Z0-9]{11,30}", text):
        return False
    return int("".join(str(int(letter, 36)) for letter in text[4:] + text[:4])) % 97 == 1


_PHONE = re.compile(r"(?:\+[0-9]{1,3}[ ./-]?)?(?:\([0-9]{1,5}\)[ ./-]?)?[0-9]{2,5}(?:[ ./-]?[0-9]{2,5}){1,4}")


def _is_phone(value: str) -> bool:
    """An international number (E.164: + and up to 15 digits), or groups in parentheses; bare digits are no evidence."""
    return _PHONE.fullmatch(value) is not None and value[0] in "+(" and 7 <= len(_digits(value)) <= 15  # noqa: PLR2004


_SECRET_VALUES: dict[str, Callable[[str], bool]] = {
    "private key": lambda value: "-----BEGIN" in value and "PRIVATE KEY-----" in value,
    "cloud access key": _whole(r"(?:AKIA|ASIA)[0-9A-Z]{16}"),
    "access token": _whole(r"(?:gh[pousr]_[0-9A-Za-z]{36,}|xox[abprs]-[0-9A-Za-z-]{10,}|glpat-[0-9A-Za-z_-]{20,})"),
    "signed web token": _whole(r"eyJ[0-9A-Za-z_-]{8,}\.eyJ[0-9A-Za-z_-]{8,}\.[0-9A-Za-z_-]*"),
    "password hash": _whole(r"\$(?:2[abxy]|argon2(?:id|i|d)|scrypt|5|6|y|pbkdf2[a-z0-9-]*)\$.{20,}"),
    "password in a URL": _whole(r"[a-z][a-z0-9+.-]*://[^/\s:@]*:[^/\s@]+@.*"),
}
_PERSONAL_VALUES: dict[str, Callable[[str], bool]] = {
    "e-mail address": _whole(r"[^\s@<>\"',;]+@[^\s@<>\"',;.]+(?:\.[^\s@<>\"',;.]+)+"),
    "bank account (IBAN)": _is_iban,
    "payment card": _is_card,
    "social security number": _whole(r"(?!000|666|9)[0-9]{3}-(?!00)[0-9]{2}-(?!0000)[0-9]{4}"),
    "telephone number": _is_phone,
    "network address": _whole(r"(?:(?:25[0-5]|2[0-4][0-9]|1?[0-9]?[0-9])\.){3}(?:25[0-5]|2[0-4][0-9]|1?[0-9]?[0-9])"),
}
_SECRET_NAMES = {
    "password": ("password", "passwd", "pwd", "passphrase", "pass word"),
    "key or token": ("secret", "api key", "private key", "access key", "access token", "auth token", "refresh token"),
    "credential": ("credential", "credentials"),
}
_PERSONAL_NAMES = {
    "e-mail address": ("email", "e mail", "mail address"),
    "telephone number": ("phone", "telephone", "mobile", "fax", "phone number"),
    "name of a person": (
        "first name", "last name", "given name", "family name", "surname", "maiden name", "middle name", "full name",
    ),
    "birth": ("birth date", "date of birth", "dob", "birthday", "birth", "birthplace"),
    "network address": ("ip address", "ip"),
    "postal address": ("address", "street", "postal code", "postcode", "zip", "zip code", "city"),
    "official number": ("ssn", "social security", "passport", "national id", "tax id", "drivers", "licence number"),
    "bank account": ("iban", "account number", "card number", "credit card"),
    "pay": ("salary", "wage", "income"),
    "sensitive trait": ("gender", "sex", "religion", "ethnicity", "race", "marital", "disability", "nationality"),
}  # fmt: skip
"""Words of names, after the kinds of personal data of the GDPR (articles 4 and 9) and of vCard (RFC 6350)."""
