"""Caches: the same tests in memory and on a real Redis; and two servers that share one PostgreSQL and one Redis."""

import gc
import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from tests.serve.conftest import Running

from whyrec.decide.forgetting import user_ids
from whyrec.errors import BadInput
from whyrec.serve.cache import Cache, Memory, open_cache
from whyrec.serve.client import Client


def test_live_users_cost_the_collector_nothing() -> None:
    kept = Memory()
    kept.fill("u1", [("i1", 1.0, 1.0, "k1")])
    kept.push("u1", [("i2", 2.0, 0.0, "k2")])
    gc.collect(0)
    acts = kept.acts("u1")
    assert acts is not None and not gc.is_tracked(acts)


@pytest.fixture(params=["memory", "redis"])
def cache(request: pytest.FixtureRequest) -> Iterator[Cache]:
    opened = open_cache(None if request.param == "memory" else request.getfixturevalue("redis_url"), 3)
    opened.drop("u1")
    opened.drop("u2")
    yield opened
    opened.close()


def test_acts_of_a_user(cache: Cache) -> None:
    assert cache.acts("u1") is None
    cache.push("u1", [("i0", 1.0, 1.0, "k0")])  # not cached: the store will be asked
    assert cache.acts("u1") is None
    cache.fill("u1", [])
    assert list(cache.acts("u1") or ()) == []
    cache.push("u1", [("i1", 1.5, 1.0, "k1"), ("茶", 2.0, 0.5, "k2")])
    cache.push("u1", [("i2", 3.0, 1.0, "k3"), ("i1", 1.5, 1.0, "k1")])  # the second is there already
    assert list(cache.acts("u1") or ()) == [("i1", 1.5, 1.0, "k1"), ("茶", 2.0, 0.5, "k2"), ("i2", 3.0, 1.0, "k3")]
    cache.fill("u1", [("a", 0.0, 1.0, f"a{n}") for n in range(9)])
    assert len(cache.acts("u1") or []) == 3
    assert cache.acts("u2") is None
    cache.drop("u1")
    assert cache.acts("u1") is None


def test_lists_do_not_grow_without_end(cache: Cache) -> None:
    cache.fill("u1", [])
    for n in range(50):
        cache.push("u1", [(f"i{n}", float(n), 1.0, f"k{n}")])
    found = cache.acts("u1")
    assert found is None or (len(found) <= 12 and found[-1] == ("i49", 49.0, 1.0, "k49"))


def test_an_act_that_came_while_the_store_was_read_is_not_lost(cache: Cache) -> None:
    """What was read before it is not kept: the next request reads again."""
    version = cache.version("u1")
    cache.push("u1", [("i1", 1.0, 1.0, "k1")])
    cache.fill("u1", [], version)
    assert cache.acts("u1") is None
    cache.fill("u1", [("i1", 1.0, 1.0, "k1")], cache.version("u1"))
    assert list(cache.acts("u1") or ()) == [("i1", 1.0, 1.0, "k1")]


def test_memory_lets_go_of_who_was_away_longest() -> None:
    memory = Memory(users=2)
    for user in ("a", "b"):
        memory.fill(user, [])
    memory.acts("a")
    memory.fill("c", [])
    assert memory.acts("b") is None and memory.acts("a") == ()


def test_addresses_that_are_none_are_refused(redis_url: str) -> None:
    with pytest.raises(BadInput, match="redis://"):
        open_cache("memcached://localhost")
    with pytest.raises(BadInput, match="does not answer"):
        open_cache("redis://127.0.0.1:1/0")


def until(told: Callable[[], bool]) -> None:
    """Within some seconds; servers look once a second."""
    end = time.monotonic() + 15
    while not told():
        assert time.monotonic() < end
        time.sleep(0.1)


def test_two_servers_share_postgres_and_redis(
    serve: Callable[..., Running], models: Path, postgres_url: str, redis_url: str, tmp_path: Path
) -> None:
    import psycopg

    with psycopg.connect(postgres_url, autocommit=True) as connection:
        connection.execute("DROP SCHEMA public CASCADE")
        connection.execute("CREATE SCHEMA public")
    # Each has the models in a folder of its own, as on two machines.
    folders = [shutil.copytree(models, tmp_path / name) for name in ("one", "other")]
    one, other = (serve(store=postgres_url, cache=redis_url, model=folder) for folder in folders)
    with Client(one.url) as first, Client(other.url) as second:
        assert second.recommend("shared-user").content["cold"]
        first.events([{"user": "shared-user", "item": "i1", "key": "shared-1"}] * 2)
        found = second.recommend("shared-user", 5, exclude_seen=False)
        assert not found.content["cold"]
        assert second.why("shared-user", "i1")["bought"] == 1
        assert second.events([{"user": "shared-user", "item": "i1", "key": "shared-1"}]).duplicates == 1
        second.events([{"user": "shared-user", "item": found.items[0].item, "recommendation": found.id}])
        assert first.policy_value("uniform")["rounds"] >= 5
        assert second.erase_user("shared-user")["deleted"]["events"] == 2
        assert first.recommend("shared-user").content["cold"]
        assert first.export_user("shared-user")["events"] == []
        # Items, roles and erasures reach the other server within a second or two.
        first.add_items([{"id": "oat-9", "text": "oat milk green", "category": "milk"}])
        until(lambda: bool(second.items(search="oat milk green")["items"]))
        first.set_role("second", "primary", force=True)
        until(lambda: second.models()["roles"]["primary"] == "second")
        assert second.recommend("u3").model == "second"
        assert second.erase_user("u7")["models_rewritten"] == ["first", "second"]
        until(lambda: "u7" not in user_ids(folders[0] / "second") + user_ids(folders[0] / "first"))
        until(lambda: not first.export_user("u7")["models"])
        assert first.recommend("u7").content["cold"]
    one.stop()
    other.stop()
