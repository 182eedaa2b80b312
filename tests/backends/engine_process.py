"""The engine in a process: takes a model file, prints its address, ends with its input."""

from __future__ import annotations

import os
import sys

import xllamacpp

SLOTS = 4


def serve(path: str) -> None:
    """Serve the model on a free loopback port until the parent goes away."""
    params = xllamacpp.CommonParams()
    params.model.path = path
    params.hostnames = ["127.0.0.1"]
    params.port = 0
    params.n_parallel = SLOTS
    params.n_ctx = SLOTS * 16_384
    params.cache_ram_mib = 0
    params.ui = False
    params.endpoint_slots = True
    # More would spin on each other on a small machine.
    params.cpuparams.n_threads = params.cpuparams_batch.n_threads = 1
    server = xllamacpp.Server(params)
    print(server.listening_address, flush=True)  # noqa: T201  # read by the parent
    sys.stdin.read()
    # Its threads need not be waited for.
    os._exit(0)


if __name__ == "__main__":
    serve(sys.argv[1])
