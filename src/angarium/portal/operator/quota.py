"""Operator page of an application's limits and use, and the form that changes its limits."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from starlette.responses import Response
from starlette.routing import Route

from angarium.core import ids
from angarium.core.errors import Invalid
from angarium.core.nouns import Application
from angarium.core.quota import NAMES, UNLIMITED, write
from angarium.portal.customer.usage import shown
from angarium.portal.kit.form import Form
from angarium.portal.kit.route import status_of
from angarium.portal.kit.text import t
from angarium.portal.operator.visit import OperatorVisit, operator_action, operator_page
from angarium.service.quota import QuotaState, camel

MAX_LIMIT: Final = 32  # characters


@dataclass(frozen=True, slots=True)
class LimitField:
    """A field of the form: the limit of the application itself, and the one that it has without it."""

    name: str
    label: str
    value: str
    hint: str
    fault: str | None


async def show(visit: OperatorVisit) -> Response:
    """The limits of an application, and what it uses."""
    application = await _application(visit)
    state = await visit.services.quota.of(application)
    own = {name: str(write(state.own[name])) for name in state.own}
    return await _page(visit, application, state, own, {})


async def save(visit: OperatorVisit, form: Form) -> Response:
    """Sets the limits of an application. An empty field is the default again."""
    application = await _application(visit)
    given = {name: form.text(name)[:MAX_LIMIT].replace(",", "").lower() for name in NAMES}
    words = t("quota.fault", unlimited=UNLIMITED)
    faults: dict[str, str] = {name: words for name, text in given.items() if text and not _is_limit(text)}
    if not faults:
        changes = {name: _limit(text) for name, text in given.items() if text}
        try:
            await visit.services.quota.change(
                visit.org_id, _ref(application), changes, frozenset(given.keys() - changes.keys())
            )
            return visit.go(visit.path("quota", _ref(application), done="saved"))
        except Invalid as error:
            names = {camel(name): name for name in NAMES}
            faults = {names[str(one.loc[-1])]: one.msg for one in error.faults}
    state = await visit.services.quota.of(application)
    return await _page(visit, application, state, given, faults, status=status_of(Invalid()))


async def _page(
    visit: OperatorVisit,
    application: Application,
    state: QuotaState,
    given: dict[str, str],
    faults: dict[str, str],
    *,
    status: int = 200,
) -> Response:
    default = await visit.services.quota.defaults(visit.org_id)
    return visit.render(
        "operator/quota.html",
        status=status,
        section="",
        heading=t("quota.title", name=application.name),
        ref=_ref(application),
        application=application,
        fields=[
            LimitField(
                name,
                t(f"quota.field.{name}"),
                given.get(name, ""),
                _default(getattr(default, name)),
                faults.get(name),
            )
            for name in NAMES
        ],
        unlimited=UNLIMITED,
        **await shown(visit, application, state),
    )


def _default(limit: int | None) -> str:
    return t("quota.default_none") if limit is None else t("quota.default", limit=f"{limit:,}")


def _limit(text: str) -> int | None:
    return None if text == UNLIMITED else int(text)


def _is_limit(text: str) -> bool:
    return text == UNLIMITED or (text.isascii() and text.isdigit() and len(text) <= 18)


async def _application(visit: OperatorVisit) -> Application:
    ref = visit.request.path_params["app_id"].replace("\x00", "")
    return await visit.services.application.find(visit.org_id, ref)


def _ref(application: Application) -> str:
    return ids.text(ids.APPLICATION, application.id)


def routes() -> list[Route]:
    return [operator_page("/quota/{app_id}", show), operator_action("/quota/{app_id}", save)]
