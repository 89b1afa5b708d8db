"""What looks personal or secret: numbers from the standards that define them, and values that only look alike."""

import pytest

from transhume.checks.personal import masked, suspicion
from transhume.words import name_words


@pytest.mark.parametrize(
    ("values", "kind", "what"),
    [
        (["ada@example.org", "o'neil@mail.example.com"], "personal", "e-mail address"),
        # the examples of the IBAN registry of ISO 13616
        (["GB29 NWBK 6016 1331 9268 19", "DE89370400440532013000"], "personal", "bank account (IBAN)"),
        # test numbers that issuers publish; they carry Luhn's digit
        (["4111 1111 1111 1111", "5555555555554444"], "personal", "payment card"),
        (["078-05-1120", "219-09-9999"], "personal", "social security number"),
        (["+49 30 901820", "+1 (202) 456-1111"], "personal", "telephone number"),
        (["192.0.2.1", "198.51.100.255"], "personal", "network address"),
        (["$2b$12$" + "a" * 53], "secret", "password hash"),
        (["-----BEGIN RSA PRIVATE KEY-----\nMII"], "secret", "private key"),
        (["AKIAIOSFODNN7EXAMPLE"], "secret", "cloud access key"),
        (["postgresql://app:hunter2@db.example.org/x"], "secret", "password in a URL"),
    ],
)
def test_values_of_a_known_form_are_suspected(values, kind, what):
    """A column whose name says nothing is known by what it holds."""
    found = suspicion("c7", values)
    assert found is not None
    assert (found.kind, found.what) == (kind, what)


@pytest.mark.parametrize(
    "values",
    [
        ["4111 1111 1111 1112", "5555555555554445"],  # the last digit is not Luhn's
        ["GB29 NWBK 6016 1331 9268 18"],  # the check digits do not fit
        ["2024-01-15 10:30:00", "2024-01-16"],
        ["1234567", "7654321"],  # a number without any sign of a telephone
        ["1.2.3", "10.0.0.300"],
        ["/legacy/storage/models/v1/model_A.pkl", "https://example.org/a@b"],
        ["ask ada@example.org for the file", "nothing"],
        [],
    ],
)
def test_values_that_only_look_alike_are_not(values):
    """A check digit that does not fit, a date, a path, a mention in a sentence: no suspicion."""
    assert suspicion("c7", values) is None


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("customer_email", "personal"),
        ("LastName", "personal"),
        ("lastname", "personal"),
        ("dateOfBirth", "personal"),
        ("user_pwd", "secret"),
        ("apiKey", "secret"),
        ("model_name", None),
        ("address_count", "personal"),
        ("keyword", None),
        ("capacity", None),
    ],
)
def test_names_are_read_word_by_word(name, kind):
    """`capacity` holds no city, `keyword` no key; a name in any case style is read the same."""
    found = suspicion(name, [])
    assert (found.kind if found else None) == kind


def test_one_secret_is_enough_and_one_address_is_not():
    """Among 1,000 harmless texts a private key is told; a single e-mail address makes no column of addresses."""
    harmless = ["text"] * 1000
    assert suspicion("note", [*harmless, "ghp_" + "a" * 36]) is not None
    assert suspicion("note", [*harmless, "ada@example.org"]) is None


def test_masked_values_show_two_letters_at_most():
    """Short values vanish as a whole."""
    assert masked("ada@example.org") == "ad***"
    assert masked("A") == masked("secret") == "***"


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("ownerUserID2", ("owner", "user", "id", "2")),
        ("HTTPServer_url", ("http", "server", "url")),
        ("LAST_MOD_TS", ("last", "mod", "ts")),
        ("文章標題", ("文", "章", "標", "題")),
        ("Straße_Nr", ("straße", "nr")),
        ("дата создания", ("дата", "создания")),
        ("Tumor/Normal", ("tumor", "normal")),
        ("__", ()),
    ],
)
def test_words_of_a_name(name, words):
    """Snake, camel, Pascal and shouted names, other scripts, punctuation."""
    assert name_words(name) == words
