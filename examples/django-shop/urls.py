from django.urls import path
from shop.views import place_order

urlpatterns = [path("customers/<slug:customer>/orders", place_order)]
