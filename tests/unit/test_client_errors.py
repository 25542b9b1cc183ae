"""Statuses from the wire, turned into errors and into words."""

import grpc
import pytest
from facepass import (
    FacePassError,
    InvalidArgument,
    NotFound,
    ResourceExhausted,
    Unavailable,
    from_status,
)
from facepass.cli.explain import failure
from facepass.errors import from_rpc_error

from common import errors
from common.rpc.status import status_of


def rpc_error(error: errors.FacePassError) -> FacePassError:
    """What a client makes of what the servers send for an error."""
    status = status_of(error)
    code = next(code for code in grpc.StatusCode if code.value[0] == status.code)
    trailers = grpc.aio.Metadata(("grpc-status-details-bin", status.SerializeToString()))
    return from_rpc_error(
        grpc.aio.AioRpcError(code, grpc.aio.Metadata(), trailers, details=status.message)
    )


def test_a_missing_event_is_not_found_with_its_reason() -> None:
    error = rpc_error(errors.EventNotFound("no event 'party'", metadata={"event": "party"}))
    assert isinstance(error, NotFound)
    assert error.code is grpc.StatusCode.NOT_FOUND
    assert error.reason == "EVENT_NOT_FOUND"
    assert error.message == "no event 'party'"
    assert error.metadata == {"event": "party"}
    assert str(error) == "EVENT_NOT_FOUND: no event 'party'"


def test_a_malformed_field_is_named() -> None:
    error = rpc_error(errors.InvalidArgument("event_id", "must be lower case"))
    assert isinstance(error, InvalidArgument)
    assert error.violations == (("event_id", "must be lower case"),)


def test_overload_says_when_to_come_back() -> None:
    error = rpc_error(errors.Overloaded("busy", limit="searches", retry_after_s=1.5))
    assert isinstance(error, ResourceExhausted)
    assert error.retry_after_s == pytest.approx(1.5)
    assert "2 s" in failure(error, "host:1")


def test_a_photo_status_reads_like_the_error_of_a_call() -> None:
    error = from_status(status_of(errors.ImageTruncated("the image ends too early")))
    assert isinstance(error, InvalidArgument)
    assert (error.reason, error.message) == ("IMAGE_TRUNCATED", "the image ends too early")


def test_an_error_without_details_has_its_code_as_reason() -> None:
    error = from_rpc_error(
        grpc.aio.AioRpcError(
            grpc.StatusCode.UNAVAILABLE,
            grpc.aio.Metadata(),
            grpc.aio.Metadata(),
            details="no route",
        )
    )
    assert isinstance(error, Unavailable)
    assert error.reason == "UNAVAILABLE"
    assert error.metadata == {} and error.violations == () and error.retry_after_s is None


def test_a_server_that_is_not_there_is_named_with_what_to_do() -> None:
    text = failure(Unavailable(grpc.StatusCode.UNAVAILABLE, "failed to connect"), "host:50051")
    assert "host:50051" in text
    assert "facepass-server standalone" in text


def test_a_database_that_is_away_is_not_a_server_that_is_away() -> None:
    text = failure(rpc_error(errors.DatabaseUnavailable("the database is away")), "host:50051")
    assert "the database is away" in text
    assert "standalone" not in text


def test_a_missing_event_says_how_to_make_one() -> None:
    error = rpc_error(errors.EventNotFound("gone", metadata={"event": "events/party"}))
    assert "facepass event create party" in failure(error, "host:1")


def test_violations_are_listed_once() -> None:
    text = failure(rpc_error(errors.InvalidArgument("event_id", "must be lower case")), "host:1")
    assert text.count("must be lower case") == 1


def test_a_status_that_got_lost_is_worth_another_try() -> None:
    lost = grpc.aio.AioRpcError(
        grpc.StatusCode.INTERNAL,
        grpc.aio.Metadata(),
        grpc.aio.Metadata(),
        details="Internal error from Core",
    )
    error = from_rpc_error(lost)
    assert isinstance(error, Unavailable)
    assert error.reason == "UNAVAILABLE"
    assert not isinstance(rpc_error(errors.FacePassError("internal error")), Unavailable)
