"""The example's legacy database, made at any size with planted defects, and the project that migrates it.

Nothing here knows how transhume works: what must come out is counted from what was planted.
"""

from transhume.demo.answers import AnswerKey, Planted, TableAnswer
from transhume.demo.legacy import generate
from transhume.demo.project import PROJECT_FILES, write_project
from transhume.demo.rows import Sizes

__all__ = ["PROJECT_FILES", "AnswerKey", "Planted", "Sizes", "TableAnswer", "generate", "write_project"]
