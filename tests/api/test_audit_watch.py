"""Nothing changes without a record: the database itself watches while every operation is done."""

from __future__ import annotations

import asyncpg
import pytest

from tests.api.operation import KEYED, KEYLESS, NATIVE, ORG, TOKEN, in_order
from tests.api.sample import SampleServer, bearer, key_headers

# a change whose transaction has no record cannot be committed
WATCH = """
create function watched() returns trigger language plpgsql as $$
begin
    if tg_op = 'UPDATE' and to_jsonb(new) - tg_argv[0]::text[] = to_jsonb(old) - tg_argv[0]::text[] then
        return null;
    end if;
    if not exists (select from audit where xmin = pg_current_xact_id()::xid)
        and not exists (select from angarium.audit where xmin = pg_current_xact_id()::xid)
    then
        raise exception '% of % without a record', tg_op, tg_table_name;
    end if;
    return null;
end $$;
"""
WATCHED = {
    "application": "updated_at,refused_until",
    "endpoint": "updated_at,revision,keys,headers",  # sealed again whenever they are written
    "event_type": "updated_at",
    "api_key": "last_used_at",
    "play_inbox": "expires_at",
    "organization": "",
    "revoked_token": "",
    "token_cutoff": "",
}


async def test_no_operation_of_any_api_changes_anything_without_a_record(sample: SampleServer) -> None:
    async with sample.database.connection() as connection:
        await connection.execute(WATCH)
        for table, besides in WATCHED.items():
            await connection.execute(
                f"create constraint trigger watched after insert or update or delete on {table} "
                f"deferrable initially deferred for each row execute function watched('{{{besides}}}')"
            )
        await connection.execute(
            "create constraint trigger watched after insert on background_task "
            "deferrable initially deferred for each row execute function watched('{}')"
        )
        with pytest.raises(asyncpg.RaiseError, match="without a record"):
            await connection.execute("update application set name = 'by stealth'")
    wrong = []
    before = await sample.audit_events()
    operator = bearer(sample.services.token.for_organization(ORG))
    for method, path in in_order(NATIVE):
        needed, body = NATIVE[method, path]
        headers = operator
        if needed == TOKEN:
            headers = bearer(sample.services.token.for_application(ORG, sample.app_id))
        answer = await sample.call(method, path, headers, body)
        if not answer.is_success and (method, path) not in KEYLESS:
            wrong.append(f"{method} {path}: {answer.status_code}: {answer.text}")
    for product in KEYED:
        headers = key_headers(product, sample.keys[product][0])
        (method, path), body = next(row for row in KEYED[product].items() if row[0][0] == "POST")
        answer = await sample.call(method, path, headers, body)
        if not answer.is_success:
            wrong.append(f"{product}: {method} {path}: {answer.status_code}: {answer.text}")
            continue
        if product == "bloom":
            continue
        places = {"webhook_id": (answer.json().get("data") or answer.json())["id"]}
        rows = sorted(KEYED[product].items(), key=lambda row: row[0][0] == "DELETE")
        for (method, path), body in rows:
            if path.startswith("/v1") or "{webhook_id}" not in path or "{event_id}" in path:
                continue
            answer = await sample.call(method, path, headers, body, places)
            # nothing waits to be activated
            if not answer.is_success and "activate" not in path:
                wrong.append(f"{product}: {method} {path}: {answer.status_code}: {answer.text}")
    assert wrong == []
    assert await sample.audit_events() > before + 15
