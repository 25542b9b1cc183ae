"""How Postgres runs the queries of a search and of a commit: never more than one event's rows."""

import json
import re
from collections.abc import AsyncIterator, Iterator
from typing import Any
from uuid import uuid4

import asyncpg
import numpy as np
import pytest

from common.db.codec import register_codecs
from common.db.sql import load_queries
from common.names import MAX_FACE_NO, EventName
from standalone.embedded import Role

D = 64
EVENTS, LARGE, EACH = 1000, 6000, 20
EVENT = EventName("event-7").key
PROBE = np.full(D, D**-0.5, dtype=np.float32)
ID = uuid4()

FILL = f"""
INSERT INTO event (event_id, name, uid, display_name, location, quality_filter, detail, pack_id)
SELECT id, 'event-' || id, gen_random_uuid(), '', '', 'AUTO', 'STANDARD', 1
  FROM generate_series(1, {EVENTS}) AS id;
INSERT INTO photo (event_id, photo_no, photo_id, state, sha256, size_bytes, width, height,
                   file_name, source_uri, attributes, unindexed, rejection_reason,
                   rejection_message, version)
SELECT id, no, 'photo-' || no, 'INDEXED', '', 1, 1, 1, '', '', '{{}}', '[]', '', '', 1
  FROM generate_series(1, {EVENTS}) AS id, generate_series(1, {EACH}) AS no;
INSERT INTO face
SELECT id, 1, no, (no - 1) % {EACH} + 1, 1, 0, 0, 1, 1, 1, 1, 1, 1, 0, 0, 0,
       '{{0,0,0,0,0,0,0,0,0,0}}',
       ARRAY(SELECT random() - 0.5 + no * 0 FROM generate_series(1, {D}))::vector::halfvec
  FROM generate_series(1, {EVENTS}) AS id,
       generate_series(1, CASE id WHEN 1 THEN {LARGE} ELSE {EACH} END) AS no;
INSERT INTO tombstone (event_id, version, face_no)
SELECT id, no, no FROM generate_series(1, {EVENTS}) AS id, generate_series(1, 30) AS no;
UPDATE event SET event_id = {EVENT} WHERE event_id = 7;
UPDATE photo SET event_id = {EVENT} WHERE event_id = 7;
UPDATE face SET event_id = {EVENT} WHERE event_id = 7;
UPDATE tombstone SET event_id = {EVENT} WHERE event_id = 7;
INSERT INTO relation (relation, event_id, uid, state) VALUES (1, 1, gen_random_uuid(), 'BUILDING');
SELECT create_relation(1, {D});
INSERT INTO ev_1.face SELECT * FROM face WHERE event_id = 1;
SELECT index_relation(1, 16, 64);
ANALYZE;
"""

SHARED: dict[str, list[object]] = {
    "faces_by_no": [[1, 2, 3]],
    "faces_with_photos": [[1, 2, 3]],
    "faces_of_photos": [[1, 2, 3]],
    "templates_by_no": [[5]],
    "similar_faces": [PROBE, 0.5],
    "copy_templates": [],
}
"""Queries over {faces}, with what follows event, pack and range."""

