"""Three functions as a pipeline of Kedro, with data in memory."""

from kedro.io import DataCatalog
from kedro.pipeline import node, pipeline
from kedro.runner import SequentialRunner


def people() -> list:
    return [{"name": "ada", "born": 1815}, {"name": "grace", "born": 1906}, {"name": "barbara", "born": 1939}]


def recent(people: list) -> list:
    return [person for person in people if person["born"] > 1900]


def names(recent: list) -> list:
    return [person["name"] for person in recent]


steps = [node(people, None, "people"), node(recent, "people", "recent"), node(names, "recent", "names")]
print(*SequentialRunner().run(pipeline(steps), DataCatalog())["names"].load(), flush=True)
