"""Secrets of a plan: found where they are literal, resolved where they are named, shown nowhere."""

import copy
import pickle
import re
import traceback
from pathlib import Path

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from transhume.errors import PlanError
from transhume.plan.credentials import Resolver, SecretUrl, holds_literal_password, masked, parse_dotenv
from transhume.plan.load import load

CANARY = "c4n4ry-p4ss"


@pytest.mark.parametrize(
    "text",
    [
        f"postgresql://me:{CANARY}@db/x",
        f"postgresql://me:{CANARY}@@db/x",
        f"postgresql://me:a/{CANARY}?#@db/x",
        f"postgresql://:{CANARY}@db/x",
        f"POSTGRESQL+psycopg://me:{CANARY}@db:5432",
        f"postgresql://db/x?user=me&password={CANARY}",
        f"postgresql://db/x?PassWord={CANARY}&sslmode=require",
        f"host=db user=me password={CANARY}",
        f"mysql://me:{CANARY}${{X}}@db/x",
        f"iceberg:./lake?s3.secret-access-key={CANARY}",
    ],
)
def test_literal_passwords_are_seen_and_masked(text):
    """A password in a URL or a connection string is found, and what is shown of it does not hold it (A11)."""
    assert holds_literal_password(text)
    assert CANARY not in masked(text)


@pytest.mark.parametrize(
    "text",
    [
        "${URL}", "postgresql://me@db/x", "postgresql://me:${PW}@db/x", "postgresql://me:${file:/run/pw}@db/x",
        "sqlite:///C:/a/b.db", "postgresql://db/x?password=${PW}", "iceberg:./lake?namespace=ai", "mysql://h:3306/a@b",
    ],
)  # fmt: skip
def test_what_is_no_literal_password(text):
    """Ports, paths and references are no passwords."""
    assert not holds_literal_password(text)
    assert masked(text) == text


@given(st.text(alphabet=st.characters(exclude_categories=["Cs", "Cc", "Z"], exclude_characters="'\"$"), min_size=1))
def test_any_password_before_the_host_is_masked(password):
    """No password of any letters survives the mask."""
    assume(not re.match("[0-9]{1,5}/", password))
    assert masked(f"postgresql://me:{password}@db/x") == "postgresql://me:***@db/x"


def test_a_secret_shows_itself_nowhere():
    """repr, str, format, pickling, copying and tracebacks do not give the text away."""
    secret = SecretUrl(f"postgresql://me:{CANARY}@db")
    assert {repr(secret), str(secret), f"{secret}", f"{secret:>3}", "%s" % secret} == {"***"}  # noqa: UP031
    with pytest.raises(TypeError):
        pickle.dumps(secret)
    with pytest.raises(TypeError):
        copy.copy(secret)
    assert secret.reveal().endswith("@db")


def test_environment_wins_over_dotenv(tmp_path):
    """A variable of the environment is taken before one of the file."""
    resolver = Resolver(tmp_path, {"A": "env"}, {"A": "file", "B": "file"})
    assert resolver.resolve("${A}-${B}").reveal() == "env-file"


def test_a_whole_reference_is_taken_as_it_is_and_a_part_is_encoded(tmp_path):
    """A password with `@` and `/` in it does not move the host."""
    resolver = Resolver(tmp_path, {"URL": "sqlite:///a@b.db", "PW": "p@ss/w:rd", "DB": "a/b"})
    assert resolver.resolve("${URL}").reveal() == "sqlite:///a@b.db"
    assert resolver.resolve("postgresql://me:${PW}@db/${DB}").reveal() == "postgresql://me:p%40ss%2Fw%3Ard@db/a/b"


def test_a_file_may_hold_a_secret(tmp_path):
    """`${file:...}` reads a secret from the plan's folder or an absolute path, without the last line feed."""
    (tmp_path / "pw").write_text(f"{CANARY}\n")
    resolver = Resolver(tmp_path)
    assert resolver.resolve("${file:pw}").reveal() == CANARY
    assert resolver.resolve(f"${{file:{tmp_path / 'pw'}}}").reveal() == CANARY


def test_missing_variables_are_named_and_others_are_not_shown(tmp_path):
    """Each reference without a value is said; no value of another one is printed (A10)."""
    resolver = Resolver(tmp_path, {"PRESENT": CANARY})
    with pytest.raises(PlanError) as caught:
        resolver.resolve("postgresql://${USER_NAME}:${PRESENT}@db/${file:nowhere}${keyring:db}${not a name}")
    said = "".join(traceback.format_exception(caught.value))
    assert len(caught.value.findings) == 4
    for name in ("USER_NAME", "file:nowhere", "keyring:db", "not a name"):
        assert name in said
    assert CANARY not in said
    assert CANARY not in repr(resolver)


def test_dotenv_forms():
    """Quotes, `export`, comments and foreign lines of a .env file."""
    text = "A=1\nexport B='two words'\n# C=3\nD=4 # four\nE=\"#5\"\nnonsense\n F = 6 \nG=a=b\n"
    assert parse_dotenv(text) == {"A": "1", "B": "two words", "D": "4", "E": "#5", "F": "6", "G": "a=b"}


def _plan(folder: Path, source: str) -> Path:
    plan = f"transhume: 1\nname: n\nnamespace: n\nsource: {source}\ntarget: iceberg:./lake\n"
    plan += "tables: {t: {from: t, key: id, columns: {a: {uuid: id}}}}\n"
    (folder / "transhume.yaml").write_text(plan)
    return folder


def test_a_plan_loads_without_its_secrets_and_resolves_them_later(tmp_path):
    """Only what needs the database needs the secret; `.env` lies beside the plan."""
    plan = load(_plan(tmp_path, "${LEGACY_URL}"), {})
    with pytest.raises(PlanError, match=r"transhume.yaml:4:1.*'LEGACY_URL' is not set"):
        plan.origin.resolver.resolve(plan.source, plan.position("source"))
    (tmp_path / ".env").write_text(f"LEGACY_URL=postgresql://me:{CANARY}@db/x\n")
    plan = load(tmp_path, {})
    assert CANARY in plan.origin.resolver.resolve(plan.source).reveal()
    assert CANARY not in repr(plan) + str(plan.origin) + plan.model_dump_json()


@pytest.mark.parametrize("style", ["{}", "'{}'", '"{}"', ">-\n  {}"])
def test_a_literal_password_is_never_printed(tmp_path, style):
    """Whatever else is wrong with the line, its password is not in the message."""
    text = style.format(f"postgresql://me:{CANARY}@db/x")
    with pytest.raises(PlanError) as caught:
        load(_plan(tmp_path, text + "\nsource: twice"), {})
    shown = "".join(f"{finding}{finding.position}" for finding in caught.value.findings)
    assert "'source' holds a password" in shown
    assert CANARY not in shown + str(caught.value)
