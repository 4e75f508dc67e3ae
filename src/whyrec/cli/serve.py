"""The commands of the service: run it, manage its keys, take its log out."""

from __future__ import annotations

import gc
import json
import os
import sys
import threading
import time
from collections.abc import Sequence
from ipaddress import ip_network
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from whyrec.cli.options import Json
from whyrec.errors import BadInput


class _RunByDefault(TyperGroup):
    """`whyrec serve MODEL` is `whyrec serve run MODEL`."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        if args and args[0] not in self.commands and args[0] not in ("--help", "-h"):
            args = ["run", *args]
        return super().parse_args(ctx, args)


app = typer.Typer(
    cls=_RunByDefault,
    help="Answer over HTTP: whyrec serve MODEL.\n\n"
    "MODEL is the folder of a fitted model, or a folder of several. What is acknowledged is on the disk, an event changes the "
    "next recommendation, every recommendation is logged with its chance.\n\n"
    "From this machine, no key is needed until one exists; other machines need one:\n"
    "whyrec serve keys add --name shop --scopes ask,events, then whyrec serve MODEL --host 0.0.0.0 --allow-host shop.example.\n\n"
    "whyrec serve MODEL is short for whyrec serve run MODEL; see whyrec serve run --help, and docs/serve.md.",
    no_args_is_help=True,
    rich_markup_mode=None,
)
keys = typer.Typer(help="Keys to the service: add, list, rotate, revoke. They are stored as digests; a key is shown once.",
                   no_args_is_help=True, rich_markup_mode=None)  # fmt: skip
app.add_typer(keys, name="keys")

Store = Annotated[
    str,
    typer.Option("--store", envvar="WHYREC_STORE", help="A file (SQLite), or postgresql://USER@HOST/NAME.", show_envvar=True),
]  # fmt: skip
_STORE = "whyrec.db"


@app.command()
def run(
    model: Annotated[Path, typer.Argument(help="Folder of a fitted model, or a folder of such folders.")],
    cases: Annotated[
        list[Path] | None,
        typer.Option(help="A causal model of cases (whyrec counterfactual ... --out FOLDER), or a folder of several; may be repeated."),
    ] = None,
    store: Store = _STORE,
    cache: Annotated[
        str | None,
        typer.Option(envvar="WHYREC_CACHE", help="redis://HOST:PORT/N, for several servers on one PostgreSQL.", show_envvar=True),
    ] = None,
    host: Annotated[str, typer.Option(help="Address to listen on. Others than this machine need an API key.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="0 takes a free one.")] = 8000,
    allow_host: Annotated[
        list[str] | None, typer.Option(help="A name by which browsers may call the server, beside localhost; may be repeated.")
    ] = None,
    explore: Annotated[
        float, typer.Option(min=0, max=0.5, help="Chance of another item than the best at every place; what the log needs.")
    ] = 0.05,
    rate: Annotated[int, typer.Option(min=1, help="Calls a second of one key or address.")] = 2000,
    max_bytes: Annotated[int, typer.Option(min=1000, help="Bytes of a request.")] = 1 << 20,
    timeout: Annotated[float, typer.Option(min=0.1, help="Seconds that a request may take.")] = 30.0,
    retention_days: Annotated[
        float | None, typer.Option(min=0.001, help="Delete events and recommendations that are older. Default: keep.")
    ] = None,
    log_first: Annotated[
        bool,
        typer.Option("--log-first", help="A recommendation is on the disk before it is given, instead of within 50 ms; it then waits for the disk."),
    ] = False,
    outcome_range: Annotated[
        str | None, typer.Option(help="LOW,HIGH of the outcomes that events may have. Default: of the model's log, and as much again above.")
    ] = None,
    trusted_proxy: Annotated[
        list[str] | None,
        typer.Option(envvar="WHYREC_TRUSTED_PROXY", help="Address or network of a reverse proxy, whose X-Forwarded-For says who calls; may be repeated."),
    ] = None,
    probe_port: Annotated[
        int | None, typer.Option(min=0, max=65535, help="Answer /healthz, /readyz and /metrics without a key on this port of --probe-host, too.")
    ] = None,
    probe_host: Annotated[str, typer.Option(help="Address of --probe-port; keep it away from other networks.")] = "127.0.0.1",
    receive_timeout: Annotated[float, typer.Option(min=0.1, help="Seconds within which a request has to come in.")] = 10.0,
    connections: Annotated[int, typer.Option(min=1, help="Connections of one address at once (but of a trusted proxy).")] = 512,
    seed: Annotated[int | None, typer.Option(help="Seed of exploration, for tests; leave it out in production.")] = None,
) -> None:  # fmt: skip
    """Serve a model. Ctrl-C ends it, after what waits is committed.

    whyrec serve demo-output/model --cases demo-output/cases

    curl -s localhost:8000/v1/recommend -H 'Content-Type: application/json' -d '{"user": "1", "k": 5}'
    """
    try:
        import uvicorn

        from whyrec.serve.app import create_app
    except ImportError as error:
        raise BadInput(f"the service needs {error.name}: pip install 'whyrec[serve]'") from error
    from threadpoolctl import threadpool_limits

    from whyrec.serve.limits import LOOPBACK
    from whyrec.serve.listen import Probes, Pulse, configuration
    from whyrec.serve.service import Settings, open_service

    begun = time.monotonic()
    _quick_threads(threadpool_limits)
    gc.disable()  # what is loaded stays: eight walks over it took a second of the start
    settings = Settings(
        explore, rate, max_bytes, timeout, retention_days, random_state=seed, log_first=log_first, outcome_range=_range(outcome_range),
        trusted_proxies=_networks(trusted_proxy or ()), receive_seconds=receive_timeout, connections=connections,
    )  # fmt: skip
    service = open_service(model, store=store, cache=cache, settings=settings, cases=cases or ())
    public = host not in LOOPBACK
    if public and not service.keys.any():
        service.close()
        raise BadInput(
            f"--host {host} lets other machines in, and there is no API key yet; make one first: "
            f"whyrec serve keys add --name shop --scopes ask,events --store {_shown(store)}"
        )
    pulse = Pulse()
    application = create_app(service, public=public, hosts=LOOPBACK | frozenset(allow_host or ()), pages=_pages(), pulse=pulse)
    config = configuration(application, service, host=host, port=port)
    server = uvicorn.Server(config)
    # The models stay: the collector need not walk over them, which stops every request for as long as it takes.
    gc.collect()
    gc.freeze()
    gc.enable()
    gc.set_threshold(*gc.get_threshold()[:2], 1_000_000)  # old objects: `app` walks over them every ten minutes
    sys.setswitchinterval(0.001)  # the store's thread waits for its turn a millisecond at most, not five
    try:
        sockets = [config.bind_socket()]
    except SystemExit:
        service.close()
        raise BadInput(
            f"port {port} of {host} cannot be had; choose another with --port, or 0 for a free one"
        ) from None
    address = f"http://{host if ':' not in host else f'[{host}]'}:{sockets[0].getsockname()[1]}"
    served = service.registry.roles.primary
    print(
        f"whyrec serves {served.name} {served.version} at {address} (ready in {time.monotonic() - begun:.1f} s); "
        f"store {_shown(store)}; Ctrl-C ends it",
        file=sys.stderr, flush=True,
    )  # fmt: skip
    probes = None
    if probe_port is not None:
        try:
            probes = Probes(service, probe_host, probe_port, pulse)
        except OSError as error:
            service.close()
            raise BadInput(f"--probe-port {probe_port} of {probe_host} cannot be had ({error.strerror}); choose another") from None
        print(f"probes at http://{probe_host}:{probes.port}", file=sys.stderr, flush=True)
    server.run(sockets=sockets)
    if probes is not None:
        probes.close()
    if any(thread.name.startswith("whyrec-slow") and thread.is_alive() for thread in threading.enumerate()):
        sys.stderr.flush()
        os._exit(0)  # all is committed; a question that nobody waits for may run no longer


@app.command()
def export(
    out: Annotated[Path, typer.Option(help="A .parquet or .csv file.")],
    store: Store = _STORE,
    what: Annotated[
        str, typer.Option(help="recommendations (a row an item shown, for whyrec policy evaluate) or events (for whyrec fit).")
    ] = "recommendations",
    shadow: Annotated[str | None, typer.Option(help="Also the chances of this model, which ran in the shadow.")] = None,
    as_json: Json = False,
) -> None:  # fmt: skip
    """Take the service's log out, also while it runs.

    whyrec serve export --out log.csv, then whyrec policy evaluate log.csv --reward reward --propensity propensity --target chance_uniform
    --cluster user
    """
    from whyrec.api.model import write_table
    from whyrec.serve.frames import events_frame, log_frame
    from whyrec.serve.store import open_store

    if what not in ("recommendations", "events"):
        raise BadInput("--what: recommendations or events")
    opened = _existing(store, open_store)
    try:
        frame = log_frame(opened, last=1 << 31, shadow=shadow) if what == "recommendations" else events_frame(opened)
    finally:
        opened.close()
    write_table(frame, out)
    print(
        json.dumps({"file": str(out), "rows": frame.height}) if as_json else f"{frame.height:,} rows written to {out}"
    )


@app.command()
def purge(
    days: Annotated[float, typer.Option(min=0.001, help="Delete events and recommendations that are older.")],
    store: Store = _STORE,
    as_json: Json = False,
) -> None:
    """Delete what is older than so many days, now, also what a server held as its clock had jumped."""
    from whyrec.serve.store import open_store

    opened = _existing(store, open_store)
    try:
        found = opened.purge(time.time() - 86_400 * days)
        opened.set("clock", time.time()).result()
    finally:
        opened.close()
    print(json.dumps(found) if as_json else ", ".join(f"{n:,} {table}" for table, n in found.items()) + " deleted")


@keys.command()
def add(
    name: Annotated[str, typer.Option(help="Whose key it is.")],
    scopes: Annotated[
        str, typer.Option(help="ask, events, people, admin, metrics: one or several, separated by commas.")
    ] = "ask,events",
    days: Annotated[float | None, typer.Option(help="Ends after so many days. Default: no end.")] = None,
    store: Store = _STORE,
    as_json: Json = False,
) -> None:
    """Make a key and show it, once."""
    from whyrec.serve.keys import add_key

    _with_store(
        store,
        lambda opened: _told(add_key(opened, name, [s.strip() for s in scopes.split(",") if s.strip()], days), as_json),
    )


@keys.command("list")
def list_(store: Store = _STORE, as_json: Json = False) -> None:
    """Every key, without the key itself."""
    from whyrec.serve.keys import list_keys

    def work(opened: Any) -> None:
        found = list_keys(opened)
        if as_json:
            print(json.dumps({"keys": [key.to_dict() for key in found]}))
            return
        for key in found:
            print(f"{key.id}  {'live   ' if key.live else 'ended  '}  {','.join(key.scopes):<24}  {key.name}")
        if not found:
            print("no keys; requests from this machine need none")

    _with_store(store, work)


@keys.command()
def rotate(
    identity: Annotated[str, typer.Argument(metavar="ID", help="The old key's id, of whyrec serve keys list.")],
    hours: Annotated[float, typer.Option(min=0, help="How long the old key goes on.")] = 24.0,
    store: Store = _STORE,
    as_json: Json = False,
) -> None:
    """A new key in the place of an old one, which goes on for a day."""
    from whyrec.serve.keys import rotate_key

    _with_store(store, lambda opened: _told(rotate_key(opened, identity, after_hours=hours), as_json))


@keys.command()
def revoke(
    identity: Annotated[str, typer.Argument(metavar="ID", help="The key's id, of whyrec serve keys list.")],
    store: Store = _STORE,
    as_json: Json = False,
) -> None:
    """End a key now."""
    from whyrec.serve.keys import revoke_key

    def work(opened: Any) -> None:
        key = revoke_key(opened, identity)
        print(json.dumps(key.to_dict()) if as_json else f"{key.id} ({key.name}) opens nothing any more")

    _with_store(store, work)


def _told(made: tuple[Any, str], as_json: bool) -> None:
    key, secret = made
    if as_json:
        print(json.dumps({**key.to_dict(), "key": secret}))
        return
    print(secret)
    print(f"id {key.id}, scopes {','.join(key.scopes)}; this is the only time that the key is shown", file=sys.stderr)


def _with_store(store: str, work: Any) -> None:
    from whyrec.serve.store import open_store

    opened = open_store(store, own=False)
    try:
        work(opened)
    finally:
        opened.close()


def _existing(store: str, opener: Any) -> Any:
    if "://" not in store and not Path(store).exists():
        raise BadInput(f"--store {store}: no such store; name the one that whyrec serve writes")
    return opener(store, own=False)


def _range(given: str | None) -> tuple[float, float] | None:
    """LOW,HIGH as two numbers."""
    if given is None:
        return None
    try:
        low, high = (float(part) for part in given.split(","))
    except ValueError:
        raise BadInput(f"--outcome-range {given}: write two numbers, such as 0,500") from None
    if not low < high:
        raise BadInput(f"--outcome-range {given}: the first is below the second")
    return low, high


def _networks(given: Sequence[str]) -> tuple[str, ...]:
    """Addresses and networks that are some."""
    for network in given:
        try:
            ip_network(network)
        except ValueError:
            raise BadInput(f"--trusted-proxy {network}: write an address or a network, such as 10.0.0.7 or 10.0.0.0/24") from None
    return tuple(given)


def _shown(store: str) -> str:
    """A store's place without its password."""
    if "://" not in store:
        return store
    scheme, rest = store.split("://", 1)
    return f"{scheme}://{rest.rsplit('@', 1)[-1]}"


def _quick_threads(limits: Any) -> None:
    """One thread a kernel: requests are small, and two threads in each other's way cost many times what they save."""
    import torch

    torch.set_num_threads(1)
    limits(1)


def _pages() -> Path:
    import whyrec.serve

    return Path(str(next(iter(whyrec.serve.__path__)))) / "pages"
