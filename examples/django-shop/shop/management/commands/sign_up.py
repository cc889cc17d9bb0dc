"""`manage.py sign_up acme Acme`: creates an application for a customer, and prints a link into the portal."""

from django.core.management.base import BaseCommand, CommandParser

from angarium.client import Angarium


class Command(BaseCommand):
    help = "Create an application for a customer, and print a link into the portal."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "customer", help="The customer's id in the shop, which becomes the application's uid."
        )
        parser.add_argument("name")

    def handle(self, *, customer: str, name: str, **_: object) -> None:
        with Angarium() as angarium:
            body = {"uid": customer, "name": name}
            angarium.call("POST", "/app", body, query={"get_if_exists": True})
            link = angarium.call("POST", f"/auth/app-portal-access/{customer}", {})
        self.stdout.write(link["url"])
