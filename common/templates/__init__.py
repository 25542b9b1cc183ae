"""Templates as they are kept: each event's in a space of its own, reached with a key."""
