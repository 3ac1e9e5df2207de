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
    """Answers chats and gives embeddings. At temperature 0 an answer depends on the machine only.

    An answer ends after `tokens_max` tokens where the client does not say how many it wants.
    """

    name = "llm"
    model = "smollm2"

    def __init__(self, *, tokens_max: int | None = None) -> None:
        super().__init__()
        self._tokens_max = tokens_max

    @property
    def url(self) -> str:
        """Where the API begins, as in clients' `base_url`."""
        return f"http://{HOST}:{self.port}/v1"

    def prepare(self) -> None:
        if not MODEL_FILE.exists() or importlib.util.find_spec("xllamacpp") is None:
            raise ServiceMissing("The language model")

    def command(self) -> list[str]:
        command = [sys.executable, "-m", "fhub.llm.model_server", str(MODEL_FILE), str(self.port)]
        # Two threads would wait for each other: a fifth faster on idle cores, many times slower on busy ones.
        command += ["--name", self.model, "--threads", "1"]
        return command if self._tokens_max is None else [*command, "--tokens-max", str(self._tokens_max)]

    def environ(self) -> Mapping[str, str]:
        return {"PYTHONPATH": str(ROOT)}

    def answers(self) -> bool:
        try:
            with urllib.request.urlopen(f"http://{HOST}:{self.port}/health", timeout=ANSWER_S) as answer:
                return answer.status == 200
        # While it loads the model it says 503, which is an OSError of urllib's.
        except OSError:
            return False
