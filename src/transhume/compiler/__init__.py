"""The compiler: plan + facts to trees of portable operations. Pure: no dialect's SQL, no file, no connection.

`transform` says what the main SELECT gives, `conversion` which reasons there are, `joins` how a row is chosen.
"""

from transhume.compiler.accounting import compile_accounting, compile_unaccounted
from transhume.compiler.cycles import RowFates, compile_fixpoint_step, compile_row_fates
from transhume.compiler.dedupe import compile_dedupe
from transhume.compiler.gathers import compile_gather
from transhume.compiler.joins import compile_join
from transhume.compiler.keys import (
    compile_distinct,
    compile_duplicates,
    compile_duplicates_of_share,
    compile_keys,
    compile_parent_keys,
    compile_together,
    relation_columns,
)
from transhume.compiler.lookups import compile_one_entry_a_key, compile_repeated_keys
from transhume.compiler.order import is_cyclic, table_order
from transhume.compiler.pivots import compile_pivot_leftovers
from transhume.compiler.scope import DeferredReference, MappingScope, key_types
from transhume.compiler.transform import compile_transform
from transhume.compiler.usage import columns_read, needs

__all__ = [
    "DeferredReference",
    "MappingScope",
    "RowFates",
    "columns_read",
    "compile_accounting",
    "compile_dedupe",
    "compile_distinct",
    "compile_duplicates",
    "compile_duplicates_of_share",
    "compile_fixpoint_step",
    "compile_gather",
    "compile_join",
    "compile_keys",
    "compile_one_entry_a_key",
    "compile_parent_keys",
    "compile_pivot_leftovers",
    "compile_repeated_keys",
    "compile_row_fates",
    "compile_together",
    "compile_transform",
    "compile_unaccounted",
    "is_cyclic",
    "key_types",
    "needs",
    "relation_columns",
    "table_order",
]
