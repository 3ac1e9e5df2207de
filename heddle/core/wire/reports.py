"""What a call tells beside its rows, as frames of the plugin: log lines, progress, numbers, refused rows.

`encode_report` and `encode_rejected` make the frames, `decode_report` and `decode_rejected` read them.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Final

import pyarrow as pa

from heddle.core.failure import contract_error
from heddle.core.report import StepAnswered, StepLogged, StepMeasured, StepProgressed, StepReport
from heddle.core.step import RejectedRows
from heddle.core.wire import plugin_pb2 as wire
from heddle.core.wire.failures import TEXT_CHARS_MAX, wire_text
from heddle.core.wire.lanes import FRAME_BYTES_MAX, LaneError
from heddle.core.wire.payload import PayloadError, payloads, read

REJECTION_ROWS_MAX: Final = 1 << 20
ROW_NUMBER_BYTES: Final = 8
RECORDS_BYTES_MAX: Final = FRAME_BYTES_MAX // 2


def encode_report(report: StepReport, member: int = 0) -> wire.PluginFrame:
    """`member` is the step of a chain that tells it, from 0."""
    frame = _frame(report)
    frame.member = member
    return frame


def _frame(report: StepReport) -> wire.PluginFrame:
    match report:
        case StepLogged(level, message, fields):
            texts = {_text(name): _text(value) for name, value in fields.items()}
            return wire.PluginFrame(log=wire.Log(level=level, message=_text(message), fields=texts))
        case StepProgressed(done, total, message):
            told = wire.Progress(
                rows_done=max(0, done), rows_total=max(0, total or 0), message=_text(message)
            )
            return wire.PluginFrame(progress=told)
        case StepMeasured(name, value, unit):
            return wire.PluginFrame(metric=wire.Metric(name=_text(name), value=value, unit=_text(unit)))
        case StepAnswered(answer):
            return wire.PluginFrame(answer=wire.Answer(json=json.dumps(answer, allow_nan=False)))


def decode_report(frame: wire.PluginFrame) -> StepReport | None:
    """None for a frame of another kind. Raises `LaneError`."""
    match frame.WhichOneof("kind"):
        case "log":
            return StepLogged(frame.log.level, frame.log.message, dict(frame.log.fields))
        case "progress":
            told = frame.progress
            return StepProgressed(told.rows_done, told.rows_total or None, told.message)
        case "metric":
            return StepMeasured(frame.metric.name, frame.metric.value, frame.metric.unit)
        case "answer":
            return _answered(frame.answer.json)
        case _:
            return None


def _answered(text: str) -> StepAnswered:
    """Raises `LaneError`."""
    try:
        return StepAnswered(json.loads(text))
    except ValueError as error:
        raise LaneError("an answer that is no JSON") from error


def encode_rejected(rejected: RejectedRows) -> Iterator[wire.PluginFrame]:
    if rejected.records is not None:
        yield from _encode_records(rejected, rejected.records)
        return
    for start in range(0, len(rejected.rows), REJECTION_ROWS_MAX):
        rows = rejected.rows.slice(start, REJECTION_ROWS_MAX)
        numbers = rows.buffers()[1].slice(rows.offset * ROW_NUMBER_BYTES, len(rows) * ROW_NUMBER_BYTES)
        yield wire.PluginFrame(
            rejection=wire.Rejection(
                rows=numbers.to_pybytes(),
                reason=_text(rejected.reason),
                error_type=_text(rejected.error_type),
            )
        )


def _encode_records(rejected: RejectedRows, records: pa.Table) -> Iterator[wire.PluginFrame]:
    for part in payloads(records, RECORDS_BYTES_MAX):
        if part.size_bytes > FRAME_BYTES_MAX - TEXT_CHARS_MAX * 4:
            raise contract_error(f"a rejected record of {part.size_bytes >> 20} MB is too large")
        yield wire.PluginFrame(
            rejection=wire.Rejection(
                records=part.to_bytes(),
                reason=_text(rejected.reason),
                error_type=_text(rejected.error_type),
            )
        )


def decode_rejected(rejection: wire.Rejection) -> RejectedRows:
    """Raises `LaneError`."""
    error_type = rejection.error_type or "Rejected"
    if rejection.records:
        try:
            records = read(rejection.records)
        except PayloadError as error:
            raise LaneError(f"rejected records that cannot be read ({error})") from error
        numbers = pa.array(range(records.num_rows), pa.int64())
        return RejectedRows(numbers, rejection.reason, error_type, records)
    count, rest = divmod(len(rejection.rows), ROW_NUMBER_BYTES)
    if rest:
        raise LaneError("row numbers that are not 64-bit integers")
    rows = pa.Array.from_buffers(pa.int64(), count, [None, pa.py_buffer(rejection.rows)])
    return RejectedRows(rows, rejection.reason, error_type)


def _text(text: str) -> str:
    return wire_text(text)[:TEXT_CHARS_MAX]
