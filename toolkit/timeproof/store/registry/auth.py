"""How a registry is told who we are: the user's own docker credentials, or two variables. Keeps nothing.

The registry asks by a 401 and a challenge (RFC 7235): Basic, or Bearer with the token flow of the OCI
distribution's documentation.
"""

from __future__ import annotations

import base64
import os
import re
from collections.abc import Mapping
from urllib.parse import urlsplit

from timeproof.base.limits import LIMITS
from timeproof.errors import AccessDenied, RemoteFailed

USER, PASSWORD = "TIMEPROOF_REGISTRY_USER", "TIMEPROOF_REGISTRY_PASSWORD"
_PARAMETER = re.compile(r'(\w+)="([^"]*)"')


def credentials(host: str, environment: Mapping[str, str] = os.environ) -> tuple[str, str] | None:
    """Name and password for a registry: the two variables, else what `docker login` left.

    Raises AccessDenied where docker's configuration or its credential helper fails.
    """
    if environment.get(USER):
        return environment[USER], environment.get(PASSWORD, "")
    from docker import auth, errors

    try:
        entry = auth.load_config().resolve_authconfig(host) or {}
    except (errors.DockerException, ValueError) as error:
        raise AccessDenied(host, f"docker's credentials can't be read: {error}") from error
    fields = {key.lower(): value for key, value in entry.items() if value}
    if "identitytoken" in fields:
        return "<token>", fields["identitytoken"]
    return (fields["username"], fields.get("password", "")) if "username" in fields else None


def basic(login: tuple[str, str]) -> str:
    return "Basic " + base64.b64encode(":".join(login).encode()).decode()


def authorization(host: str, challenge: str, scope: str, *, plain: bool) -> str:
    """The header that answers a challenge.

    Args:
        scope: what is asked for where the challenge doesn't say it.
        plain: the registry itself is spoken to without TLS, so its token server may be, too.

    Raises AccessDenied: there are no credentials, or they are refused.
    """
    kind, _, rest = challenge.partition(" ")
    login = credentials(host)
    if kind.lower() == "basic":
        if login is None:
            raise AccessDenied(
                host,
                "it asks for a name and a password",
                advice=f"run 'docker login {host}', or set {USER} and {PASSWORD}",
            )
        return basic(login)
    if kind.lower() != "bearer":
        raise AccessDenied(host, f"it asks to be told who we are in an unknown way: {challenge[:80]!r}")
    return "Bearer " + _token(host, dict(_PARAMETER.findall(rest)), login, scope, plain)


def _token(
    host: str, challenge: Mapping[str, str], login: tuple[str, str] | None, scope: str, plain: bool
) -> str:
    import requests

    realm = challenge.get("realm", "")
    if urlsplit(realm).scheme != "https" and not (plain and urlsplit(realm).scheme == "http"):
        raise AccessDenied(host, f"its token server {realm[:200]!r} is not reached by TLS")
    wanted = {"scope": challenge.get("scope") or scope}
    if challenge.get("service"):
        wanted["service"] = challenge["service"]
    try:
        if login is not None and login[0] == "<token>":
            form = {
                **wanted,
                "grant_type": "refresh_token",
                "refresh_token": login[1],
                "client_id": "timeproof",
            }
            answer = requests.post(realm, data=form, timeout=LIMITS.remote_seconds)
        else:
            answer = requests.get(realm, params=wanted, auth=login, timeout=LIMITS.remote_seconds)
        reply = answer.json() if answer.status_code == 200 else {}
    except (requests.RequestException, ValueError) as error:
        raise RemoteFailed(realm, f"the registry's token server does not answer: {error}") from error
    token = reply.get("token") or reply.get("access_token") if isinstance(reply, dict) else None
    if not isinstance(token, str) or not token:
        raise AccessDenied(
            host,
            f"its token server refuses (status {answer.status_code})",
            advice=f"run 'docker login {host}', or set {USER} and {PASSWORD}",
        )
    return token
