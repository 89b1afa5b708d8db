"""What the warm process of `forked` has imported: everything that a run uses, and nothing that starts a thread."""

import importlib
import pkgutil

import sqlglot.dialects.duckdb
import sqlglot.dialects.sqlite  # noqa: F401

import transhume
import transhume.systems.iceberg
import transhume.systems.postgres
import transhume.systems.sqlite
from tests.reliability import life  # noqa: F401 - with it all that tests import: pytest takes as long as half a run
from tests.stages import small_project  # noqa: F401

for _place in ("transhume.project", "transhume.stages", "transhume.engines"):
    importlib.import_module(_place)
for _system in (transhume.systems.iceberg, transhume.systems.postgres, transhume.systems.sqlite):
    for _module in pkgutil.iter_modules(_system.__path__, f"{_system.__name__}."):
        importlib.import_module(_module.name)
for _name in ("duckdb", "sqlalchemy.dialects.sqlite", "pyiceberg.catalog.sql", "rich.console", "tzdata"):
    importlib.import_module(_name)
importlib.import_module("transhume.cli.run")
