"""What Indexers and Searchers agree on about templates in Searchers' memory."""

STALE_S = 10.0
"""An erasure does not wait for a Searcher that has not been heard of for so long."""
ALONE_S = 5.0
"""A Searcher that could not say for so long that it is there empties its memory."""
