"""What is where."""

import json
from dataclasses import dataclass

from standalone.citus.repository import (
    EVENT_DATA,
    KEPT_HERE,
    Address,
    CitusRepository,
    Held,
    Node,
    OwnTable,
)

_NOTHING = Held(0, 0, 0, 0)


@dataclass(frozen=True, slots=True)
class Status:
    """Nodes with what each holds, and what is not distributed yet."""

    nodes: list[Node]
    held: dict[Address, Held]
    lacking: dict[Address, str]
    tables: list[str]
    own_tables: list[OwnTable]

    @classmethod
    async def of(cls, citus: CitusRepository) -> "Status":
        """Look. Raises SetupError where a node that holds something does not answer."""
        there = await citus.tables((*EVENT_DATA, *KEPT_HERE))
        tables = [table for table in (*EVENT_DATA, *KEPT_HERE) if table not in there]
        own = [own for own in await citus.own_tables() if not own.distributed or not own.has_graph]
        held = await citus.held() if "event" in there else {}
        lacking = await citus.lacking(await citus.roles())
        return cls(await citus.nodes(), held, lacking, tables, own)

    def as_text(self) -> str:
        """For people."""
        form = "{:<24} {:<12} {:>7} {:>10} {:>8} {:>11}"
        lines = [form.format("node", "", "shards", "MB", "events", "own tables")]
        for node in self.nodes:
            held = self.held.get(node.address, _NOTHING)
            kind = "coordinator" if node.group == 0 else "worker"
            size = f"{held.bytes / 1e6:.1f}"
            cells = (str(node.address), kind, held.shards, size, held.events, held.own_tables)
            lines.append(form.format(*cells))
        lines += [f"{node}: {what}" for node, what in self.lacking.items()]
        left = [*self.tables, *(f"{own.schema} (events/{own.event})" for own in self.own_tables)]
        if left:
            lines.append(f"not distributed yet: {', '.join(left)}; run facepass-server citus init")
        return "\n".join(lines)

    def as_json(self) -> str:
        """For programs."""
        return json.dumps(
            {
                "nodes": [self._node(node) for node in self.nodes],
                "not_distributed": {
                    "tables": self.tables,
                    "own_tables": [own.schema for own in self.own_tables],
                },
            }
        )

    def _node(self, node: Node) -> dict[str, object]:
        held = self.held.get(node.address, _NOTHING)
        return {
            "host": node.address.host,
            "port": node.address.port,
            "coordinator": node.group == 0,
            "takes_shards": node.takes_shards,
            "shards": held.shards,
            "bytes": held.bytes,
            "events": held.events,
            "own_tables": held.own_tables,
            "lacking": self.lacking.get(node.address, ""),
        }
