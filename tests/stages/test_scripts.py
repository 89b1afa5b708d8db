"""The validation scripts, run by hand: on real servers they find the rows that were planted, and no other."""

import shutil
import sqlite3
import subprocess
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import duckdb
import psycopg
import pytest
import sqlglot
from sqlglot import exp

from tests.stages import small_project
from transhume import Project
from transhume.demo.legacy import generate
from transhume.demo.project import write_project
from transhume.dialects.scripts import SCRIPT_DIALECTS
from transhume.errors import UsageError
from transhume.stages.scripts import ScriptFile

PLAN = r"""
transhume: 1
name: "nasty; drop table x"
namespace: nasty
source: sqlite:///source.db
target: iceberg:./lake?namespace=main
defaults: {time_zone: UTC}
tables:
  parents:
    from: order
    key: id
    where: gone = 0
    create: true
    types: {parent_id: uuid primary key, label: text(5) not null}
    columns:
      parent_id: {uuid: id}
      original_source_id: id
      label: {copy: 'na me"x'}
      "st`at'e": {codes: code, to: {"D'": "Dra'ft\\", "é;--": "Ü", R: "Ready"}}
      seen: {utc: seen}
      uri: {path: path, like: "/x/{name}.{ext}", to: "s3://b/{name}.{ext}"}
    drop: [gone]
  children:
    from: group
    key: k
    create: true
    types: {child_id: uuid primary key}
    columns:
      child_id: {uuid: k}
      original_source_id: k
      parent_id: {ref: parent, table: parents}
      amount: amount
    checks:
      - {name: amount_range, sql: amount between 0 and 1}
      - {name: not_odd, sql: "original_source_id <> 'o''dd\\' or amount > 5"}
"""
ORDERS = [
    # id, name, code, seen, path, gone
    (1, "abc", "D'", "2024-02-29 10:00:00", "/x/a.b", 0),
    (2, "abcdef", "d'", "2024-02-29 10:00:00", None, 0),  # a name too long; another code
    (3, None, " R\t", None, None, 0),  # no name; blanks around a code do not count
    (4, "日本語日本", "é;--", "2023-02-29 10:00:00", None, 0),  # five characters; no such day
    (5, "x", None, "0000-00-00 00:00:00", None, 0),  # a zero date
    (6, "x", "x\\y", "2024-1-5", None, 0),  # no such code; another form
    (7, "x", "R", "2024-04-31T10:00:00.5", None, 0),  # no such day
    (8, "x", "R", "1900-02-29 00:00:00", None, 0),  # 1900 was no leap year
    (9, "x", "R", "2000-02-29 23:59:60", None, 0),  # 2000 was one; no such second
    (10, "x", "R", "2024-12-31 00:00:00", None, 0),
    (10, "x", "R", " 2024-12-31 00:00:00 ", None, 0),  # a key twice; blanks around a time do not count
    (11, "much too long", "no code", "no time", None, 1),  # left out by the plan's filter
    (None, "x", "R", None, None, 0),
]
GROUPS = [("a", 1, 0.5), ("A", 1, 0.5), ("a ", 2, 0.5), ("dup", 3, 0.5), ("dup", None, 0.5), ("lost", 99, 0.5)]
U = [f"00000000-0000-5000-8000-00000000000{n}" for n in range(10)]
PARENTS = [
    (U[1], 1, "abc", "Dra'ft\\", "s3://b/x.png"),
    (U[1], 1, "abc", "Ü", None),  # key and source key twice
    (U[2], 2, "x", "dra'ft\\", "s3:/b/x"),  # a label in another case; no URI
    (U[3], 3, "y", "Ready ", "s3://b/x y/z"),  # a blank behind a label
    (U[4], 4, "z", None, "S3://b/x"),  # a scheme in capitals
]
CHILDREN = [
    (U[5], "b", U[1], 0.5),
    (U[6], "B", U[9], 1.5),  # an orphan over the range
    (U[7], "o'dd\\", U[1], None),  # NULL above 5 is unknown, which passes
    (U[8], "O'DD\\", None, -0.25),  # below the range
    (U[0], "o'dd\\", U[1], 0.75),  # what not_odd forbids, and a source key twice
]
SOURCE = {
    "null_key order": [None],
    "duplicate_key order": [10],
    "null order": [3],
    "too_long order": [2],
    "unmapped order": [2, 6],
    "duplicate_key group": ["dup"],
    "null_key group": [],
    "orphan group": ["lost"],
}
TIMES = {"zero_date order": [5], "impossible_date order": [4, 7, 8], "time_form order": [6, 9]}
TARGET = {
    "unique_key parents": [U[1]],
    "unique_source_key parents": [1],
    "domain parents": [U[2], U[3]],
    "artefact_form parents": [U[2], U[4]],
    "unique_key children": [],
    "unique_source_key children": ["o'dd\\"],
    "check:amount_range children": [U[6], U[8]],
    "check:not_odd children": [U[0]],
    "references children": [U[6]],
}
Ask = Callable[[str], list[tuple[object, ...]]]


