"""`angarium apply`, `diff` and `export`: the configuration of an organization as files."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from angarium.cli.error import Exit, note
from angarium.cli.option import Yes, confirm
from angarium.cli.remote import Remote, calling
from angarium.client.error import Refused

if TYPE_CHECKING:
    from angarium.cli.configuration.fault import Faults
    from angarium.cli.configuration.fault import Path as FieldPath
    from angarium.cli.configuration.plan import Plan, PlanStep
    from angarium.cli.configuration.state import ConfigState

Files = Annotated[
    list[str] | None,
    typer.Option("--file", "-f", help="YAML or JSON file, or - for standard input; repeatable."),
]
Delete = Annotated[
    bool, typer.Option("--delete", help="Also delete what is not in the files; archive event types.")
]


@calling(app=False)
def apply(
    server: Remote,
    file: Files = None,
    delete: Delete = False,
    yes: Yes = False,
    new_keys: Annotated[
        Path | None, typer.Option("--new-keys", help="File to which the values of new API keys are added.")
    ] = None,
    schema: Annotated[bool, typer.Option("--schema", help="Print the JSON Schema of the files.")] = False,
) -> None:
    """Make an organization as files describe it. Prints the plan, and asks.

    $ angarium apply -f angarium.yaml
    $ angarium apply -f types.yaml -f customers.yaml --delete --yes
    $ angarium apply --schema
    """
    if schema:
        from angarium.cli.configuration.json_schema import schema as described

        print(json.dumps(described(), indent=2, ensure_ascii=False))
        return
    PreparedPlan.of(server, file, delete=delete).ask(yes, new_keys)


@calling(app=False)
def diff(server: Remote, file: Files = None, delete: Delete = False) -> None:
    """Show what apply would change. Exit code 0: nothing would change; 4: something would.

    $ angarium diff -f angarium.yaml
    """
    work = PreparedPlan.of(server, file, delete=delete)
    _show(server, work.plan)
    if work.plan.steps:
        raise typer.Exit(Exit.WOULD_CHANGE)


@calling(app=False)
def export(server: Remote) -> None:
    """Print the configuration of an organization as YAML, or as JSON with --json. Secrets are left out.

    $ angarium export
    """
    from angarium.cli.configuration import current, state, text
    from angarium.cli.configuration.carry_out import public

    found = current.everything(server.client)
    for path, item in found.state.items.items():
        found.state.add(item.noun, path, _exported(item.fields))
    value = public(state.written(found.state))
    print(json.dumps(value, ensure_ascii=False) if server.as_json else text.written(value), end="")
    if server.as_json:
        print()
    for noun, count in found.unnamed.items():
        note(f"angarium: {count} {noun}s without a uid are left out")


def _exported(fields: Mapping[str, Any]) -> dict[str, Any]:
    """Without what is better not repeated on another server. Headers that are not shown are kept."""
    from angarium.cli.configuration.field import KEEP, SecretReference
    from angarium.cli.configuration.plan import HIDDEN

    keep = SecretReference(KEEP, "true")
    headers = {name: keep if one is HIDDEN else one for name, one in fields.get("headers", {}).items()}
    found = {name: one for name, one in fields.items() if (name, one) != ("disabled", False)}
    found.pop("headers", None)
    if not found.get("quota"):
        found.pop("quota", None)
    return found | ({"headers": headers} if headers else {})


@dataclass(frozen=True, slots=True)
class PreparedPlan:
    """A plan, and what is needed to make it."""

    server: Remote
    plan: Plan
    values: dict[FieldPath, str]
    faults: Faults

    @classmethod
    def of(cls, server: Remote, files: list[str] | None, *, delete: bool) -> PreparedPlan:
        """Raises ConfigurationError for files that are not valid, and BadParameter without any."""
        from angarium.cli.configuration import state
        from angarium.cli.configuration.text import read

        if not files:
            raise typer.BadParameter("no file given; name one with -f, or - for standard input")
        if files.count("-") > 1:
            raise typer.BadParameter("standard input (-f -) can be given once")
        wanted, faults = state.read([read(content(one), name_of(one)) for one in files])
        faults.check()
        return cls.on(server, wanted, faults, delete=delete)

    @classmethod
    def on(cls, server: Remote, wanted: ConfigState, faults: Faults, *, delete: bool) -> PreparedPlan:
        """The plan for a state. Raises ConfigurationError."""
        from angarium.cli.configuration import current, secret, state
        from angarium.cli.configuration.fault import Fault
        from angarium.cli.configuration.plan import plan

        values = secret.resolved(wanted, faults)
        faults.check()
        found = current.of(server.client, wanted)
        own, meant = found.state.organization["id"], wanted.organization.get("id")
        if meant is not None and meant != own:
            faults.wrong((state.PART, "id"), meant, f"{own}, the organization of the token")
            faults.check()
        differing = current.differing(server.client, wanted, found.state, values, faults)
        made = plan(wanted, found.state, differing, delete=delete)
        faults.found += [Fault(one.path, one.words, faults.place(one.path)) for one in made.faults]
        faults.check()
        return cls(server, made, values, faults)

    def ask(self, yes: bool, new_keys: Path | None = None) -> None:
        """Prints the plan, asks, and makes it."""
        _show(self.server, self.plan)
        if not self.plan.steps:
            if not self.server.as_json:
                print("Nothing to do.")
            return
        if new_keys is None and any(step.kind == "key" and step.fields for step in self.plan.steps):
            raise typer.BadParameter(
                "the plan creates API keys; name a file for their values with --new-keys"
            )
        confirm(f"{_counted(self.plan)} on {self.server.url}", yes)
        self.make(new_keys)

    def make(self, new_keys: Path | None) -> None:
        """Makes the steps in turn. Says at a failure what was done and what was not."""
        from angarium.cli.configuration.carry_out import CarryOut, key_file

        done: list[PlanStep] = []
        with key_file(new_keys or Path("/dev/null")) as new_key:
            carry_out = CarryOut(self.server.client, self.values, new_key)
            try:
                for step in self.plan.steps:
                    carry_out.make(step)
                    done.append(step)
                    self._said(step)
            except BaseException as error:
                self._failed(done, error)
                raise
        if self.server.as_json:
            print(json.dumps({"applied": len(done), "left": []}))
        else:
            print(f"Done: {len(done)} steps.")

    def _said(self, step: PlanStep) -> None:
        if not self.server.as_json:
            print(f"{step.action.value}d {step.title}", flush=True)

    def _failed(self, done: list[PlanStep], error: BaseException) -> None:
        from angarium.cli.configuration.carry_out import described

        failed, *left = self.plan.steps[len(done) :]
        if self.server.as_json:
            print(json.dumps({"applied": len(done), "left": [described(one) for one in (failed, *left)]}))
            return
        place = self.faults.place(failed.path)
        where = f"{place}: " if place else ""
        words = [f"angarium: {where}{failed.action.value} {failed.title} failed; {len(done)} of"]
        note(f"{words[0]} {len(self.plan.steps)} steps were applied. Not applied:")
        for one in (failed, *left):
            note(f"  {_SIGNS[one.action.value]} {one.title}")
        if not (isinstance(error, Refused) and error.status < 500):
            note("Run the command again to finish.")
        else:
            note("Correct the cause, and run the command again to finish.")


_SIGNS = {"create": "+", "update": "~", "delete": "-", "archive": "-"}


def content(name: str) -> bytes:
    """What a file or, for -, standard input has, up to the limit. Raises BadParameter."""
    from angarium.cli.configuration.text import MAX_BYTES

    if name == "-":
        return sys.stdin.buffer.read(MAX_BYTES + 1)
    try:
        with Path(name).open("rb") as file:
            return file.read(MAX_BYTES + 1)
    except OSError as error:
        raise typer.BadParameter(f"cannot read {name}: {error.strerror}") from error


def name_of(file: str) -> str:
    """The name of a file in errors."""
    return "<stdin>" if file == "-" else file


def _show(server: Remote, plan: Plan) -> None:
    """Prints the plan, as one object with `--json`. Nothing is printed if there is nothing to do."""
    from angarium.cli.configuration.carry_out import described

    if server.as_json:
        print(json.dumps({"steps": [described(one) for one in plan.steps]}, ensure_ascii=False), flush=True)
        return
    for step in plan.steps:
        print(f"{_SIGNS[step.action.value]} {step.title}")
        for one in step.changes:
            print(f"    {one.field}: {_change(one.before, one.after, secret=one.secret)}")
    if plan.left:
        some = ", ".join(plan.left[:5]) + (f" and {len(plan.left) - 5} more" if len(plan.left) > 5 else "")
        note(f"Not in the files, and kept without --delete: {some}")


def _change(before: Any, after: Any, *, secret: bool) -> str:
    if secret:
        return "(secret)"
    if before is None:
        return _short(after)
    return f"{_short(before)} -> {_short(after)}"


def _short(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 80 else text[:79] + "…"


def _counted(plan: Plan) -> str:
    from angarium.cli.configuration.plan import Action

    created, changed = plan.count(Action.CREATE), plan.count(Action.UPDATE)
    deleted, archived = plan.count(Action.DELETE), plan.count(Action.ARCHIVE)
    parts = [f"{created} to create", f"{changed} to change", f"{deleted} to delete", f"{archived} to archive"]
    return ", ".join(parts if archived else parts[:3])
