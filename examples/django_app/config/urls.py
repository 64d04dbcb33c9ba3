"""Where things are."""

from __future__ import annotations

from django.contrib import admin
from django.contrib.auth import views as auth
from django.urls import path
from shop import views

log_in = auth.LoginView.as_view(template_name="shop/form.html", extra_context={"title": "Log in"})

urlpatterns = [
    path("", views.home, name="home"),
    path("products/<slug:slug>", views.show_product, name="product"),
    path("cart", views.show_cart, name="cart"),
    path("cart/<slug:slug>", views.add_to_cart, name="add"),
    path("order", views.order, name="order"),
    path("join", views.join, name="join"),
    path("login", log_in, name="login"),
    path("logout", auth.LogoutView.as_view(), name="logout"),
    path("admin/", admin.site.urls),
]