@pytest.fixture(scope="module")
def project(tmp_path_factory) -> Path:
    """A plan of nasty names and texts over a SQLite file with planted rows."""
    folder = tmp_path_factory.mktemp("nasty")
    (folder / "transhume.yaml").write_text(PLAN, encoding="utf-8")
    with sqlite3.connect(folder / "source.db") as source:
        source.execute(
            'CREATE TABLE "order" (id INT, "na me""x" TEXT COLLATE NOCASE, code VARCHAR(10) COLLATE NOCASE,'
            " seen DATETIME, path TEXT, gone INT)"
        )
        source.execute('CREATE TABLE "group" (k TEXT COLLATE NOCASE, parent INT, amount REAL)')
        source.executemany('INSERT INTO "order" VALUES (?, ?, ?, ?, ?, ?)', ORDERS)
        source.executemany('INSERT INTO "group" VALUES (?, ?, ?)', GROUPS)
    source.close()
    return folder


def scripts(project: Path, dialect: str | None) -> list[ScriptFile]:
    return Project(project).scripts(dialect)


def found(files: list[ScriptFile], side: str, ask: Ask) -> dict[str, list[object]]:
    """Run the scripts of one side and return the first column of each one's rows by check and table."""
    rows = {}
    for file in files:
        if file.side == side:
            head = file.text.splitlines()[0].removeprefix("-- check: ")
            name, _, table = head.partition(f" ({side}, table ")
            key = f"{name} {table.strip(')').strip(chr(39))}"
            values = [None if row[0] is None else row[0] if isinstance(row[0], int) else str(row[0])
                      for row in ask(file.text)]  # fmt: skip
            rows[key] = sorted({*rows.get(key, []), *values}, key=str)
    return rows


def require(rows: dict[str, list[object]], *expected: dict[str, list[object]]) -> None:
    """Every expected check was asked and found exactly these rows."""
    wanted = {name: values for each in expected for name, values in each.items()}
    assert {name: rows.get(name) for name in wanted} == wanted


def fill(execute: Callable[..., object], kinds: dict[str, str], mark: str, quote: str) -> None:
    """Make all four tables on a server, without constraints, and fill them with what is planted."""
    q = {name: f"{quote}{name}{quote}" for name in ("order", "group")}
    nasty, state = f'{quote}na me"x{quote}', f"{quote}st`at'e{quote}"
    if quote == '"':
        nasty = nasty.replace('e"x', 'e""x')
    else:
        state = state.replace("t`a", "t``a")
    text, uuid, number = kinds["text"], kinds["uuid"], kinds["float"]
    columns = f"id INT, {nasty} {text}, code {text}, seen {kinds['seen']}, path {text}, gone INT"
    execute(f"CREATE TABLE {q['order']} ({columns})")
    execute(f"CREATE TABLE {q['group']} (k {text}, parent INT, amount {kinds['double']})")
    execute(
        f"CREATE TABLE parents (parent_id {uuid}, original_source_id BIGINT, label {text}, {state} {text}, uri {text})"
    )
    execute(f"CREATE TABLE children (child_id {uuid}, original_source_id {text}, parent_id {uuid}, amount {number})")
    for table, rows in ((q["order"], ORDERS), (q["group"], GROUPS), ("parents", PARENTS), ("children", CHILDREN)):
        for row in rows:
            values = [None if kinds["seen"] == "TIMESTAMP" and table == q["order"] and place == 3 else value
                      for place, value in enumerate(row)]  # fmt: skip
            execute(f"INSERT INTO {table} VALUES ({', '.join([mark] * len(row))})", values)


