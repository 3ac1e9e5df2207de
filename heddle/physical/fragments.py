"""A fragment on DataFusion: its inputs are bound as tables, it is planned, threads pull its partitions.

`stream_on_datafusion` gives batches of the fragment's row; each partition is pulled by a thread of its own
into a bounded channel, so the plan runs ahead of its reader by a few batches and no more.
"""

from __future__ import annotations

from collections.abc import Mapping
from threading import Thread
from typing import Final, TypeAlias

from datafusion import ExecutionPlan, SessionContext

from heddle.core.deep_stack import deep_thread
from heddle.core.record import record
from heddle.logical.plan import Fragment
from heddle.physical.batches import Batches, as_plain, at_least_one, plain_schema
from heddle.physical.cancel import CancelToken
from heddle.physical.channel import Channel, ChannelClosed
from heddle.physical.engine_errors import EngineError, engine_errors, stage_error
from heddle.physical.environment import RunEnvironment
from heddle.physical.failures import StageFailed
from heddle.physical.frames import Frame
from heddle.physical.session import Binding, FileBinding, Session, StreamBinding, metric_sums

JOIN_WAIT_S: Final = 2.0
"""How long a finished fragment waits for a thread that is inside DataFusion."""


FragmentInput: TypeAlias = FileBinding | Frame | Batches
"""A stream comes from another stage of the same task and gives at least one batch; there is one at most."""


@record(slots=True, eq=False)
class ScanMetrics:
    """What the scans of a run read from files, summed over its fragments."""

    bytes_scanned: int = 0

    def add(self, plan: ExecutionPlan) -> None:
        self.bytes_scanned += metric_sums(plan, ("bytes_scanned",))["bytes_scanned"]


def stream_on_datafusion(
    fragment: Fragment,
    inputs: Mapping[str, FragmentInput],
    session: Session,
    env: RunEnvironment,
    stop: CancelToken,
    metrics: ScanMetrics,
) -> Batches:
    """Batches of the fragment's result, at least one. Raises `StageFailed` or `Cancelled`."""
    leaf = Channel(stop, bytes_max=env.channel_bytes_max)
    threads: list[Thread] = []
    outputs: list[Channel] = []
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
        with engine_errors():
            planned = session.plan(fragment, bindings)
        count = planned.plan.partition_count
        if planned.ordered:
            outputs += [Channel(stop, bytes_max=env.channel_bytes_max) for _ in range(count)]
        else:
            outputs.append(Channel(stop, producers=count, bytes_max=env.channel_bytes_max))
        for index in range(count):
            output = outputs[index % len(outputs)]
            threads.append(_pull(planned.plan, planned.context, index, output))
        schema = plain_schema(planned.schema)
        yield from at_least_one((as_plain(b, schema) for output in outputs for b in output), schema)
        metrics.add(planned.plan)
    except EngineError as error:
        if leaf.error is not None:
            raise leaf.error from error
        files = [source for source in inputs.values() if isinstance(source, FileBinding)]
        raise StageFailed(fragment, stage_error(error, fragment, files, env)) from error
    finally:
        for channel in (leaf, *outputs):
            channel.close()
        for thread in threads:
            thread.join(JOIN_WAIT_S)


def _pull(plan: ExecutionPlan, context: SessionContext, partition: int, output: Channel) -> Thread:
    def run() -> None:
        error: BaseException | None = None
        try:
            with engine_errors():
                for batch in context.execute(plan, partition):
                    output.put(batch.to_pyarrow())
        except ChannelClosed:
            pass
        except BaseException as failure:  # the reader must learn of any end but the real one
            error = failure
        finally:
            output.finish(error)

    return deep_thread(run, f"heddle-partition-{partition}")
