"""The `facepass` command."""
