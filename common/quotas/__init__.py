"""What one subject, and all callers of one event, may use up in a time."""
