"""Every row of the page's table of failures is shown by a test."""

from __future__ import annotations

from tests.fhub.failure_table import failures
from tests.fhub.kafka import test_connection as connection
from tests.fhub.kafka import test_consume as consume
from tests.fhub.kafka import test_produce as produce
from tests.fhub.kafka import test_registered as registered
from tests.fhub.kafka import test_restart as restart

SHOWN_BY = {
    "no broker answers": (connection.test_a_cluster_that_is_not_there,),
    "wrong user or password, wrong mechanism": (connection.test_a_cluster_that_refuses,),
    "TLS: certificate not trusted, no TLS": (
        connection.test_a_cluster_that_refuses,
        connection.test_tls_with_a_broker_that_has_none,
    ),
    "the topic is not there": (
        consume.test_settings_that_cannot_work,
        produce.test_a_topic_that_is_not_there,
    ),
    "no right to the topic or the group": (connection.test_a_topic_that_others_may_read,),
    "the cluster is away while a topic is read": (restart.test_a_broker_that_is_away_for_a_while,),
    "the cluster is away while rows are written": (restart.test_a_broker_that_is_away_for_a_while,),
    "a message that is too large": (produce.test_messages_that_the_cluster_refuses,),
    "the offset to go on from is no longer in the topic": (consume.test_offsets_that_are_gone,),
    "a partition went to another reader": (consume.test_two_readers_of_a_group_share_the_topic,),
    "a turn takes longer than `max.poll.interval.ms`": (consume.test_the_membership_outlives_a_long_turn,),
    "the registry does not answer, 429, 5xx": (registered.test_a_registry_that_fails,),
    "the registry refuses": (registered.test_a_registry_that_fails,),
}


def test_the_table_is_shown_by_tests() -> None:
    assert list(SHOWN_BY) == failures("kafka.md")
