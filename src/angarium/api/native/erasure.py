"""Erases applications and messages. Svix's open server has no equivalent."""

from __future__ import annotations

from fastapi import APIRouter

from angarium.api.auth import AppRef, OrgAppOf, OrgCaller, ServicesOf
from angarium.api.native.message import MessageRef
from angarium.api.native.replay import TaskOut, task_out
from angarium.api.route import API_PATH, WireRoute

router = APIRouter(prefix=API_PATH, route_class=WireRoute)


@router.post(
    "/app/{app_id}/erase", operation_id="v1.application.erase", status_code=202, tags=["Application"]
)
async def erase_application(caller: OrgCaller, services: ServicesOf, app_id: AppRef) -> TaskOut:
    """Erase an application.

    Permanent. Deletes everything of the application, in the background; from now on it does not exist. The
    audit log keeps `application.erased` as proof. An application that was deleted is erased by its id.
    """
    return task_out(await services.erasure.application(caller.org_id, app_id))


@router.post(
    "/app/{app_id}/msg/{msg_id}/erase", operation_id="v1.message.erase", status_code=202, tags=["Message"]
)
async def erase_message(services: ServicesOf, application: OrgAppOf, msg_id: MessageRef) -> TaskOut:
    """Erase a message.

    Permanent. Deletes its payload, event id, channels and tags, and in the background the headers, responses
    and error texts of its attempts. Its id, event type and the states of its deliveries stay in the log.
    """
    return task_out(await services.erasure.message(application, msg_id))
