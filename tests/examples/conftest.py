from tests.outbox.conftest import api, backend, client, new_organization, served

__all__ = ["api", "backend", "client", "new_organization", "served"]
