"""Erasures on the wire: requests to domain values and back."""

from datetime import UTC, datetime, timedelta
from uuid import UUID

from facepass.v1 import erasures_pb2 as pb
from google.longrunning import operations_pb2

from common.audit.note import count
from common.errors import InvalidArgument
from common.names import FaceName, parse_event, parse_face
from common.paging import decode_token, encode_token, fingerprint, not_ours, page_size
from common.rpc.convert import enum_to_wire, timestamp_to_domain, timestamp_to_wire
from common.similarity import told
from indexer.erasure.erasing import Erasing, Selfie, Wanted
from indexer.erasure.erasures import Erasure, Kind, Person
from indexer.erasure.receipt_repository import ReceiptRepository


class Erasures:
    """What the Indexer's servicer asks about erasures."""

    def __init__(self, erasing: Erasing, receipts: ReceiptRepository) -> None:
        self._erasing = erasing
        self._receipts = receipts

    async def erase_person(self, request: pb.ErasePersonRequest) -> operations_pb2.Operation:
        wanted = _wanted(request)
        if request.validate_only:
            person = await self._erasing.preview(wanted)
            count(faces=len(person.faces), validated_only=True)
            return _preview(person)
        person, erasure_id = await self._erasing.erase(wanted)
        count(faces=len(person.faces), validated_only=False)
        return operation_to_wire(await self._receipts.get(erasure_id))

    async def get(self, request: pb.GetErasureRequest) -> pb.GetErasureResponse:
        erasure = await self._receipts.get(_parse(request.name))
        return pb.GetErasureResponse(erasure=erasure_to_wire(erasure))

    async def list(self, request: pb.ListErasuresRequest) -> pb.ListErasuresResponse:
        event = parse_event(request.event, "event") if request.event else None
        size = page_size(request.page_size, default=100, most=1000)
        owner = fingerprint("ListErasures", request.event)
        cursor = decode_token(request.page_token, owner, str, str)
        after = _after(str(cursor[0]), str(cursor[1])) if cursor else None
        found = await self._receipts.list(event, after, size + 1)
        page = found[:size]
        token = ""
        if len(found) > size:
            last = page[-1]
            token = encode_token(owner, [last.create_time.isoformat(), str(last.erasure_id)])
        erasures = [erasure_to_wire(each) for each in page]
        return pb.ListErasuresResponse(erasures=erasures, next_page_token=token)


def operation_to_wire(erasure: Erasure) -> operations_pb2.Operation:
    """The operation of an erased person: done once no file has it."""
    done = erasure.physical_time is not None
    message = operations_pb2.Operation(name=f"operations/{erasure.erasure_id}", done=done)
    receipt = erasure_to_wire(erasure)
    message.metadata.Pack(pb.ErasePersonMetadata(erasure=receipt))
    if done:
        message.response.Pack(pb.ErasePersonResponse(erasure=receipt))
    return message


def erasure_to_wire(erasure: Erasure) -> pb.Erasure:
    return pb.Erasure(
        name=f"erasures/{erasure.erasure_id}",
        kind=enum_to_wire(pb.ErasureKind, erasure.kind),
        event=str(erasure.event),
        event_uid=str(erasure.uid),
        photos=erasure.photos,
        faces=erasure.faces,
        digest=erasure.digest,
        subject=erasure.subject,
        create_time=timestamp_to_wire(erasure.create_time),
        live_time=timestamp_to_wire(erasure.live_time),
        physical_time=timestamp_to_wire(erasure.physical_time),
        backup_time=timestamp_to_wire(erasure.backup_time),
        suppress_until=timestamp_to_wire(erasure.suppress_until),
    )


def _preview(person: Person) -> operations_pb2.Operation:
    would = pb.Erasure(
        kind=enum_to_wire(pb.ErasureKind, Kind.PERSON),
        event=str(person.event.name),
        event_uid=str(person.event.uid),
        faces=len(person.faces),
    )
    message = operations_pb2.Operation(done=True)
    message.metadata.Pack(pb.ErasePersonMetadata(erasure=would))
    faces = [
        pb.ErasableFace(face=str(name), similarity=told(candidate.similarity))
        for name, candidate in person.faces
    ]
    message.response.Pack(
        pb.ErasePersonResponse(erasure=would, faces=faces, min_similarity=person.min_similarity)
    )
    return message


def _wanted(request: pb.ErasePersonRequest) -> Wanted:
    event = parse_event(request.event, "event")
    if not 0 <= request.min_similarity <= 1:
        raise InvalidArgument("min_similarity", "must be in (0, 1], or 0 for the event's own")
    return Wanted(event, _sample(request), request.min_similarity, _suppress_until(request))


def _sample(request: pb.ErasePersonRequest) -> Selfie | FaceName:
    index = request.face_index if request.HasField("face_index") else None
    match request.WhichOneof("sample"):
        case "image":
            if not request.image:
                raise InvalidArgument("image", "is empty")
            return Selfie(request.image, index)
        case "face":
            name = parse_face(request.face, "face")
            if str(name.photo.event) != request.event:
                raise InvalidArgument("face", f"is not a face of {request.event}")
            if index is not None:
                raise InvalidArgument("face_index", "goes with an image only")
            return name
    raise InvalidArgument("sample", "must be an image or a face")


def _suppress_until(request: pb.ErasePersonRequest) -> datetime | None:
    now = datetime.now(UTC)
    match request.WhichOneof("suppression"):
        case "suppress_until":
            until = timestamp_to_domain(request.suppress_until, "suppress_until")
            if until <= now:
                raise InvalidArgument("suppress_until", "must be in the future")
            return until
        case "suppress_for":
            try:
                length: timedelta = request.suppress_for.ToTimedelta()
                until = now + length
            except (ValueError, OverflowError):
                raise InvalidArgument("suppress_for", "is out of range") from None
            if length <= timedelta():
                raise InvalidArgument("suppress_for", "must be above 0")
            return until
    return None


def _parse(name: str) -> UUID:
    head, _, number = name.rpartition("/")
    try:
        if head == "erasures":
            return UUID(number)
    except ValueError:
        pass
    raise InvalidArgument("name", "must be erasures/{erasure}, the erasure being a UUID")


def _after(time: str, number: str) -> tuple[datetime, UUID]:
    try:
        found = datetime.fromisoformat(time)
        if found.tzinfo is None:
            raise not_ours()
        return found, UUID(number)
    except ValueError:
        raise not_ours() from None
