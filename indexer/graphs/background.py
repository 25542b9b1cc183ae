"""The background of the indexing server, put together."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from uuid import uuid4

from common.db.events import EventReader
from common.db.opening import open_database
from common.db.searchers import STALE_S
from common.metrics import Metrics
from indexer.config import IndexerSettings
from indexer.erasure.event_removal_repository import ExpiredEvents
from indexer.erasure.journal import ErasureJournal
from indexer.erasure.receipt_repository import ReceiptRepository
from indexer.erasure.residue_repository import ResidueRepository
from indexer.erasure.upkeep import Upkeep
from indexer.graphs.curator import Curator, Pace
from indexer.graphs.curator_repository import CuratorRepository
from indexer.graphs.drop_repository import RelationDrops
from indexer.graphs.housekeeping import Housekeeping
from indexer.graphs.operation_repository import OperationQueue
from indexer.graphs.promotion import Promotion
from indexer.graphs.recall import RecallWatch
from indexer.graphs.recall_repository import RecallRepository
from indexer.graphs.relation_repository import RelationRepository

_CONNECTIONS = 4


@asynccontextmanager
async def in_the_background(
    settings: IndexerSettings, reader: EventReader, journal: ErasureJournal | None,
    metrics: Metrics, pace: Pace,
) -> AsyncIterator[Curator]:  # fmt: skip
    """Work for as long as the context lasts, on connections of its own: photos must not wait for
    one while a graph is built."""
    promotion = settings.promotion
    own = settings.database.model_copy(update={"pool_size": _CONNECTIONS})
    async with open_database(own, patient=True) as database:
        repository = CuratorRepository(database, reader)
        drops = RelationDrops(database)
        queue = OperationQueue(database, uuid4(), pace.stale_s)
        recall = RecallWatch(RecallRepository(database), metrics, promotion.target_recall)
        steps = Promotion(
            RelationRepository(database, reader), drops, recall, queue, promotion, metrics
        )
        curator = Curator(repository, queue, steps, promotion, metrics, pace)
        housekeeping = Housekeeping(repository, drops, queue, recall, promotion, metrics)
        upkeep = Upkeep(
            ExpiredEvents(database, reader),
            ReceiptRepository(database, STALE_S),
            ResidueRepository(database),
            drops,
            journal,
            settings.retention,
            settings.erasure,
            metrics,
        )
        async with housekeeping.working(), upkeep.working(), curator.working():
            yield curator
