"""The commands of the service's store: is it whole, copy it, put a copy back, bring it to this version, prove an erasure."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from whyrec.cli.options import Json
from whyrec.errors import BadInput

app = typer.Typer(
    help="The store of whyrec serve: check, backup, restore, migrate, verify-erased. Of a file (SQLite); a PostgreSQL has pg_dump and its own checks.",
    no_args_is_help=True,
    rich_markup_mode=None,
)
Place = Annotated[Path, typer.Argument(metavar="STORE", help="The file that whyrec serve --store names.")]


@app.command()
def check(store: Place, as_json: Json = False) -> None:
    """Read all of it: pages, the write-ahead file's checksums, rows, who may read it. Exit code 1 where it is damaged.

    whyrec store check /var/lib/whyrec/whyrec.db
    """
    from whyrec.serve.keeping import check as look

    found = look(_file(store))
    _tell(
        found.to_dict(), as_json,
        f"{'whole' if found.whole else 'DAMAGED'}: {', '.join(f'{n:,} {table}' for table, n in found.rows.items()) or 'no table can be read'}; "
        f"write-ahead file: {found.groups} groups, {found.lost} behind a broken frame; schema {found.schema}"
        + ("; others than its owner may read it: chmod 600" if found.exposed else "")
        + "".join(f"\n{fault}" for fault in found.pages),
    )  # fmt: skip
    if not found.whole:
        raise typer.Exit(1)


@app.command()
def backup(
    store: Place, out: Annotated[Path, typer.Option(help="The copy; it must not exist.")], as_json: Json = False
) -> None:
    """Copy it, also while it is served; the copy is checked before it stands under its name.

    whyrec store backup whyrec.db --out whyrec-2026-01-31.db
    """
    from whyrec.serve.keeping import backup as copy

    found = copy(_file(store), out)
    _tell({"file": str(out), "rows": found.rows}, as_json, f"{sum(found.rows.values()):,} rows in {out}, checked")


@app.command()
def restore(
    copy: Annotated[Path, typer.Argument(metavar="BACKUP", help="Of whyrec store backup.")],
    store: Annotated[Path, typer.Option("--store", help="The file to put it in the place of; nobody may serve it.")],
    as_json: Json = False,
) -> None:
    """Put a backup in a store's place. Who was erased since stays erased; what was there is kept as STORE.before.

    whyrec store restore whyrec-2026-01-31.db --store whyrec.db
    """
    from whyrec.serve.keeping import restore as put

    found = put(copy, store)
    _tell(found, as_json, f"{store} is as in {copy}; {found['erased_again']} who were erased since were erased from it again"
          + (f"; {found['erasures_unknown']}" if found["erasures_unknown"] else ""))  # fmt: skip


@app.command()
def migrate(
    store: Annotated[str, typer.Argument(metavar="STORE", help="A file, or postgresql://...")], as_json: Json = False
) -> None:
    """Bring it to this version's schema (whyrec serve does so, too, when it opens one)."""
    from whyrec.serve.store import SCHEMA, open_store

    if "://" not in store:
        _file(Path(store))
    open_store(store).close()
    _tell({"schema": SCHEMA}, as_json, f"schema {SCHEMA}")


@app.command("verify-erased")
def verify_erased(
    user: Annotated[str, typer.Argument(metavar="USER", help="The id of a user who was erased.")],
    store: Annotated[Path, typer.Option("--store", help="The file of the store.")],
    models: Annotated[
        list[Path] | None, typer.Option(help="Folders of models, searched whole; may be repeated.")
    ] = None,
    also: Annotated[
        list[Path] | None, typer.Option(help="Other files or folders, such as backups and logs; may be repeated.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Search files for the id of a user who was erased, byte by byte, and say what is left. Exit code 1 where anything is.

    whyrec store verify-erased c-17 --store whyrec.db --models models --also backups
    """
    from whyrec.serve.keeping import files_of, remains

    files = files_of(_file(store))
    for place in (*(models or ()), *(also or ())):
        if not place.exists():
            raise BadInput(f"{place}: no such file or folder")
        files += sorted(path for path in place.rglob("*") if path.is_file()) if place.is_dir() else [place]
    found = remains([user], files)
    said = "".join(f"\n{row['file']}: {row['times']} times" for row in found)
    _tell({"user": user, "searched": len(files), "remains": found}, as_json,
          f"{len(files)} files searched; " + (f"the id still stands in{said}" if found else "the id stands in none of them"))  # fmt: skip
    if found:
        raise typer.Exit(1)


def _file(store: Path) -> Path:
    if "://" in str(store) or ":/" in str(store)[:14]:
        raise BadInput(f"{store}: this is of files; PostgreSQL has pg_dump, pg_restore and pg_amcheck")
    if not store.is_file():
        raise BadInput(f"{store}: no such store; name the file that whyrec serve --store writes")
    return store


def _tell(found: dict[str, Any], as_json: bool, words: str) -> None:
    print(json.dumps(found) if as_json else words)
