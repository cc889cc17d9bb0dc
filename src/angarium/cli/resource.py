"""Declares nouns whose commands are calls of the API: each verb is written once, for all of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Annotated, Final

import typer

from angarium.cli.option import Limit, Yes, confirm
from angarium.cli.remote import ApiField, Given, Remote, calling, json_object, time_ago

ORDER: Final = ApiField("order", "Order of creation: ascending or descending.", sample="descending")
SINCE: Final = ApiField("since", "Start: 2h or 7d ago, or a time.", time_ago, sample="2h")
UNTIL: Final = ApiField("until", "End: 1h ago, or a time.", time_ago, sample="1h")
METADATA: Final = ApiField("metadata", "A JSON object of your own: text, @file, or -.", json_object)
RATE_LIMIT: Final = ApiField("throttleRate", "Maximum deliveries per second.", int, "--rate-limit")
UID: Final = ApiField("uid", "Your own ID.")

Clear = Annotated[list[str] | None, typer.Option(help="Option to reset, such as description; repeatable.")]


@dataclass(frozen=True, slots=True)
class Resource:
    """A noun of the API.

    `path`: of its list; an object is below it. `sample`: a reference, for examples in help. `fields`: what a
    new object can have; those in `fixed` cannot be changed by update. `filters`: of its list. `erasing`: of
    the query of delete. `lost`: what ends with an object.
    """

    name: str
    path: str
    sample: str
    columns: Sequence[str]
    fields: Sequence[ApiField] = ()
    fixed: Sequence[str] = ()
    filters: Sequence[ApiField] = ()
    erasing: Sequence[ApiField] = ()
    lost: str = ""
    by: str = "ID or UID"

    def commands(self, *verbs: str) -> typer.Typer:
        """A Typer with these verbs: list, show, create, update and delete."""
        makers = {
            "list": self._list,
            "show": self._show,
            "create": self._create,
            "update": self._update,
            "delete": self._delete,
        }
        app = typer.Typer()
        for verb in verbs:
            app.command(verb)(makers[verb]())
        return app

    def _list(self) -> Callable[..., None]:
        def run(server: Remote, given: Given, limit: Limit = 100) -> None:
            server.table(server.each(self.path, limit=limit, **given), self.columns, f"no {self._words}s")

        options = next((f"{one.flag} {one.sample}" for one in self.filters if one.sample), "--limit 10")
        return self._command(run, "list", f"List {self._words}s.", options, self.filters)

    def _show(self) -> Callable[..., None]:
        def run(server: Remote, given: Given) -> None:
            server.show(server.call("GET", f"{self.path}/{{}}", given["ref"]))

        return self._command(run, "show", f"Show {self._one}.", self.sample, [self.ref])

    def _create(self) -> Callable[..., None]:
        def run(server: Remote, given: Given) -> None:
            server.show(server.call("POST", self.path, body=given))

        options = " ".join(f"{one.flag} {one.sample}" for one in self.fields if one.sample)
        return self._command(run, "create", f"Create {self._one}.", options, self.fields)

    def _update(self) -> Callable[..., None]:
        fields = [replace(one, required=False) for one in self.fields if one.name not in self.fixed]
        names = {one.flag.removeprefix("--"): one.name for one in fields}

        def run(server: Remote, given: Given, clear: Clear = None) -> None:
            ref = given.pop("ref")
            if unknown := set(clear or ()) - set(names):
                raise typer.BadParameter(f"--clear {min(unknown)}: choose from {', '.join(names)}")
            body = given | {names[one]: None for one in clear or ()}
            if not body:
                raise typer.BadParameter("nothing to change; give an option")
            server.show(server.call("PATCH", f"{self.path}/{{}}", ref, body=body))

        some = next(one for one in fields if one.sample)
        words = f"Change {self._one}. What is not given stays as it is."
        return self._command(
            run, "update", words, f"{self.sample} {some.flag} {some.sample}", [self.ref, *fields]
        )

    def _delete(self) -> Callable[..., None]:
        def run(server: Remote, given: Given, yes: Yes = False) -> None:
            ref = given.pop("ref")
            confirm(f"The {self._words} {ref} will be deleted{self.lost}", yes)
            server.raw("DELETE", f"{self.path}/{{}}", ref, **given)
            server.done(f"{ref} is deleted")

        return self._command(
            run, "delete", f"Delete {self._one}.", f"{self.sample} --yes", [self.ref, *self.erasing]
        )

    def _command(
        self,
        run: Callable[..., None],
        verb: str,
        words: str,
        example: str,
        fields: Sequence[ApiField],
    ) -> Callable[..., None]:
        run.__doc__ = f"{words}\n\n$ angarium {self.name} {verb} {example}"
        return calling(*fields, app="{app}" in self.path)(run)

    @property
    def ref(self) -> ApiField:
        """The argument that names an object."""
        return ApiField("ref", f"{self.by} of the {self._words}.", argument=True)

    @property
    def _words(self) -> str:
        return self.name.replace("-", " ")

    @property
    def _one(self) -> str:
        return f"{'an' if self.name[0] in 'aeiou' else 'a'} {self._words}"


application = Resource(
    "application",
    "/app",
    "customer-1",
    ["id", "uid", "name", "throttleRate", "createdAt"],
    fields=[
        ApiField("name", "Name.", sample='"First customer"', required=True),
        replace(UID, sample="customer-1"),
        RATE_LIMIT,
        METADATA,
    ],
    filters=[
        ORDER,
        ApiField(
            "excludeAppsWithNoEndpoints", "Leave out those without endpoints.", bool, "--with-endpoints"
        ),
    ],
    lost=", with its endpoints and messages",
).commands("list", "show", "create", "update", "delete")

event_type = Resource(
    "event-type",
    "/event-type",
    "order.filled",
    ["name", "description", "groupName", "deprecated", "archived"],
    by="Name",
    fields=[
        ApiField("name", "Name, such as order.filled.", sample="order.filled", required=True),
        ApiField("description", "Description.", sample='"An order was filled."', required=True),
        ApiField("schemas", "JSON Schemas by version: text, @file, or -.", json_object),
        ApiField("groupName", "Group under which it is listed.", option="--group"),
        ApiField(
            "featureFlags", "Show it only to holders of this flag; repeatable.", list[str], "--feature-flag"
        ),
        ApiField("deprecated", "Advise against using it.", bool),
        ApiField("archived", "Hide it, and accept no new subscriptions.", bool),
    ],
    fixed=["name"],
    filters=[ORDER, ApiField("includeArchived", "Also archived ones.", bool, "--archived")],
    erasing=[ApiField("expunge", "Delete it completely, instead of archiving it.", bool)],
).commands("list", "show", "create", "update", "delete")

TASK: Final = Resource(
    "background-task",
    "/background-task",
    "qtask_0ujsswThIGTUYm2K8FjOOfXtY1K",
    ["id", "task", "status", "updatedAt"],
    by="ID",
    filters=[
        ORDER,
        ApiField("status", "Only these: running, finished or failed.", sample="running"),
        ApiField("task", "Only this kind, such as endpoint.recover."),
    ],
)
background_task = TASK.commands("list", "show")


@background_task.command()
@calling(TASK.ref)
def cancel(server: Remote, given: Given) -> None:
    """Stop a background task. What it has sent already is not affected.

    $ angarium background-task cancel qtask_0ujsswThIGTUYm2K8FjOOfXtY1K
    """
    server.show(server.call("POST", "/app/{app}/task/{}/cancel", given["ref"]))


audit = Resource(
    "audit",
    "/audit",
    "",
    ["timestamp", "actor", "action", "applicationId", "target"],
    filters=[
        ApiField("application", "Only this application, by ID or UID."),
        ApiField(
            "action",
            "Only this action, such as endpoint.updated; endpoint: all of that noun.",
            sample="endpoint",
        ),
        SINCE,
        UNTIL,
    ],
).commands("list")


@application.command()
@calling(
    ApiField("application", "ID or UID of the application.", argument=True),
    ApiField("expiry", "Seconds until the link expires; default: one week.", int),
    ApiField(
        "capabilities", "What the link allows; repeatable; default: everything.", list[str], "--capability"
    ),
    ApiField("readOnly", "Allow viewing only.", bool),
    app=False,
)
def link(server: Remote, given: Given) -> None:
    """Create a link with which a customer opens the portal.

    $ angarium application link customer-1
    $ angarium application link customer-1 --read-only --expiry 3600
    """
    ref = given.pop("application")
    made = server.call("POST", "/auth/app-portal-access/{}", ref, body=given)
    server.show(made, made["url"])


@application.command("expire-tokens")
@calling(
    ApiField("application", "ID or UID of the application.", argument=True),
    ApiField("expiry", "Seconds until they end; default: at once.", int),
    ApiField("sessionIds", "Only those made with this session ID; repeatable.", list[str], "--session"),
    app=False,
)
def expire_tokens(server: Remote, given: Given, yes: Yes = False) -> None:
    """End all tokens, portal links and sessions of an application.

    $ angarium application expire-tokens customer-1 --yes
    """
    ref = given.pop("application")
    confirm(f"Tokens, portal links and sessions of {ref} will end", yes)
    server.raw("POST", "/auth/app/{}/expire-all", ref, body=given)
    server.done("they end")
