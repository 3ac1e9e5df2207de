"""The reading of one turn: all streams at once, each on a thread of its own."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence

from heddle.errors import Cancelled
from heddle.logical.plan import OpId
from heddle.physical.failures import StageFailed
from heddle.physical.frames import FrameStore
from heddle.physical.stream_reader import StreamReader, TurnRows


class TurnReading:
    """It begins at once. `changed` is notified when it has ended."""

    def __init__(self, readers: Sequence[StreamReader], changed: threading.Condition) -> None:
        self.readers = tuple(readers)
        self._changed = changed
        self._left = len(self.readers)
        self._rows: dict[OpId, TurnRows] = {}
        self._failures: dict[OpId, StageFailed] = {}
        self._cancelled = False
        self._defect: BaseException | None = None
        for reader in self.readers:
            threading.Thread(
                target=self._read, args=(reader,), name=f"heddle-stream-{reader.op.id}", daemon=True
            ).start()

    @property
    def ended(self) -> bool:
        return self._left == 0

    @property
    def cancelled(self) -> bool:
        """Whether a read was cut off."""
        return self._cancelled

    @property
    def failures(self) -> Mapping[OpId, StageFailed]:
        return self._failures

    @property
    def rows(self) -> Mapping[OpId, TurnRows]:
        """What the streams gave that did not fail."""
        if self._defect is not None:
            raise self._defect
        return self._rows

    def free(self, frames: FrameStore) -> None:
        """Nobody wants what was read."""
        rows, self._rows = self._rows, {}
        for taken in rows.values():
            frames.free(taken.frame)

    def _read(self, reader: StreamReader) -> None:
        try:
            self._rows[reader.op.id] = reader.read()
        except Cancelled:
            self._cancelled = True
        except StageFailed as failure:
            self._failures[reader.op.id] = failure
        except BaseException as error:  # raised again where the rows are asked for
            self._defect = error
        finally:
            with self._changed:
                self._left -= 1
                self._changed.notify_all()
