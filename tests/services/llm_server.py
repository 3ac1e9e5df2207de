"""llama.cpp's server with one model: `python -m tests.services.llm_server FILE PORT NAME`."""

from __future__ import annotations

import signal
import sys

from xllamacpp import CommonParams, Server, llama_pooling_type

PARALLEL = 2
CONTEXT_TOKENS = 2048 * PARALLEL


def main() -> None:
    file, port, name = sys.argv[1:]
    settings = CommonParams()
    settings.model.path = file
    settings.model_alias = {name}
    settings.hostnames = ["127.0.0.1"]
    settings.port = int(port)
    settings.n_ctx = CONTEXT_TOKENS
    settings.n_parallel = PARALLEL
    # Two would wait for each other: a fifth faster on idle cores, many times slower on busy ones.
    settings.cpuparams.n_threads = 1
    settings.warmup = False
    settings.embedding = True
    settings.pooling_type = llama_pooling_type.LLAMA_POOLING_TYPE_MEAN
    server = Server(settings)  # which serves until it is collected
    print("listening on", server.listening_address, flush=True)
    signal.pause()


if __name__ == "__main__":
    main()