QUERIES: dict[str, dict[str, list[Any]]] = {
    "common.db": {
        "event_by_id": [EVENT],
        "standing": [EVENT],
        "shown": [EVENT, ID],
        "photos_by_no": [EVENT, [1, 2, 3]],
        "tombstones": [EVENT, 29],
        "hold_place": [EVENT],
    },
    "searcher": {
        "photo_no": [EVENT, "photo-3"],
        "alive_events": [[EVENT, 1, 2]],
        "wait_for_writers": [EVENT],
    },
    "indexer": {
        "event_request": [EVENT],
        "event_by_uid": [ID],
        "list_events": ["event-1", 20, ["*"]],
        "lock_event": [EVENT],
        "update_event": [EVENT, "", "", None, None, "AUTO", "STANDARD", None],
        "advance_event": [EVENT, 1, 1, 1, 0, 1, 1],
        "delete_event": [EVENT],
        "delete_event_photos": [EVENT],
        "delete_event_tombstones": [EVENT],
        "photos_by_id": [EVENT, ["photo-1", "photo-2"]],
        "photo_digest": [EVENT, "photo-1", ID],
        "list_photos": [EVENT, 10, None, 5],
        "delete_photo": [EVENT, 1],
    },
    "indexer.graphs": {
        "hold_event": [EVENT],
        "adopt_relation": [EVENT, 1, 9, 8, 7, 100, 1.0],
        "leave_relation": [EVENT],
        "next_copy": [EVENT, 1, 5, 20],
        "events_by_key": [[EVENT, 1, 2]],
        "expired": [[EVENT, 1, 2]],
        "events_to_renew": [[EVENT, 1, 2], [1], [1], 60.0],
        "promoted_after": [EVENT],
        "set_ef_search": [EVENT, ID, 1, 100, 1.0],
        "tombstone_floor": [EVENT, 10.0, 5],
        "delete_tombstones": [EVENT, 5],
        "raise_tombstone_floor": [EVENT, 5],
    },
}
LOOK_UPS: dict[tuple[str, str], tuple[tuple[object, ...], str, str]] = {
    ("common.db", "faces_by_no"): ((1, 0, MAX_FACE_NO, [1, 2]), "face_pkey", "(face_no = "),
    ("common.db", "faces_with_photos"): ((1, 0, MAX_FACE_NO, [1, 2]), "face_pkey", "(face_no = "),
    ("common.db", "templates_by_no"): ((1, 0, MAX_FACE_NO, [1, 2]), "face_pkey", "(face_no = "),
    ("common.db", "faces_of_photos"): ((1, 0, MAX_FACE_NO, [1, 2]), "face_photo", "(photo_no = "),
    ("common.db", "photos_by_no"): (([1, 2],), "photo_pkey", "(photo_no = "),
    ("indexer", "delete_photo"): ((1,), "photo_pkey", "(photo_no = "),
    ("indexer", "photos_by_id"): ((["a"],), "photo_event_id_photo_id_key", "(photo_id = "),
}
"""Queries that look rows up by number: their arguments, the key that they are to use, and how."""
EVENT_DATA = {"event", "photo", "face", "tombstone"}


@pytest.fixture(scope="module")
def filled(postgres: Any, template: str) -> Iterator[str]:
    name = "t_plans"
    postgres.create_database(name, template=template)
    yield name
    postgres.drop_database(name)


@pytest.fixture(scope="module")
async def connection(postgres: Any, filled: str) -> AsyncIterator[asyncpg.Connection]:
    """As the servers connect, with the wall between them and the rows."""
    owner = await asyncpg.connect(postgres.dsn(Role.OWNER, filled))
    await owner.execute(FILL)
    await owner.close()
    connection = await asyncpg.connect(
        postgres.dsn(Role.SERVER, filled),
        server_settings={"jit": "off", "facepass.event_id": str(EVENT)},
    )
    await register_codecs(connection)
    yield connection
    await connection.close()


async def plans(
    connection: asyncpg.Connection, query: str, *arguments: object
) -> list[dict[str, Any]]:
    """The nodes of a query's plans: for these parameters, and for any, as Postgres may use from
    the sixth run on."""
    special = await connection.fetchval(f"EXPLAIN (FORMAT JSON) {query}", *arguments)
    nothing = ", ".join(["NULL"] * len(arguments))
    async with connection.transaction():
        await connection.execute("SET LOCAL plan_cache_mode = force_generic_plan")
        await connection.execute(f"PREPARE general AS {query}")
        general = await connection.fetchval(f"EXPLAIN (FORMAT JSON) EXECUTE general({nothing})")
        await connection.execute("DEALLOCATE general")
    return [node for text in (special, general) for node in nodes(json.loads(text)[0]["Plan"])]


