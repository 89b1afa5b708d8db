"""What is wrong with a plan, as far as it can be seen without a database. Pure."""

from transhume.errors import Finding
from transhume.plan.model import Plan


def check_plan(plan: Plan) -> list[Finding]:
    """Return every finding about a plan that needs no database."""
    return []
