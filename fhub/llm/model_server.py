"""llama.cpp's server with a model in a file: `python -m fhub.llm.model_server FILE PORT`.

It is what `base_url: "embedded:FILE.gguf"` starts.
"""

from __future__ import annotations

import argparse
import signal
from typing import Final

PARALLEL: Final = 2
CONTEXT_TOKENS: Final = 2048 * PARALLEL


def main() -> None:
    from xllamacpp import CommonParams, Server, llama_pooling_type

    options = _options()
    settings = CommonParams()
    settings.model.path = options.file
    settings.hostnames = ["127.0.0.1"]
    settings.port = options.port
    settings.n_ctx = CONTEXT_TOKENS
    settings.n_parallel = PARALLEL
    settings.warmup = False
    settings.embedding = True
    settings.pooling_type = llama_pooling_type.LLAMA_POOLING_TYPE_MEAN
    if options.name is not None:
        settings.model_alias = {options.name}
    if options.threads is not None:
        settings.cpuparams.n_threads = options.threads
    if options.tokens_max is not None:
        settings.n_predict = options.tokens_max
    server = Server(settings)  # which serves until it is collected
    print("listening on", server.listening_address, flush=True)
    signal.pause()


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("file")
    parser.add_argument("port", type=int)
    parser.add_argument("--name", help="what requests call the model")
    parser.add_argument("--threads", type=int)
    parser.add_argument("--tokens-max", type=int, help="of an answer whose request does not say")
    return parser.parse_args()


if __name__ == "__main__":
    main()
