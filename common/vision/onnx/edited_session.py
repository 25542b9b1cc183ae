"""Sessions of graphs that were edited."""

from typing import Any

import onnxruntime


def edited_session(model: Any, graph: bytes) -> onnxruntime.InferenceSession:
    """Open a graph with the providers and options of one of insightface's models' own session.

    Raises what onnxruntime raises, whose errors have no common root.
    """
    reference: onnxruntime.InferenceSession = model.session
    return onnxruntime.InferenceSession(
        graph,
        sess_options=reference.get_session_options(),
        providers=reference.get_providers(),
        provider_options=list(reference.get_provider_options().values()),
    )
