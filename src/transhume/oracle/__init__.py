"""What one row must become, recomputed in plain Python: rules, exact conversions, checks, fate and reasons.

Knows nothing of SQL: it shares the plan, its types and the rules' parameters with the rest, and no code with the
compiler, whose promises about conversions and reasons it keeps by itself.
"""

from transhume.oracle.exact import Odd
from transhume.oracle.reading import AMBIGUOUS
from transhume.oracle.relatives import Relatives
from transhume.oracle.row import Expected, ExpectedRows, Oracle
from transhume.oracle.rows import Key, Rows

__all__ = ["AMBIGUOUS", "Expected", "ExpectedRows", "Key", "Odd", "Oracle", "Relatives", "Rows"]