def wrong_columns(files: list[ScriptFile], ask: Ask) -> set[tuple[object, object]]:
    """Run the scripts about types and return column and found type."""
    return {(row[0], row[3]) for file in files if "_types_" in file.path for row in ask(file.text)}


def test_sqlite_finds_what_was_planted(project):
    """The source's own scripts, whatever its collations; and a target of hand-made tables."""
    with sqlite3.connect(project / "source.db") as source:
        rows = found(scripts(project, None), "source", lambda text: source.execute(text).fetchall())
    source.close()
    require(rows, SOURCE, TIMES)
    spelled = {None, "D'", "d'", " R\t", "é;--", "x\\y", "R", "no code"}
    assert set(rows["spellings order"]) == spelled
    with sqlite3.connect(":memory:") as target:
        kinds = {"text": "TEXT COLLATE NOCASE", "uuid": "TEXT", "seen": "TEXT", "double": "REAL", "float": "REAL"}
        fill(target.execute, kinds, "?", '"')
        files = scripts(project, "sqlite")
        rows = found(files, "target", lambda text: target.execute(text).fetchall())
        require(rows, {name: values for name, values in TARGET.items() if "artefact" not in name})
        missing = {("parents", "seen")}
        assert {row[0] for file in files if "types_parents" in file.path for row in target.execute(file.text)} == {
            "parent_id",
            "label",
            *(column for _, column in missing),
        }
    target.close()


def test_postgres_finds_what_was_planted(project, postgres_url):
    """In a schema that the target's address names."""
    with psycopg.connect(postgres_url, autocommit=True) as server:
        server.execute("CREATE SCHEMA main")
        server.execute("SET search_path = main")
        kinds = {
            "text": "VARCHAR(50)",
            "uuid": "UUID",
            "seen": "TIMESTAMP",
            "double": "DOUBLE PRECISION",
            "float": "REAL",
        }
        fill(lambda text, values=(): server.execute(text, values or None), kinds, "%s", '"')
        files = scripts(project, "postgres")

        def ask(text):
            return server.execute(text).fetchall()

        require(found(files, "source", ask), SOURCE)
        require(found(files, "target", ask), TARGET)
        assert wrong_columns(files, ask) == {
            ("amount", "real"), ("child_id", "uuid"), ("parent_id", "uuid"), ("label", "character varying"),
            ("seen", None),
        }  # fmt: skip


def test_duckdb_finds_what_was_planted(project):
    """In process, with a schema of its own."""
    server = duckdb.connect()
    kinds = {"text": "VARCHAR", "uuid": "UUID", "seen": "TIMESTAMP", "double": "DOUBLE", "float": "FLOAT"}
    fill(server.execute, kinds, "?", '"')
    files = scripts(project, "duckdb")

    def ask(text):
        return server.execute(text).fetchall()

    require(found(files, "source", ask), SOURCE)
    require(found(files, "target", ask), TARGET)
    assert ("amount", "FLOAT") in wrong_columns(files, ask)
    server.close()


