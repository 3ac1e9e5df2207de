"""Three ops as a job of Dagster, run in its own process."""

from dagster import job, op


@op
def people() -> list:
    return [{"name": "ada", "born": 1815}, {"name": "grace", "born": 1906}, {"name": "barbara", "born": 1939}]


@op
def recent(people: list) -> list:
    return [person for person in people if person["born"] > 1900]


@op
def names(recent: list) -> list:
    return [person["name"] for person in recent]


@job
def hello() -> None:
    names(recent(people()))


print(*hello.execute_in_process().output_for_node("names"), flush=True)
