"""Three functions of one module as a dataflow of Hamilton."""

from hamilton import driver
from hamilton.ad_hoc_utils import create_temporary_module


def people() -> list:
    return [{"name": "ada", "born": 1815}, {"name": "grace", "born": 1906}, {"name": "barbara", "born": 1939}]


def recent(people: list) -> list:
    return [person for person in people if person["born"] > 1900]


def names(recent: list) -> list:
    return [person["name"] for person in recent]


steps = create_temporary_module(people, recent, names, module_name="hello")
print(*driver.Builder().with_modules(steps).build().execute(["names"])["names"], flush=True)
