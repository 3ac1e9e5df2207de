"""Three tasks as a flow of Prefect, with the server that it starts for itself."""

from prefect import flow, task


@task
def people() -> list:
    return [{"name": "ada", "born": 1815}, {"name": "grace", "born": 1906}, {"name": "barbara", "born": 1939}]


@task
def recent(people: list) -> list:
    return [person for person in people if person["born"] > 1900]


@task
def names(recent: list) -> list:
    return [person["name"] for person in recent]


@flow
def hello() -> list:
    return names(recent(people()))


print(*hello(), flush=True)
