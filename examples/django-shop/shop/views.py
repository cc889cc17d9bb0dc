"""The view of the shop."""

from django.http import HttpRequest, HttpResponseBadRequest, JsonResponse
from django.http.response import HttpResponseBase
from django.views.decorators.http import require_POST

from shop.models import Order


@require_POST
def place_order(request: HttpRequest, customer: str) -> HttpResponseBase:
    """Place an order. A real shop authenticates the customer, and checks the CSRF token."""
    item = request.POST.get("item", "")
    if not 0 < len(item) <= 100:
        return HttpResponseBadRequest("item: 1 to 100 characters")
    order = Order.place(customer, item)
    return JsonResponse({"id": order.pk, "item": order.item}, status=201)
