"""The dialects in which a person runs scripts by hand: every tree is printed exactly, or refused with the reason.

An engine's dialect lowers every operation; these lower only what checks are made of. Nothing here transpiles.
"""

from transhume.dialects.dialect import LoweringError
from transhume.dialects.scripts.compared import Types
from transhume.dialects.scripts.script_dialect import ScriptDialect
from transhume.dialects.scripts.spoken import SCRIPT_DIALECTS

__all__ = ["SCRIPT_DIALECTS", "LoweringError", "ScriptDialect", "Types"]
