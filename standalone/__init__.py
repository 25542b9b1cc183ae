"""FacePass on one machine: the embedded Postgres and the command that starts the servers."""

import os

# gRPC's fork handlers break a child process that is forked while calls are served, as Python forks
# to start a program under another user. No forked child of ours uses gRPC. It has to be said before
# gRPC is imported, and this package is the first that every server imports.
os.environ.setdefault("GRPC_ENABLE_FORK_SUPPORT", "false")
