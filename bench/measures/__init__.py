"""The measurements of `bench.search`, one subject a module."""
