"""The road of a run, from the extract to what readers see; each step is a stage that tells what it did as events."""

from collections.abc import Generator, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import chain

from transhume.batches import Event, TargetTable
from transhume.compiler import table_order
from transhume.stages.context import RunContext
from transhume.stages.extract import extract, recall_segments, tables_fed
from transhume.stages.freeze import AT_END, BEFORE_PUBLISH, watch
from transhume.stages.keys import RelationsAhead, group_keys, parent_keys
from transhume.stages.later import list_skipped
from transhume.stages.load import load_mapping
from transhume.stages.preconditions import require_sound_data
from transhume.stages.publish import Publishing, verify
from transhume.stages.rejects import join_manifest, write_rejects_for_people
from transhume.stages.replay import replayed_extract
from transhume.stages.subset import choose
from transhume.stages.validate import ask_published, validate_staged


def run(context: RunContext) -> Generator[Event]:
    """Do the whole job, or what an earlier process left of it. Nothing is visible before `published`.

    Raises: CheckFailed (nothing published, or published and named so), Interrupted, SystemUnavailable.
    """
    groups = table_order(context.plan)
    order: list[TargetTable] = [context.tables[name] for group in groups for name in group]
    is_published = context.target.state == "published"
    if is_published:
        recall_segments(context)
    else:
        yield from extract(context) if context.replay is None else replayed_extract(context, context.replay)
        yield from choose(context)
        yield tables_fed(context)
        yield from require_sound_data(context)
    todo = [] if is_published else groups
    with (
        ThreadPoolExecutor(1, "people") as people,
        Publishing(context, order) as publishing,
        RelationsAhead(context, todo) as ahead,
    ):
        written = _write_for_people(context, people, context.plan.tables if is_published else ())
        for group in todo:
            yield from group_keys(context, group, ahead)
            for name in group:
                for event in load_mapping(context, context.plan.tables[name]):
                    yield event
                    publishing.tell(event)
                written += _write_for_people(context, people, [name])
                yield from parent_keys(context, context.plan.tables[name])
        yield from publishing.finish(chain(validate_staged(context), watch(context, BEFORE_PUBLISH)))
        yield from verify(context, order)
        yield from ask_published(context)
        for each in written:
            each.result()
    yield from watch(context, AT_END)
    yield Event("run_finished")


def _write_for_people(context: RunContext, people: ThreadPoolExecutor, names: Iterable[str]) -> list[Future[int]]:
    """Write what people read of staged mappings while the next ones are staged; also where a check stops the run."""
    tasks = (join_manifest, write_rejects_for_people, list_skipped)
    return [people.submit(task, context, context.plan.tables[name]) for name in names for task in tasks]
