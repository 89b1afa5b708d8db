"""Imports the modules under test with their faults planted, and wakes one of them or notes which are reached."""

import ast
import importlib.machinery
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import CodeType, ModuleType
from typing import Any

from tests.mutation.planting import SWITCH, Mutant, Planted, assigned_names, plant, statements_of_fault

SOURCE = Path(__file__).parents[2] / "src" / "transhume"
PACKAGES = ("rules", "oracle", "checks", "compiler")


def read_planted() -> dict[str, Planted]:
    """Return every file of the packages under test, by its path below `transhume`, with its faults."""
    paths = [path for package in PACKAGES for path in sorted((SOURCE / package).rglob("*.py"))]
    names = {path.relative_to(SOURCE).as_posix(): path for path in paths}
    return {name: plant(path.read_text("utf-8"), name) for name, path in names.items()}


class _Noting:
    """Stands in the place of a module's switch: is equal to no number, and notes with which it was compared."""

    __hash__ = object.__hash__

    def __init__(self, file: str, reached: set[tuple[str, int]]) -> None:
        self.file, self.reached = file, reached

    def __eq__(self, number: object) -> bool:
        self.reached.add((self.file, number))  # type: ignore[arg-type]
        return False


@dataclass
class Importer:
    """Finds the modules under test: one finder in front of Python's own, for the rest of the process.

    `awake` is the fault that works, by file and number; while `noting`, none does and `reached` grows.
    """

    trees: Mapping[str, ast.Module]
    awake: tuple[str, int] | None = None
    noting: bool = False
    reached: set[tuple[str, int]] = field(default_factory=set)
    loaded: dict[str, ModuleType] = field(default_factory=dict)

    def install(self) -> None:
        """Stand in front of Python's own finders. Raises: AssertionError if a module is imported already."""
        assert not [name for name in sys.modules if name.startswith("transhume")], "transhume is imported already"
        sys.meta_path.insert(0, self)  # type: ignore[arg-type]

    def find_spec(self, name: str, path: Sequence[str] | None, target: Any = None) -> Any:
        """Return the spec of a module under test, None for any other."""
        if not name.startswith(tuple(f"transhume.{package}" for package in PACKAGES)):
            return None
        spec = importlib.machinery.PathFinder.find_spec(name, path)
        if spec is None or spec.origin is None:
            return None
        file = Path(spec.origin).relative_to(SOURCE).as_posix()
        if file in self.trees:
            spec.loader = _Loader(name, spec.origin, self, file)
        return spec

    def wake(self, file: str, number: int) -> None:
        """Let one fault work from now on."""
        self.awake = (file, number)
        self._switch_all()

    def wake_at_import(self, mutant: Mutant, source: str) -> None:
        """Let a fault work that changes what a module computes when it is imported: compute that again.

        Other modules that imported a name get what it stands for now.
        """
        module = self.loaded[mutant.file]
        for statement in statements_of_fault(source, mutant):
            before = {name: getattr(module, name) for name in assigned_names(statement)}
            code = compile(ast.Module([statement], []), f"<{mutant.file}>", "exec", dont_inherit=True)
            exec(code, module.__dict__)
            for other in list(sys.modules.values()):
                known = getattr(other, "__dict__", {})
                for name, value in before.items():
                    if known.get(name) is value and other is not module:
                        known[name] = getattr(module, name)

    def note(self) -> None:
        """Note from now on which faults are reached."""
        self.noting = True
        self._switch_all()

    def _switch_all(self) -> None:
        for file, module in self.loaded.items():
            self.switch(file, module)

    def switch(self, file: str, module: ModuleType) -> None:
        """Set the switch of one module."""
        number = self.awake[1] if self.awake is not None and self.awake[0] == file else -1
        setattr(module, SWITCH, _Noting(file, self.reached) if self.noting else number)


class _Loader(importlib.machinery.SourceFileLoader):
    def __init__(self, name: str, path: str, importer: Importer, file: str) -> None:
        super().__init__(name, path)
        self.importer, self.file = importer, file

    def get_code(self, fullname: str) -> CodeType:
        return compile(self.importer.trees[self.file], self.path, "exec", dont_inherit=True)

    def exec_module(self, module: ModuleType) -> None:
        super().exec_module(module)
        self.importer.loaded[self.file] = module
        self.importer.switch(self.file, module)
