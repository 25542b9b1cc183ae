"""What FacePass does against what a user would otherwise write. Each module run by itself prints
one table and, as its last line, one line of JSON."""
