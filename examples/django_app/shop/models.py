"""What the shop keeps."""

from __future__ import annotations

from django.conf import settings
from django.db import models


class Order(models.Model):
    """An order."""

    customer = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT)
    products = models.JSONField()
    placed_at = models.DateTimeField(auto_now_add=True)
