"""One writer a format. Each takes a paper and gives bytes; every text of the paper is inert in them."""

from collections.abc import Callable, Mapping
from types import MappingProxyType

from transhume.report.paper import Paper
from transhume.report.writers.markdown import markdown
from transhume.report.writers.page import page
from transhume.report.writers.word import word
from transhume.report.writers.workbook import workbook

WRITERS: Mapping[str, Callable[[Paper], bytes]] = MappingProxyType(
    {"html": page, "docx": word, "xlsx": workbook, "md": markdown}
)
"""Ending of a file to its writer."""

__all__ = ["WRITERS", "markdown", "page", "word", "workbook"]
