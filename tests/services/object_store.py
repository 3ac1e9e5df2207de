"""An S3 object store (moto's server), which keeps its objects in memory: a restart empties it."""

from __future__ import annotations

import importlib.util
import sys
import urllib.request
from collections.abc import Mapping
from itertools import count
from typing import TYPE_CHECKING

from tests.services.service import ANSWER_S, HOST, Service, ServiceMissing

if TYPE_CHECKING:
    from pyarrow.fs import S3FileSystem

REGION = "eu-central-1"


class ObjectStore(Service):
    name = "object-store"
    access_key = "tests"
    secret_key = "hush"

    def __init__(self) -> None:
        super().__init__()
        self._bucket_numbers = count(1)

    @property
    def url(self) -> str:
        return f"http://{HOST}:{self.port}"

    def variables(self) -> dict[str, str]:
        """What a client finds its way with, as variables of its environment."""
        return {
            "AWS_ENDPOINT_URL": self.url,
            "AWS_ACCESS_KEY_ID": self.access_key,
            "AWS_SECRET_ACCESS_KEY": self.secret_key,
            "AWS_REGION": REGION,
        }

    def files(self) -> S3FileSystem:
        from pyarrow.fs import S3FileSystem

        return S3FileSystem(
            access_key=self.access_key,
            secret_key=self.secret_key,
            region=REGION,
            endpoint_override=self.url,
            allow_bucket_creation=True,
        )

    def create_bucket(self) -> str:
        """A bucket for one test; gives its name."""
        name = f"test-{next(self._bucket_numbers)}"
        self.files().create_dir(name)
        return name

    def prepare(self) -> None:
        if importlib.util.find_spec("moto") is None:
            raise ServiceMissing("moto (an S3 object store)")

    def command(self) -> list[str]:
        return [sys.executable, "-m", "moto.server", "-H", HOST, "-p", str(self.port)]

    def environ(self) -> Mapping[str, str]:
        return {"AWS_DEFAULT_REGION": REGION}

    def answers(self) -> bool:
        try:
            with urllib.request.urlopen(f"{self.url}/moto-api/data.json", timeout=ANSWER_S) as answer:
                return answer.status == 200
        except OSError:
            return False