@pytest.fixture(scope="module")
def mariadb(tmp_path_factory) -> Iterator[Callable[[str], subprocess.CompletedProcess[str]]]:
    """A MariaDB of its own, reached by its own client over a socket; texts ignore case and trailing blanks."""
    if shutil.which("mariadbd") is None:
        pytest.skip("no MariaDB on this machine: apt-get install mariadb-server-core mariadb-client-core")
    folder = tmp_path_factory.mktemp("maria")
    place, socket = folder / "data", folder / "s"
    plain = [f"--datadir={place}", "--user=root"]
    subprocess.run(
        ["mariadb-install-db", *plain, "--auth-root-authentication-method=normal", "--skip-test-db"],
        check=True, capture_output=True,
    )  # fmt: skip
    server = subprocess.Popen(
        ["mariadbd", "--no-defaults", *plain, f"--socket={socket}", "--skip-networking",
         f"--pid-file={folder / 'pid'}"],
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip

    def ask(text: str) -> subprocess.CompletedProcess[str]:
        command = [
            "mariadb",
            "--no-defaults",
            f"--socket={socket}",
            "-uroot",
            "--default-character-set=utf8mb4",
            "-B",
            "-N",
        ]
        return subprocess.run(command, input=text, capture_output=True, text=True, check=False)

    for _ in range(300):
        if ask("SELECT 1").returncode == 0:
            break
        time.sleep(0.1)
    yield ask
    server.terminate()
    server.wait(timeout=60)


def test_mariadb_finds_what_was_planted(project, mariadb):
    """By the client's own command line, on columns that ignore case and pad."""
    made: list[str] = ["CREATE DATABASE main CHARACTER SET utf8mb4 COLLATE utf8mb4_general_ci", "USE main"]

    def execute(text: str, values: object = ()) -> None:
        for value in list(values):  # type: ignore[call-overload]
            shown = "NULL" if value is None else str(value)
            if isinstance(value, str):
                shown = "'" + value.replace("\\", "\\\\").replace("'", "''") + "'"
            text = text.replace("?", shown, 1)
        made.append(text)

    kinds = {"text": "VARCHAR(50)", "uuid": "CHAR(36)", "seen": "VARCHAR(40)", "double": "DOUBLE", "float": "FLOAT"}
    fill(execute, kinds, "?", "`")
    assert mariadb(";\n".join(made) + ";").stderr == ""

    def ask(text: str) -> list[tuple[object, ...]]:
        done = mariadb("USE main;\n" + text)
        assert done.returncode == 0, done.stderr + text
        lines = [line.split("\t") for line in done.stdout.splitlines()]
        return [tuple(_read(cell) for cell in line) for line in lines]

    files = scripts(project, "mariadb")
    require(found(files, "source", ask), SOURCE, TIMES)
    require(found(files, "target", ask), TARGET)
    assert {("amount", "float"), ("seen", None)} <= wrong_columns(files, ask)


def _read(cell: str) -> object:
    if cell == "NULL":
        return None
    return int(cell) if cell.isdecimal() else cell.replace("\\t", "\t").replace("\\\\", "\\")


@pytest.mark.parametrize("dialect", sorted(SCRIPT_DIALECTS))
def test_each_script_is_read_again_in_its_dialect(project, dialect):
    """One statement a file, a SELECT; nasty names and texts come back as written, or are named as unsaid."""
    files = scripts(project, dialect)
    printer = SCRIPT_DIALECTS[dialect].dialect.printer
    names, texts = set(), set()
    for file in files[:-1]:
        statements = [each for each in sqlglot.parse(file.text, dialect=printer) if each is not None]
        assert [type(each) for each in statements] == [exp.Select], file.text
        names |= {name.name for name in statements[0].find_all(exp.Identifier)}
        texts |= {each.name for each in statements[0].find_all(exp.Literal, exp.National)}
    index = files[-1].text
    assert 'na me"x' in names or "no way to write the name 'na me\"x'" in index
    assert "st`at'e" in names or 'no way to write the name "st`at\'e"' in index
    if "st`at'e" in names:
        assert {"Dra'ft\\", "Ü"} <= texts
    assert {"D'", "é;--"} <= texts or "unmapped, table 'order'" in index
    assert "o'dd\\" in texts or "check:not_odd" in index


def test_every_check_of_a_dialect_is_written_or_named(project):
    """What SQLite says of the source, every dialect says or names with its reason."""

    def told(dialect: str) -> set[str]:
        files = scripts(project, dialect)
        written = {file.text.splitlines()[0].split()[2] for file in files[:-1]}
        unsaid = {line.split(": ")[1].split(",")[0] for line in files[-1].text.splitlines() if line.startswith("- ")}
        return written | unsaid

    wanted = told("sqlite") - {"zero_date", "time_form"}
    assert {dialect: wanted - told(dialect) for dialect in SCRIPT_DIALECTS} == {name: set() for name in SCRIPT_DIALECTS}


_KINDS = {
    "null_key": ("null_key",),
    "null": ("null",),
    "unmapped": ("unmapped",),
    "too_long": ("too_long",),
    "orphan": ("orphan",),
    "bad_timestamp": ("impossible_date", "time_form"),
    "zero_date": ("zero_date",),
}
"""Reason of a reject to the scripts that show its rows before."""
_SCRIPTS = {name for names in _KINDS.values() for name in names}


def test_the_scripts_count_what_was_planted_in_the_demo(tmp_path):
    """Before: each script of the demo's source finds as many rows as the answer key has rejects of its reason."""
    write_project(tmp_path)
    key = generate(tmp_path / "legacy.db", 2000)
    (tmp_path / ".env").write_text("LEGACY_URL=sqlite:///legacy.db\nPLATFORM_URL=iceberg:./lake?namespace=ai\n")
    source = sqlite3.connect(tmp_path / "legacy.db")
    source.text_factory = lambda raw: raw.decode(errors="surrogateescape")
    counts: Counter[tuple[str, str, str]] = Counter()
    duplicates = {}
    for file in Project(tmp_path).scripts("sqlite"):
        if file.side == "source":
            name, table = file.text.splitlines()[0].split()[2], file.text.splitlines()[0].split("'")[1]
            rows = source.execute(file.text).fetchall()
            column = source.execute(file.text).description[-1][0]
            counts[name, table, column] += len(rows)
            if name == "duplicate_key":
                duplicates[table] = {str(row[0]) for row in rows}
    source.close()
    compared = 0
    for answer in key.tables.values():
        for reason, count in answer.reasons.items():
            kind, _, column = reason.partition(":")
            own_key = ("null_key", answer.source, column) in counts and kind == "null"
            if kind in _KINDS and reason != "unmapped:algo_type" and not own_key:
                found = sum(counts[name, answer.source, column] for name in _KINDS[kind])
                assert (answer.source, reason, found) == (answer.source, reason, count)
                compared += 1
    assert compared == 28
    asked = {(source, name, column) for name, source, column in counts if counts[name, source, column]}
    rejected = {(a.source, n, r.partition(":")[2]) for a in key.tables.values() for r in a.reasons
                for n in _KINDS.get(r.partition(":")[0], ())}  # fmt: skip
    kept = {(source, name, column) for source, name, column in asked - rejected if name in _SCRIPTS}
    assert kept == {  # the plan loads these rows: `else: null`, `zero_date: null`
        ("metrics", "orphan", "run_id"),
        ("models", "zero_date", "last_mod_ts"),
        ("training_runs", "zero_date", "ended_ts"),
    }
    planted = {entry.key for entry in key.planted if "duplicate_key:experiment_id" in entry.reasons}
    assert duplicates["experiments"] == planted
    assert {table: rows for table, rows in duplicates.items() if table != "experiments"} == {
        "datasets": set(), "models": set(), "training_runs": set(), "metrics": set(),
    }  # fmt: skip


def test_after_a_run_the_scripts_pass_until_a_row_is_spoilt(tmp_path, postgres_url):
    """After: psql runs the target's scripts; all pass, with the counts of the run; each planted fault is found."""
    folder = tmp_path / "p"
    small_project.write(folder, f"{postgres_url}&schema=ai")
    Project(folder).run()
    files = {file.path: file for file in Project(folder).scripts() if file.side == "target"}
    place = tmp_path / "script.sql"

    def psql(text: str) -> list[str]:
        place.write_text(text, encoding="utf-8")
        command = ["psql", "-X", "-q", "-A", "-t", "-F", "|", "-v", "ON_ERROR_STOP=1", "-f", str(place), postgres_url]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert (done.returncode, done.stderr) == (0, "")
        return done.stdout.splitlines()

    found = {path: psql(file.text) for path, file in files.items()}
    buckets = small_project.expected_buckets()
    places, plants = buckets["places"], buckets["plants"]
    loaded, rejected, filtered = plants["loaded"], plants["rejected"], plants["filtered"]
    counts = [rows for path, rows in found.items() if "row_counts" in path]
    assert counts == [
        [f"{places['loaded']}|{places['loaded']}|{small_project.PLACES}|{places['loaded']}|0"],
        [f"{loaded}|{loaded}|{small_project.PLANTS}|{loaded}|{rejected}|{filtered}|0"],
    ]
    assert {path: rows for path, rows in found.items() if rows and "row_counts" not in path} == {}
    with psycopg.connect(postgres_url, autocommit=True) as other:
        other.execute("SET search_path = ai")
        other.execute("ALTER TABLE plants DROP CONSTRAINT plants_pkey CASCADE")
        other.execute("ALTER TABLE places DROP CONSTRAINT places_pkey CASCADE")
        other.execute("UPDATE plants SET kind = 'tree' WHERE original_source_id = 5")
        other.execute("UPDATE plants SET picture_uri = 's3:/bucket/x' WHERE original_source_id = 6")
        other.execute("INSERT INTO plants SELECT * FROM plants WHERE original_source_id = 8")
        other.execute("DELETE FROM places WHERE original_source_id = 9")
        other.execute("ALTER TABLE plants ALTER height_m TYPE real")
        key = dict(other.execute("SELECT original_source_id, plant_id::text FROM plants").fetchall())
        lost = other.execute(
            "SELECT plant_id::text FROM plants WHERE original_source_id % 50 = 9 ORDER BY original_source_id"
        ).fetchall()
    spoilt = {path.split("_", 1)[1]: psql(file.text) for path, file in files.items()}
    assert [row.split("|")[0] for row in spoilt["domain_plants_kind.sql"]] == [key[5]]
    assert spoilt["artefact_form_plants_picture_uri.sql"] == [key[6]]
    assert spoilt["unique_key_plants.sql"] == [key[8]]
    assert spoilt["unique_source_key_plants.sql"] == ["8"]
    assert sorted(row.split("|")[0] for row in spoilt["references_plants_place_id.sql"]) == sorted(
        row[0] for row in lost
    )
    assert [row.split("|")[0] for row in spoilt["types_plants.sql"] if "real" in row] == ["height_m"]
    assert spoilt["row_counts_places.sql"][0].split("|")[:2] == [
        str(small_project.PLACES - 1),
        str(small_project.PLACES),
    ]


def test_what_comes_through_a_rule_is_named(tmp_path):
    """A check whose column is no column of the table is not silently left out; neither is a table without a key."""
    (tmp_path / "transhume.yaml").write_text(
        "transhume: 1\nname: n\nnamespace: n\nsource: sqlite:///s.db\ntarget: iceberg:./lake?namespace=ai\n"
        "tables:\n  made:\n    from: t\n    key: []\n    create: true\n    columns:\n"
        "      a: a\n      state: {codes: {coalesce: [code, {value: R}]}, to: {R: Ready}}\n"
    )
    with sqlite3.connect(tmp_path / "s.db") as source:
        source.execute("CREATE TABLE t (a INTEGER, code TEXT)")
    source.close()
    index = scripts(tmp_path, None)[-1].text
    assert "- source: unmapped, table 't', state: what 'state' is made of comes through a rule or a join" in index
    assert "- source: duplicate_key, table 't': the plan says of 'made' that nothing is a key" in index


def test_an_unknown_dialect_is_refused_by_name(project):
    """A slip of the pen is answered with the name that was meant."""
    with pytest.raises(UsageError, match="postgres"):
        scripts(project, "postgress")


def test_comments_hold_no_statement(project):
    """A line break in the plan ends no comment: every line before the SELECT is a comment."""
    for file in scripts(project, None)[:-1]:
        head, _, _ = file.text.partition("\n\n")
        assert all(line.startswith("-- ") for line in head.splitlines())
