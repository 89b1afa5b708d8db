"""The systems that a plan's lookups are read from: opened when first asked for, looked at, closed. No row is read."""

from pathlib import Path

from transhume.checks.lookups import lookup_findings, lookup_table
from transhume.errors import Finding, PlanError, UsageError
from transhume.facts import Catalog
from transhume.plan.model import Plan
from transhume.plan.places import at
from transhume.schema import Table
from transhume.systems import open_source
from transhume.systems.system import Source


class LookupSystems:
    """The other systems of one plan. Two lookups with the same `system` are read from the same source."""

    def __init__(self, plan: Plan, folder: Path) -> None:
        """Take the plan and the folder that file paths count from; nothing is opened, no secret is looked up."""
        self._plan, self._folder = plan, folder
        self._sources: dict[str, Source] = {}
        self._catalogs: dict[str, Catalog] = {}

    @property
    def by_system(self) -> dict[str, list[str]]:
        """The names of the lookups by the system that the plan writes for them."""
        found: dict[str, list[str]] = {}
        for name, lookup in self._plan.system_lookups().items():
            found.setdefault(str(lookup.system), []).append(name)
        return found

    @property
    def identity(self) -> str:
        """What tells these systems from others, without a credential; "" where no lookup is of another system.

        Raises: PlanError as `source`.
        """
        by_system = self.by_system
        return "; ".join(f"{', '.join(names)}: {self.source(system).identity}" for system, names in by_system.items())

    def source(self, system: str) -> Source:
        """Return the source behind a system as the plan writes it; nothing is connected.

        Raises: PlanError for a variable that is not set, or a URL that is none of a source; DriverMissing.
        """
        if system not in self._sources:
            path = ("lookups", self.by_system[system][0], "system")
            url = self._plan.origin.resolver.resolve(system, self._plan.position(*path))
            try:
                self._sources[system] = open_source(url.reveal(), self._folder)
            except UsageError as problem:
                cure = "name a system that a source can be, by its URL"
                raise PlanError([at(self._plan, path, "system", str(problem), cure)]) from None
        return self._sources[system]

    def findings(self) -> list[Finding]:
        """Return what the catalogs of these systems say against the lookups.

        Raises: PlanError as `source`; SystemUnavailable, SystemRefused.
        """
        by_system = self.by_system.items()
        return [
            found
            for system, names in by_system
            for name in names
            for found in lookup_findings(self._plan, name, self._catalog(system))
        ]

    def tables(self, system: str) -> dict[str, Table]:
        """Return the table of each lookup of a system, with the lookup's two columns only.

        Raises: PlanError if a catalog says something against a lookup; SystemUnavailable, SystemRefused.
        """
        names = self.by_system[system]
        catalog = self._catalog(system)
        if findings := [found for name in names for found in lookup_findings(self._plan, name, catalog)]:
            raise PlanError(findings)
        lookups = self._plan.system_lookups()
        return {name: lookup_table(lookups[name], catalog) for name in names}

    def close(self) -> None:
        """Release what was opened."""
        while self._sources:
            self._sources.popitem()[1].close()

    def _catalog(self, system: str) -> Catalog:
        if system not in self._catalogs:
            self._catalogs[system] = self.source(system).catalog()
        return self._catalogs[system]
