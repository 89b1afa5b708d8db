"""The road of a run, from the extract to what readers see; each step is a stage that tells what it did as events."""

from collections.abc import Iterator

from transhume.batches import Event, TargetTable
from transhume.compiler import table_order
from transhume.stages.context import RunContext
from transhume.stages.extract import extract
from transhume.stages.keys import group_keys, parent_keys
from transhume.stages.load import load_mapping
from transhume.stages.publish import publish, verify
from transhume.stages.validate import validate_staged


def run(context: RunContext) -> Iterator[Event]:
    """Do the whole job, or what an earlier process left of it. Nothing is visible before `published`.

    Raises: CheckFailed (nothing published, or published and named so), Interrupted, SystemUnavailable.
    """
    groups = table_order(context.plan)
    if context.target.state != "published":
        yield from extract(context)
        for group in groups:
            yield from group_keys(context, group)
            for name in group:
                yield from load_mapping(context, context.plan.tables[name])
                yield from parent_keys(context, context.plan.tables[name])
        yield from validate_staged(context)
    order: list[TargetTable] = [context.tables[name] for group in groups for name in group]
    yield from publish(context, order)
    yield from verify(context, order)
    yield Event("run_finished")
