"""Serving gRPC."""

import os

# gRPC's fork handlers break a child process that is forked while calls are served, as Python forks
# to start a program under another user. FacePass never uses gRPC in a forked child.
os.environ.setdefault("GRPC_ENABLE_FORK_SUPPORT", "false")
