"""A fragment on DataFusion: its inputs are bound as tables, it is planned, threads pull its partitions.

`stream_on_datafusion` gives batches of the fragment's row; each partition is pulled by a thread of its own
into a bounded channel, so the plan runs ahead of its reader by a few batches and no more. A fragment that
reduces may compute for long before its first batch, so it is pulled in a way that can be given up meanwhile.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Final

import pyarrow as pa
from datafusion import ExecutionPlan

from heddle.core.deep_stack import Running
from heddle.logical.plan import Fragment
from heddle.logical.sql import fragment_sql
from heddle.physical.batches import Batches, as_plain, at_least_one, given_schema
from heddle.physical.cancel import CancelToken
from heddle.physical.channel import JOIN_WAIT_S, Channel, ChannelClosed
from heddle.physical.engine_errors import EngineError, engine_errors, stage_error
from heddle.physical.environment import RunEnvironment
from heddle.physical.failures import StageFailed
from heddle.physical.frames import Frame
from heddle.physical.inputs import FileBinding, FragmentInput
from heddle.physical.metering import Work
from heddle.physical.session import Binding, PlannedFragment, Session, StreamBinding, metric_sums

_READS: Final = r"(?i)\bFROM\b"


def stream_on_datafusion(
    fragment: Fragment,
    inputs: Mapping[str, FragmentInput],
    session: Session,
    env: RunEnvironment,
    stop: CancelToken,
    work: Work | None,
) -> Batches:
    """Batches of the fragment's result, at least one; `work` is None where nobody asks what it took. Raises
    `StageFailed` or `Cancelled`."""
    leaf = Channel(stop, bytes_max=env.channel_bytes_max)
    threads: list[Running] = []
    outputs: list[Channel] = []
    ends: list[Callable[[], None]] = []
    planned: PlannedFragment | None = None
    try:
        bindings: dict[str, Binding] = {}
        for relation, source in inputs.items():
            if isinstance(source, FileBinding | Frame):
                bindings[relation] = source
            else:
                from heddle.physical.feeding import feed

                first = next(source)
                bindings[relation] = StreamBinding(first.schema, leaf)
                threads.append(feed(first, source, leaf))
        if is_constant(fragment):
            yield from constant_rows(fragment, session)
            return
        with engine_errors():
            planned = session.plan(fragment, bindings)
        schema = given_schema(planned.schema, fragment.row)
        count = planned.plan.partition_count
        if planned.ordered:
            outputs += [Channel(stop, bytes_max=env.channel_bytes_max) for _ in range(count)]
        else:
            outputs.append(Channel(stop, producers=count, bytes_max=env.channel_bytes_max))
        files_only = all(isinstance(source, FileBinding | Frame) for source in inputs.values())
        for index in range(count):
            output = outputs[index % len(outputs)]
            # What waits for another stage's rows blocks the thread that polls it, which must be its own.
            if fragment.reduces and files_only:
                from heddle.physical.pulling import Pull

                pull = Pull(planned, index, schema, output)
                ends.append(stop.on_cancel(pull.give_up))
                ends.append(pull.give_up)
                pulling = pull.run
            else:
                pulling = _pulling(planned, index, schema, output)
            threads.append(session.start_thread(pulling, f"heddle-partition-{index}"))
        yield from at_least_one((batch for output in outputs for batch in output), schema)
    except EngineError as error:
        if leaf.error is not None:
            raise leaf.error from error
        files = [source for source in inputs.values() if isinstance(source, FileBinding)]
        raise StageFailed(fragment, stage_error(error, fragment, files, env)) from error
    finally:
        for channel in (leaf, *outputs):
            channel.close()
        for end in ends:
            end()
        for thread in threads:
            thread.join(JOIN_WAIT_S)
        if planned is not None and work is not None:
            _count(planned.plan, work)


def is_constant(fragment: Fragment) -> bool:
    """Whether it reads nothing, so that nothing is waited for: a thread would cost more than its row."""
    return not fragment.inputs and re.search(_READS, fragment_sql(fragment)) is None


def constant_rows(fragment: Fragment, session: Session) -> Batches:
    """The rows of a constant fragment, at least one batch. Raises `EngineError`."""
    with engine_errors():
        given, rows = session.collected(fragment)
    schema = given_schema(given, fragment.row)
    return at_least_one((as_plain(batch, schema) for batch in rows), schema)


def _count(plan: ExecutionPlan, work: Work) -> None:
    """The time of a scan's decoding is not in its `elapsed_compute`."""
    in_operators = ("elapsed_compute", "time_elapsed_processing")
    sums = metric_sums(plan, (*in_operators, "bytes_scanned", "spilled_bytes"))
    work.add(
        cpu_s=sum(sums[name] for name in in_operators) / 1e9,
        bytes_scanned=sums["bytes_scanned"],
        spilled_bytes=sums["spilled_bytes"],
    )


def _pulling(
    planned: PlannedFragment, partition: int, schema: pa.Schema, output: Channel
) -> Callable[[], None]:
    """What puts a partition's batches into the channel, under a plain schema: what that takes is done there,
    side by side for all partitions."""

    def run() -> None:
        error: BaseException | None = None
        try:
            with engine_errors():
                for batch in planned.context.execute(planned.plan, partition):
                    output.put(as_plain(batch.to_pyarrow(), schema))
        except ChannelClosed:
            pass
        except BaseException as failure:  # the reader must learn of any end but the real one
            error = failure
        finally:
            output.finish(error)

    return run
