"""A language model of 135 million parameters behind llama.cpp's server, which speaks OpenAI's protocol."""

from __future__ import annotations

import importlib.util
import sys
import urllib.error
import urllib.request
from collections.abc import Mapping

from tests.services.service import ANSWER_S, CACHE, HOST, ROOT, Service, ServiceMissing

MODEL_FILE = CACHE / "llm" / "model.gguf"


class Llm(Service):
    """Answers chats and gives embeddings. At temperature 0 an answer depends on the machine only."""

    name = "llm"
    model = "smollm2"

    @property
    def url(self) -> str:
        """Where the API begins, as in clients' `base_url`."""
        return f"http://{HOST}:{self.port}/v1"

    def prepare(self) -> None:
        if not MODEL_FILE.exists() or importlib.util.find_spec("xllamacpp") is None:
            raise ServiceMissing("The language model")

    def command(self) -> list[str]:
        return [
            sys.executable,
            "-m",
            "tests.services.llm_server",
            str(MODEL_FILE),
            str(self.port),
            self.model,
        ]

    def environ(self) -> Mapping[str, str]:
        return {"PYTHONPATH": str(ROOT)}

    def answers(self) -> bool:
        try:
            with urllib.request.urlopen(f"http://{HOST}:{self.port}/health", timeout=ANSWER_S) as answer:
                return answer.status == 200
        # While it loads the model it says 503, which is an OSError of urllib's.
        except OSError:
            return False
