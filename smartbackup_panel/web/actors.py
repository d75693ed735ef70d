"""Who asks, as the host panel's own login says."""

from __future__ import annotations

from flask_login import current_user  # type: ignore[import-untyped]  # flask-login ships no types

from smartbackup_panel.core.model import Actor, Role


def actor_of_current_user() -> Actor | None:
    """Return the actor for flask-login's current user, or None where nobody is logged in.

    An account is an admin where its `role` is "admin" or its `is_admin` is (or returns) True; everybody else is a
    customer of the panel account in `owner`. A customer without an owner sees no domain.
    """
    user = current_user
    if not user.is_authenticated or not user.is_active:
        return None
    login = str(getattr(user, "login", None) or user.get_id())
    owner = getattr(user, "owner", None)
    role = Role.ADMIN if _is_admin(user) else Role.CUSTOMER
    return Actor(login, role, None if owner is None else str(owner), source="web")


def _is_admin(user: object) -> bool:
    told = getattr(user, "is_admin", None)
    if callable(told):
        told = told()
    role: object = getattr(user, "role", None)
    return told is True or role in (Role.ADMIN, "admin")
