"""The pages of the shop."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from django.contrib.auth import login
from django.contrib.auth.decorators import login_required
from django.contrib.auth.forms import UserCreationForm
from django.contrib.auth.models import User
from django.db import transaction
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_POST

from passerby.django import TrackedRequest

from .models import Order
from .products import PRODUCTS, Product


def home(request: TrackedRequest) -> HttpResponse:
    request.tracker.page_view({"page": "Home"})
    return render(request, "shop/home.html", {"title": "Things for outside", "products": PRODUCTS.values()})


def show_product(request: TrackedRequest, slug: str) -> HttpResponse:
    product = find_product(slug)
    request.tracker.page_view({"page": product.name}, {"product": slug})
    return render(request, "shop/product.html", {"title": product.name, "product": product})


def show_cart(request: TrackedRequest) -> HttpResponse:
    request.tracker.page_view({"page": "Cart"})
    products = [find_product(slug) for slug in request.session.get("cart", [])]
    return render(request, "shop/cart.html", {"title": "Cart", "products": products})


@require_POST
def add_to_cart(request: TrackedRequest, slug: str) -> HttpResponse:
    product = find_product(slug)
    request.session["cart"] = [*request.session.get("cart", []), slug]
    request.tracker.event("ADD", {"page": product.name, "product": {"item_id": slug, "price": product.price}})
    return redirect("cart")


@require_POST
@login_required
def order(request: TrackedRequest) -> HttpResponse:
    slugs = request.session.get("cart", [])
    if not slugs:
        return redirect("cart")
    try:
        with transaction.atomic():  # if it fails, nothing was ordered, and nothing is tracked
            request.tracker.event("CONFIRM", {"page": "Order", "product": [{"item_id": slug} for slug in slugs]})
            customer = User.objects.get(username=request.user.get_username())
            Order.objects.create(customer=customer, products=slugs)
            check_stock(slugs)
    except OutOfStock as error:
        products = [find_product(slug) for slug in slugs]
        context = {"title": "Cart", "products": products, "error": error}
        return render(request, "shop/cart.html", context, status=409)
    request.session["cart"] = []
    return redirect("home")


def join(request: HttpRequest) -> HttpResponse:
    """Become a customer; passerby hears of it from Django, as of every log-in."""
    form: UserCreationForm[User] = UserCreationForm(request.POST or None)
    if form.is_valid():
        login(request, form.save())
        return redirect("home")
    return render(request, "shop/form.html", {"title": "Join", "form": form})


class OutOfStock(Exception):
    """More was ordered than there is."""


def check_stock(slugs: Iterable[str]) -> None:
    for slug, number in Counter(slugs).items():
        product = find_product(slug)
        if number > product.in_stock:
            raise OutOfStock(f"{product.name}: there are only {product.in_stock}")


def find_product(slug: str) -> Product:
    if slug not in PRODUCTS:
        raise Http404("There is no such product")
    return PRODUCTS[slug]
