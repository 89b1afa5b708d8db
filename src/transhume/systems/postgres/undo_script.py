"""The rollback of a published run as a script that a person can run with psql: the same rows, the same ledger.

It is made of the conditions by which `undo` finds rows, in one transaction that checks its own counts. What it does not
do: let rows stay to which rows that stay refer; such a reference stops it, and nothing is changed.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from graphlib import CycleError, TopologicalSorter

from psycopg import sql

from transhume.systems.postgres import ddl, undo_sets
from transhume.systems.postgres.connection import WatchedConnection
from transhume.systems.postgres.stage import Stage
from transhume.systems.undo import UndoReport, UndoScript

_KEYS = """
SELECT k.conrelid::regclass::oid::bigint, k.confrelid::regclass::oid::bigint FROM pg_constraint k
WHERE k.contype = 'f' AND k.conrelid <> k.confrelid AND k.conrelid = ANY(%(oids)s) AND k.confrelid = ANY(%(oids)s)
"""
_STATE = """
DO $check$ BEGIN
  IF NOT EXISTS (SELECT FROM transhume.runs WHERE run = {run} AND state = 'published') THEN
    RAISE EXCEPTION 'the ledger does not call run % published; nothing was changed', {run};
  END IF;
END $check$;
"""
_SET = """
CREATE TEMPORARY TABLE {rows} (part oid, place tid, mapping text, same boolean, changed boolean) ON COMMIT DROP;
"""
_FILL = """
INSERT INTO {rows} SELECT t.tableoid, t.ctid, {mapping}, coalesce({same}, false), {changed}
FROM {staged} JOIN {target} t ON {same_key};
"""
_RESTORE = """
UPDATE {target} t SET {pairs} FROM {images} b, {rows} u
WHERE {same_key} AND t.ctid = u.place AND t.tableoid = u.part AND u.same AND u.changed AND u.mapping = {mapping};
"""
_GUARD = """
DO $check$ DECLARE key record; asked text; found bigint; BEGIN
  FOR key IN
    SELECT c.conrelid::regclass AS child, s.own,
      (SELECT string_agg(format('c.%I = p.%I', a.attname, b.attname), ' AND ')
       FROM unnest(c.conkey, c.confkey) AS pair (mine, theirs)
       JOIN pg_attribute a ON a.attrelid = c.conrelid AND a.attnum = pair.mine
       JOIN pg_attribute b ON b.attrelid = c.confrelid AND b.attnum = pair.theirs) AS joined
    FROM pg_constraint c LEFT JOIN (VALUES {sets}) s (place, own) ON s.place::regclass = c.conrelid
    WHERE c.contype = 'f' AND c.confrelid = {place}::regclass AND c.confdeltype IN ('c', 'n', 'd')
  LOOP
    EXECUTE format('LOCK TABLE %s IN SHARE ROW EXCLUSIVE MODE', key.child);
    asked := format('SELECT count(*) FROM %s c JOIN %s p ON %s JOIN %s u ON u.place = p.ctid AND u.part = p.tableoid '
      'WHERE u.same AND NOT u.changed', key.child, {place}::regclass, key.joined, {own});
    IF key.own IS NOT NULL THEN
      asked := asked || format(' AND NOT EXISTS (SELECT FROM %s x WHERE x.place = c.ctid AND x.part = c.tableoid '
        'AND x.same AND NOT x.changed)', key.own);
    END IF;
    EXECUTE asked INTO found;
    IF found > 0 THEN
      RAISE EXCEPTION '% rows of % refer to rows of % that would go, and the server would remove or change them, too; '
        'nothing was changed', found, key.child, {place};
    END IF;
  END LOOP;
END $check$;
"""
"""A key that stops a removal does so by itself. One that passes it on (CASCADE, SET NULL, SET DEFAULT) says nothing."""
_REMOVE = """
DO $check$ DECLARE wanted bigint; gone bigint; stay bigint; BEGIN
  SELECT count(*) FILTER (WHERE same AND NOT changed), count(*) FILTER (WHERE NOT same) INTO wanted, stay FROM {rows};
  IF (SELECT count(*) FROM {rows} WHERE NOT changed) > {inserted}
     OR (SELECT count(*) <> count(DISTINCT (part, place)) FROM {rows}) THEN
    RAISE EXCEPTION 'the set of rows of % does not come out: the ledger says % inserted; nothing was changed',
      {name}, {inserted};
  END IF;
  DELETE FROM {target} t USING {rows} u
  WHERE t.ctid = u.place AND t.tableoid = u.part AND u.same AND NOT u.changed;
  GET DIAGNOSTICS gone = ROW_COUNT;
  IF gone <> wanted THEN
    RAISE EXCEPTION '% rows of % were to be removed and the server removed %; nothing was changed',
      wanted, {name}, gone;
  END IF;
  RAISE NOTICE '%: % rows removed, % stay because others edited them', {name}, gone, stay;
END $check$;
"""
_DROP = """
DO $check$ BEGIN
  IF NOT EXISTS (SELECT FROM {target}) THEN DROP TABLE {target}; END IF;
END $check$;
"""
_LEDGER = """
DO $check$ DECLARE told bigint; BEGIN
  UPDATE transhume.runs SET state = 'rolled_back', undone_at = now(), undone = {report}
  WHERE run = {run} AND state = 'published';
  GET DIAGNOSTICS told = ROW_COUNT;
  IF told <> 1 THEN RAISE EXCEPTION 'the ledger was changed meanwhile; nothing was changed'; END IF;
