"""Failures of steps whose columns `heddle.lock` remembers: the service may have changed since."""

from __future__ import annotations

from heddle.udf_bridge.transport import StepContractError, StepFailure


def told_of_lock(failure: StepFailure, program: str) -> tuple[str, str | None]:
    """The failure's message and help. Rows that are not as the lock says show that it is stale; of other
    failures of the step only the service knows whether they come of that."""
    command = f"heddle check --refresh {program}"
    if isinstance(failure, StepContractError):
        said = "heddle.lock says otherwise of its columns, so it is stale"
        return f"{failure.message}; {said}", f"ask the service again: `{command}`"
    if failure.transient:
        return failure.message, None
    return failure.message, f"if the columns have changed since heddle.lock was written: `{command}`"
