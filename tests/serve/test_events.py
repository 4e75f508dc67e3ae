"""Which events over HTTP are choices: said by their sender, by the model's schema, or by a word that everybody uses alike."""

import pytest
from tests.serve.conftest import Running

from whyrec.data.events import CHOICES, PASSIVE
from whyrec.errors import BadInput
from whyrec.serve.client import Client, ServiceError
from whyrec.serve.events import acted, outcome_of
from whyrec.serve.store import Event


@pytest.mark.parametrize("event", ["dislike", "return", "remove_from_cart", "remove-from-cart", "skip", "view", "impression", "Refund"])
def test_what_is_no_choice_is_not_positive(event: str) -> None:
    assert outcome_of(event, None) == 0.0
    assert not acted(Event("k", "u", "i", event, 0.0, 0.0))


@pytest.mark.parametrize("event", ["purchase", "click", "add_to_cart", "like", "Play", "action"])
def test_what_is_a_choice_is(event: str) -> None:
    assert outcome_of(event, None) == 1.0


def test_the_sender_and_the_schema_say_it_first() -> None:
    assert outcome_of("skip", 0.5) == 0.5 and outcome_of("purchase", 0) == 0.0
    assert outcome_of("view", None, {"view": 0.2}) == 0.2 and outcome_of("frobnicate", None, {"frobnicate": 3}) == 3.0
    with pytest.raises(BadInput, match=r"'frobnicate'.*send its outcome"):
        outcome_of("frobnicate", None)
    assert not CHOICES & PASSIVE


def test_over_http(server: Running) -> None:
    with Client(server.url) as client:
        for event in ("dislike", "remove_from_cart", "skip"):
            client.events([{"user": "refuser", "item": "i1", "event": event}])
        assert client.recommend("refuser").content["cold"]
        with pytest.raises(ServiceError, match="frobnicate"):
            client.events([{"user": "refuser", "item": "i1", "event": "frobnicate"}])
        client.events([{"user": "refuser", "item": "i1", "event": "like", "time": "2024-01-01 00:00:00 UTC"}])
        assert not client.recommend("refuser").content["cold"]


def test_an_event_of_the_future_is_refused(server: Running) -> None:
    """A log's reader calls such a time a fault; the service took it for the user's last event for years."""
    with Client(server.url) as client, pytest.raises(ServiceError, match="days ahead of the server's clock"):
        client.events([{"user": "refuser", "item": "i1", "event": "like", "time": "2099-01-01T00:00:00Z"}])