END $check$;
"""
_HEAD = """\
-- Takes run {run} out of schema {schema} by hand, where 'transhume rollback' cannot be used.
-- psql -v ON_ERROR_STOP=1 -f THIS_FILE; one transaction: whatever fails, nothing is changed.
-- Rows of the run that others edited since stay, and are counted; rows that it changed get their former content back.
-- Expectation: a notice for each table, then COMMIT. Nobody else may write to these tables meanwhile: they are locked.
"""


def undo_script(connection: WatchedConnection, run: str, schema: str, stages: Sequence[Stage]) -> UndoScript:
    """Return the script; `stages` are the run's tables, one a mapping. Nothing is changed."""

    def text(statement: str, **parts: sql.Composable) -> str:
        return sql.SQL(statement).format(**parts).as_string(connection).lstrip("\n")

    by_table: dict[str, list[Stage]] = {}
    for stage in stages:
        by_table.setdefault(stage.table.table.name, []).append(stage)
    places = {name: ddl.qualified(schema, name) for name in by_table}
    rows = {name: sql.Identifier(f"undo_{number:03d}") for number, name in enumerate(by_table)}
    order = _children_first(connection, places)
    parts = [_HEAD.format(run=run, schema=schema), "BEGIN;\n"]
    locked = sql.SQL(", ").join(places[name] for name in sorted(places))
    parts.append(text("LOCK TABLE {locked} IN SHARE ROW EXCLUSIVE MODE;\n", locked=locked))
    parts += [text(_STATE, run=sql.Literal(run)), "SET CONSTRAINTS ALL DEFERRED;\n"]
    for name in order:
        parts.append(text(_SET, rows=rows[name]))
        for stage in by_table[name]:
            parts += [text(each, **given) for each, given in _found(connection, run, stage, places[name], rows[name])]
    sets = sql.SQL(", ").join(
        sql.SQL("({}, {})").format(sql.Literal(places[name].as_string(connection)), sql.Literal(rows[name].as_string()))
        for name in order
    )
    for name in order:
        parts.append(
            text(
                _GUARD,
                sets=sets,
                place=sql.Literal(places[name].as_string(connection)),
                own=sql.Literal(rows[name].as_string()),
            )
        )
    for name in order:
        parts.append(
            text(
                _REMOVE,
                rows=rows[name],
                target=places[name],
                name=sql.Literal(name),
                inserted=sql.Literal(_inserted(connection, run, name)),
            )
        )
    parts.append("SET CONSTRAINTS ALL IMMEDIATE;\n")
    parts += [text(_DROP, target=places[name]) for name in order if _is_created(connection, run, name)]
    report = UndoReport(run, "published", notes=("taken back by hand, by the script of 'transhume sql'",))
    told = json.dumps(report.to_dict(), ensure_ascii=False)
    parts += [text(_LEDGER, run=sql.Literal(run), report=sql.Literal(told)), "COMMIT;\n"]
    return UndoScript("\n".join(parts), "sql", "PostgreSQL")


def _found(
    connection: WatchedConnection, run: str, stage: Stage, target: sql.Identifier, rows: sql.Identifier
) -> Iterator[tuple[str, Mapping[str, sql.Composable]]]:
    """Yield what finds the rows of one mapping and gives changed ones their former content back."""
    images = undo_sets.images_of(connection, stage)
    mapping = sql.Literal(stage.table.mapping)
    changed: sql.Composable = sql.SQL("false")
    if images is not None:
        changed = sql.SQL("EXISTS (SELECT FROM {} b WHERE {})").format(images, ddl.same_key(stage.table.key, "b", "t"))
    for staged in undo_sets.staged_rows(connection, stage):
        yield (
            _FILL,
            {
                "rows": rows,
                "mapping": mapping,
                "same": undo_sets.same_row(connection, run, stage),
                "changed": changed,
                "staged": staged,
                "target": target,
                "same_key": ddl.same_key(stage.table.key, "s", "t"),
            },
        )
    if images is not None:
        columns = connection.execute(
            "SELECT attname FROM pg_attribute WHERE attrelid = %s::regclass AND attnum > 0 AND NOT attisdropped"
            " AND attgenerated = '' AND attidentity <> 'a' ORDER BY attnum",
            [target.as_string(connection)],
        ).fetchall()
        pairs = [sql.SQL("{} = {}").format(sql.Identifier(name), sql.Identifier("b", name)) for (name,) in columns]
        same_key = ddl.same_key(stage.table.key, "b", "t")
        given = {"rows": rows, "mapping": mapping, "target": target, "images": images, "same_key": same_key}
        yield _RESTORE, {**given, "pairs": sql.SQL(", ").join(pairs)}


def _children_first(connection: WatchedConnection, places: Mapping[str, sql.Identifier]) -> list[str]:
    oids = {}
    for name, place in places.items():
        row = connection.execute("SELECT to_regclass(%s)::oid::bigint", [place.as_string(connection)]).fetchone()
        if row and row[0] is not None:
            oids[row[0]] = name
    children: dict[str, set[str]] = {name: set() for name in oids.values()}
    for child, parent in connection.execute(_KEYS, {"oids": list(oids)}).fetchall():
        children[oids[parent]].add(oids[child])
    try:
        return list(TopologicalSorter(children).static_order())
    except CycleError:
        return list(children)


def _inserted(connection: WatchedConnection, run: str, table: str) -> int:
    row = connection.execute(
        "SELECT coalesce(sum(inserted), 0)::bigint FROM transhume.tables WHERE run = %s AND target_table = %s",
        [run, table],
    ).fetchone()
    return int(row[0]) if row else 0


def _is_created(connection: WatchedConnection, run: str, table: str) -> bool:
    row = connection.execute(
        "SELECT bool_or(created) FROM transhume.tables WHERE run = %s AND target_table = %s", [run, table]
    ).fetchone()
    return bool(row and row[0])
