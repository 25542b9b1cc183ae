"""Engines whose stages are told to the trace."""

from common.traces.span import stage
from common.vision.types import Analysis, AnalyzeOptions, Pack, Vision
from common.vision.workers.workload import Workload


class TracedVision:
    """`Vision` that tells traces how long an image waited and what was done with it."""

    def __init__(self, vision: Vision) -> None:
        self._vision = vision

    @property
    def pack(self) -> Pack:
        return self._vision.pack

    @property
    def provider(self) -> str:
        return self._vision.provider

    @property
    def workload(self) -> Workload:
        return self._vision.workload

    async def analyze(
        self, content: bytes, options: AnalyzeOptions, *, owner: str = "", urgent: bool = False
    ) -> Analysis:
        """As Vision.analyze. Workers say how long each stage took, not when it began."""
        with stage("image") as span:
            analysis = await self._vision.analyze(content, options, owner=owner, urgent=urgent)
            if span is not None:
                timings = analysis.timings
                span.tell(megapixels=analysis.width * analysis.height / 1e6)
                span.lay_out(
                    {
                        "queue": timings.queue_ms,
                        "decode": timings.decode_ms,
                        "detect": timings.detect_ms,
                        "embed": timings.embed_ms,
                    }
                )
            return analysis
