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


NAMES = {
    ("secret", "password"): "password passwd pwd passphrase pass_word",
    ("secret", "key or token"): (
        "secret api_key private_key access_key access_token auth_token refresh_token apikey privatekey accesskey"
        " accesstoken authtoken refreshtoken"
    ),
    ("secret", "credential"): "credential credentials",
    ("personal", "e-mail address"): "email e_mail mail_address mailaddress",
    ("personal", "telephone number"): "phone telephone mobile fax phone_number phonenumber",
    ("personal", "name of a person"): (
        "first_name last_name given_name family_name surname maiden_name middle_name full_name firstname lastname"
        " givenname familyname maidenname middlename fullname"
    ),
    ("personal", "birth"): "birth_date date_of_birth dob birthday birth birthplace birthdate dateofbirth",
    ("personal", "postal address"): "address street postal_code postcode zip zip_code city postalcode zipcode",
    ("personal", "official number"): (
        "ssn social_security passport national_id tax_id drivers licence_number socialsecurity nationalid taxid"
        " licencenumber"
    ),
    ("personal", "bank account"): "iban account_number card_number credit_card accountnumber cardnumber creditcard",
    ("personal", "pay"): "salary wage income",
    ("personal", "sensitive trait"): "gender sex religion ethnicity race marital disability nationality",
    ("personal", "network address"): "ip_address ip ipaddress",
}


@pytest.mark.parametrize(("found", "names"), NAMES.items(), ids=[what for _, what in NAMES])
def test_names_that_laws_and_vcards_know_are_suspected(found, names):
    """Each word of articles 4 and 9 of the GDPR and of RFC 6350, alone and among others, together and apart."""
    for name in names.split():
        for each in (name, f"old_{name}_x"):
            said = suspicion(each, [])
            assert said is not None, each
            assert (said.kind, said.what) == found
            assert said.why == "by its name"
    assert str(suspicion("pwd", [])) == "secret: password (by its name)"


def test_secrets_come_before_personal_data_and_values_before_names():
    """Of several things that a column seems to hold, the worst is told."""
    mail, key = "ada@example.org", "AKIAIOSFODNN7EXAMPLE"
    assert suspicion("password", [mail]).what == "password"
    assert suspicion("city", [mail]).what == "e-mail address"
    assert suspicion("city", [mail, key]).what == "cloud access key"
    assert suspicion("city", ["Paris"]).what == "postal address"
    assert suspicion("password", [key]).why == "1 of 1 values"


def test_half_of_the_values_are_enough_and_blanks_do_not_count():
    """White space around a value, and values of nothing else, say nothing."""
    assert suspicion("c7", [" ada@example.org\n", "x", "", "  "]).why == "1 of 2 values"
    assert suspicion("c7", ["ada@example.org", "x", "y"]) is None


