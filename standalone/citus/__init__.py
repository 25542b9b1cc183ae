"""Event data over several databases, by Citus, which the operator has installed."""
