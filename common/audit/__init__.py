"""The record of who did what: one line a call, appended to a file, a table or both."""