@pytest.mark.parametrize(
    ("value", "what"),
    [
        ("ASIAIOSFODNN7EXAMPLE", "cloud access key"),
        *((f"gh{letter}_" + "a1B" * 12, "access token") for letter in "pousr"),
        *((f"xox{letter}-0123456-ab", "access token") for letter in "abprs"),
        ("glpat-" + "aB1_-" * 4, "access token"),
        ("eyJhbGciOiJ.eyJzdWIiOiJ.", "signed web token"),
        ("eyJhbGciOiJI_-.eyJzdWIiOiIx.c2ln", "signed web token"),
        *((f"${name}$" + "a" * 20, "password hash") for name in ("2a", "2x", "2y", "argon2i", "argon2d")),
        *((f"${name}$" + "/" * 20, "password hash") for name in ("argon2id", "scrypt", "5", "6", "y", "pbkdf2")),
        ("$pbkdf2-sha256$" + "a" * 20, "password hash"),
        ("-----BEGIN PRIVATE KEY-----", "private key"),
        ("redis://:secret@host", "password in a URL"),
        ("http://u:p@", "password in a URL"),
        ("s3+x.y-1://u:p@h/x y", "password in a URL"),
        ("x://u:p@h", "password in a URL"),
        ("a+b@c.d.e", "e-mail address"),
        ("a@b.c", "e-mail address"),
        ("NO93 8601 1117 947", "bank account (IBAN)"),
        ("MT84MALT011000012345MTLCAST001S", "bank account (IBAN)"),
        ("3782-8224-6310-005", "payment card"),
        ("6011111111111117", "payment card"),
        ("3566 0020 2036 0505", "payment card"),
        ("4222222222222", "payment card"),
        ("6304000000000000000", "payment card"),
        ("30569309025904", "payment card"),
        ("899-99-9999", "social security number"),
        ("+4930901820", "telephone number"),
        ("+1-202-456-1111", "telephone number"),
        ("+44.20/7946 0958", "telephone number"),
        ("(030) 901820", "telephone number"),
        ("(202)4561111", "telephone number"),
        ("+123 45 67 8901 2345", "telephone number"),
        ("+49 12345", "telephone number"),
        *((f"{number}.0.0.1", "network address") for number in (0, 9, 10, 99, 100, 199, 200, 249, 250, 255)),
        ("1.1.1.249", "network address"),
        ("1.1.1.250", "network address"),
    ],
)
def test_the_forms_of_values_are_known_to_their_edges(value, what):
    """The shortest, the longest and each choice of a form."""
    found = suspicion("c7", [value])
    assert found is not None
    assert found.what == what


@pytest.mark.parametrize(
    "value",
    [
        *(
            "AKIAIOSFODNN7EXAMPL",
            "XAKIAIOSFODNN7EXAMPLE",
            "AKIAIOSFODNN7EXAMPLEX",
            "ghx_" + "a" * 36,
            "ghp_" + "a" * 35,
        ),
        *(
            "xoxc-0123456789",
            "xoxb-012345678",
            "glpat-" + "a" * 19,
            "eyJabcdefg.eyJabcdefgh.x",
            "eyJabcdefgh.eyJabcdefg.x",
        ),
        *(
            "$7$" + "a" * 20,
            "$2b$" + "a" * 19,
            "-----BEGIN CERTIFICATE-----",
            "PRIVATE KEY-----",
            "https://host:80/a@b",
        ),
        *("://u:p@h", "1x://u:p@h", "http://u:@h", "a@b", "a@.b", "@b.c", "a b@c.d", "a@b@c.d", "a@b.c."),
        *("GB29 NWBK 6016 1331 9268 1", "gb29nwbk60161331926819", "G129NWBK60161331926819", "GBX9NWBK60161331926819"),
        *("7111111111111115", "2111111111111110", "41111111111111111111", "411111111111", "4111/1111/1111/1111"),
        *("4111 1111 1111 1111 x", "GB29NWBK60161331926819-", "+49 30 901820 x", "+123 45678 90123 456"),
        *("000-12-1234", "666-12-1234", "900-12-1234", "123-00-1234", "123-45-0000", "1234-5-6789", "123 45 6789"),
        *("+1234", "+12345678901234567", "030 901820", "+49--30", "+1 2 3 4", "(123456) 123456", "+1234x56789"),
        *("256.0.0.1", "1.1.1", "1.1.1.1.1", "1.1.1.256", "1.1.1.", "1,1,1,1"),
    ],
)
def test_one_step_beyond_an_edge_is_nothing(value):
    """A letter more or less, another sign, a number that nobody gives out."""
    assert suspicion("c7", [value]) is None


def test_one_secret_is_enough_and_one_address_is_not():
    """Among 1,000 harmless texts a private key is told; a single e-mail address makes no column of addresses."""
    harmless = ["text"] * 1000
    assert suspicion("note", [*harmless, "ghp_" + "a" * 36]) is not None
    assert suspicion("note", [*harmless, "ada@example.org"]) is None


def test_masked_values_show_two_letters_at_most():
    """Short values vanish as a whole."""
    assert masked("ada@example.org") == "ad***"
    assert masked("A") == masked("secret") == "***"
    assert masked("secrets") == "se***"


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
