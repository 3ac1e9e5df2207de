"""Each kind of failure has a status of gRPC."""

from __future__ import annotations

from typing import get_args

import grpc
import pytest

from heddle.database.errors import QueryError, QueryErrorKind
from heddle.flightsql.grpc_status import status_of


@pytest.mark.parametrize("kind", get_args(QueryErrorKind))
def test_every_kind_has_one(kind: QueryErrorKind) -> None:
    code, text = status_of(QueryError(kind, "what", help="cure"))
    assert code not in (grpc.StatusCode.OK, grpc.StatusCode.INTERNAL, grpc.StatusCode.UNKNOWN)
    assert text == "what\ncure"


def test_a_conflict_is_aborted() -> None:
    assert status_of(QueryError("conflict", "what"))[0] == grpc.StatusCode.ABORTED
