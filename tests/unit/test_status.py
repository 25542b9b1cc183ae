"""Errors on the wire."""

import grpc
import pytest
from google.protobuf import duration_pb2
from google.rpc import error_details_pb2

from common import errors
from common.rpc.status import code_of, status_of


def details(error: BaseException) -> list[object]:
    kinds = (
        error_details_pb2.ErrorInfo,
        error_details_pb2.BadRequest,
        error_details_pb2.RetryInfo,
    )
    found: list[object] = []
    for packed in status_of(error).details:
        for kind in kinds:
            message = kind()
            if packed.Unpack(message):
                found.append(message)
    return found


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (errors.ImageTruncated("cut"), grpc.StatusCode.INVALID_ARGUMENT),
        (errors.EventNotFound("gone"), grpc.StatusCode.NOT_FOUND),
        (errors.PhotoIdConflict("taken"), grpc.StatusCode.ALREADY_EXISTS),
        (errors.PackMismatch("other"), grpc.StatusCode.FAILED_PRECONDITION),
        (errors.DatabaseUnavailable("away"), grpc.StatusCode.UNAVAILABLE),
        (errors.ProcessingFailed("crash"), grpc.StatusCode.INTERNAL),
        (RuntimeError("secret"), grpc.StatusCode.INTERNAL),
    ],
)
def test_each_error_has_its_code_and_one_reason(error: Exception, code: grpc.StatusCode) -> None:
    assert code_of(error) is code
    status = status_of(error)
    assert status.code == code.value[0]
    infos = [d for d in details(error) if isinstance(d, error_details_pb2.ErrorInfo)]
    assert len(infos) == 1
    assert infos[0].domain == "facepass"


def test_what_is_not_ours_shows_nothing() -> None:
    status = status_of(RuntimeError("password=secret"))
    assert status.message == "internal error"
    assert "secret" not in str(status)


def test_fields_and_waits_are_told() -> None:
    bad = details(errors.InvalidArgument("event.ttl", "must be above 0"))[1]
    assert isinstance(bad, error_details_pb2.BadRequest)
    assert [(v.field, v.description) for v in bad.field_violations] == [
        ("event.ttl", "must be above 0")
    ]
    retry = details(errors.Overloaded("full", limit="searches", retry_after_s=1.5))[1]
    assert isinstance(retry, error_details_pb2.RetryInfo)
    assert retry.retry_delay == duration_pb2.Duration(seconds=1, nanos=500_000_000)