def nodes(node: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield node
    for child in node.get("Plans", ()):
        yield from nodes(child)


def walked(found: list[dict[str, Any]]) -> set[str]:
    """Tables of event data that are read from end to end."""
    return {node["Relation Name"] for node in found if node["Node Type"] == "Seq Scan"} & EVENT_DATA


@pytest.mark.parametrize(
    ("package", "name"), [(p, name) for p, queries in QUERIES.items() for name in queries]
)
async def test_queries_of_an_event_use_its_keys(
    connection: asyncpg.Connection, package: str, name: str
) -> None:
    found = await plans(connection, load_queries(package)[name], *QUERIES[package][name])
    assert walked(found) == set()


@pytest.mark.parametrize("name", SHARED)
async def test_queries_of_faces_use_the_primary_key(
    connection: asyncpg.Connection, name: str
) -> None:
    query = load_queries("common.db")[name].replace("{faces}", "face")
    found = await plans(connection, query, EVENT, 1, 0, MAX_FACE_NO, *SHARED[name])
    assert walked(found) == set()
    indexes = {node["Index Name"] for node in found if "Index Name" in node}
    assert indexes <= {"face_pkey", "face_photo", "photo_pkey", "event_pkey", "ingest_pkey"}
    assert indexes & {"face_pkey", "face_photo"}


@pytest.mark.parametrize(("package", "name"), LOOK_UPS)
async def test_rows_are_looked_up_one_by_one(
    connection: asyncpg.Connection, package: str, name: str
) -> None:
    """Reading all rows of an average event and looking through them is as cheap by Postgres'
    account, and would be done with a large event as well."""
    arguments, key, condition = LOOK_UPS[package, name]
    query = load_queries(package)[name].replace("{faces}", "face")
    found = await plans(connection, query, EVENT, *arguments)
    conditions = [node["Index Cond"] for node in found if node.get("Index Name") == key]
    assert len(conditions) == 2
    assert all(condition in each for each in conditions)
    used = {node["Index Name"] for node in found if "Index Name" in node}
    assert used <= {key, "photo_pkey", "event_pkey", "ingest_pkey"}


async def test_deletions_use_the_primary_key(connection: asyncpg.Connection) -> None:
    for table in ("face", "ev_1.face"):
        query = load_queries("common.db")["delete_face"].replace("{faces}", table)
        found = await plans(connection, query, 1, 3)
        assert walked(found) == set()


async def test_the_nearest_come_by_the_graph(connection: asyncpg.Connection) -> None:
    query = load_queries("common.db")["nearest_faces"].replace("{faces}", "ev_1.face")
    for limit in ("100", "1000"):
        found = await plans(connection, query.replace("{limit}", limit), 1, PROBE, 0.5)
        indexes = [node["Index Name"] for node in found if "Index Name" in node]
        assert indexes == ["face_embedding"] * 2
        assert not any(node["Node Type"] in ("Sort", "Seq Scan") for node in found)


async def test_only_known_queries_are_left_out() -> None:
    """A new query of event data is looked at here, or named as one that may take its time."""
    told = {(package, name) for package, queries in QUERIES.items() for name in queries}
    told |= {("common.db", name) for name in (*SHARED, "delete_face", "nearest_faces")}
    of_event_data = {
        (package, name)
        for package in QUERIES
        for name, query in load_queries(package).items()
        if OF_EVENT_DATA.search(query)
    }
    assert of_event_data - told == LEFT_OUT


OF_EVENT_DATA = re.compile(
    rf"\b(FROM|JOIN|UPDATE|INTO)\s+({'|'.join(sorted(EVENT_DATA))})\b|\{{(faces|into)\}}"
)
LEFT_OUT = {
    # In the background: the rows of all events, which are few.
    ("indexer.graphs", "stored_counts"),
    # Only insert.
    ("indexer", "insert_event"),
    ("indexer", "insert_photos"),
    ("indexer", "insert_faces"),
    ("indexer", "insert_tombstones"),
    # At start, of all events.
    ("common.db", "events_by_template_key"),
    # In the background: all events in turn, all faces of one, or rows of none.
    ("common.db", "canaries"),
    ("indexer.graphs", "due_events"),
    ("indexer.graphs", "copy_faces"),
    ("indexer.graphs", "forget_in_relation"),
    ("indexer.graphs", "count_in_graph"),
    ("indexer.graphs", "count_up_to"),
}
