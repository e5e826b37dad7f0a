"""The test client: what a real client would do, step by step, and told in words."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from deputize.cli.explain import explain
from deputize.compose import observe
from deputize.compose.parts import client_env
from deputize.core.ports import Env
from deputize.core.rules import Fault
from deputize.core.values import ClientId, Issuer, Secret, scope
from deputize.jose.keys import PrivateKey
from deputize.sdk import (
    ClientLogin,
    Discovery,
    LoopbackReceiver,
    PrivateKeyJwt,
    Prompt,
    Public,
    Refused,
    SecretBasic,
    TokenSet,
    Visit,
    arun,
    begin,
    client_credentials,
    collect,
    device_begin,
    device_collect,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """What to try."""

    issuer: str
    client: Path
    method: str
    scope: str
    resource: str
    dpop: bool

    def login(self, env: Env) -> ClientLogin:
        """The client that the file describes: one, or one a method."""
        if not self.client.exists():
            raise Fault(f"there is no file {self.client}: `deputize serve --dev` makes one for its demo")
        told = json.loads(self.client.read_text())
        told = told.get(self.method, told)
        method: PrivateKeyJwt | SecretBasic
        if self.method == "private_key_jwt" and "key" in told:
            method = PrivateKeyJwt(PrivateKey.from_jwk(told["key"]))
        elif self.method == "client_secret_basic" and "secret" in told:
            method = SecretBasic(Secret(told["secret"]))
        else:
            raise Fault(f"{self.client} has nothing for {self.method}")
        return ClientLogin(
            client_id=ClientId(told["client_id"]),
            issuer=Issuer(self.issuer),
            method=method,
            clock=env.clock,
            random=env.random,
            dpop_key=PrivateKey.generate() if self.dpop else None,
        )


def obtain_by_client_credentials(trial: Trial, *, show_token: bool) -> dict[str, Any]:
    """What happened, step by step."""

    async def work(env: Env) -> dict[str, Any]:
        login = trial.login(env)
        steps = [f"1. Read the server's metadata of {trial.issuer}, and hold that it names itself."]
        server = await Discovery().server(login.issuer, env)
        key = " and a DPoP proof by a fresh key" if login.dpop_key else ""
        steps.append(f"2. POST {server.token_endpoint}: client_credentials, authenticated by {trial.method}{key}.")
        flow = client_credentials(server, login, scope=scope(trial.scope), resource=trial.resource or None)
        token = await arun(flow, env)
        return _told(token, env, steps, show_token=show_token)

    return _with_env(trial.issuer, work)


@dataclass(frozen=True, slots=True, kw_only=True)
class CodeTrial:
    """What to try with a person, by a public client on this machine."""

    issuer: str
    client_id: str
    scope: str
    resource: str
    dpop: bool

    def login(self, env: Env) -> ClientLogin:
        """The client, with a fresh key where its token is to be bound."""
        return ClientLogin(
            client_id=ClientId(self.client_id),
            issuer=Issuer(self.issuer),
            method=Public(),
            clock=env.clock,
            random=env.random,
            dpop_key=PrivateKey.generate() if self.dpop else None,
        )


def obtain_by_code(trial: CodeTrial, open_page: Callable[[str], object], *, show_token: bool) -> dict[str, Any]:
    """What happened, step by step."""

    async def work(env: Env) -> dict[str, Any]:
        login = trial.login(env)
        steps = [f"1. Read the server's metadata of {trial.issuer}, and hold that it names itself."]
        server = await Discovery().server(login.issuer, env)
        with LoopbackReceiver(open_page=open_page) as receiver:
            resource = trial.resource or None
            flow = begin(server, login, redirect_uri=receiver.base, scope=scope(trial.scope), resource=resource)
            begun = await arun(flow, env)
            pushed = server.pushed_authorization_request_endpoint
            steps.append(
                f"2. POST {pushed}: the request, with a PKCE challenge by S256." if pushed else "2. No PAR here."
            )
            steps.append(f"3. A person opens {server.authorization_endpoint}; the answer arrives at {receiver.base}.")
            arrived = await receiver.avisit(Visit(begun.url, begun.redirect_uri, begun.state))
        steps.append("4. Its state is the request's, and its iss the server's.")
        token = await arun(collect(server, login, begun, arrived), env)
        steps.append(f"5. POST {server.token_endpoint}: authorization_code, with the PKCE verifier.")
        return _told(token, env, steps, show_token=show_token)

    return _with_env(trial.issuer, work)


def obtain_by_device(trial: CodeTrial, show: Callable[[Prompt], object], *, show_token: bool) -> dict[str, Any]:
    """What happened, step by step; `show` shows a person the code."""

    async def work(env: Env) -> dict[str, Any]:
        login = trial.login(env)
        steps = [f"1. Read the server's metadata of {trial.issuer}, and hold that it names itself."]
        server = await Discovery().server(login.issuer, env)
        wanted, resource = scope(trial.scope), trial.resource or None
        prompt = await arun(device_begin(server, login, scope=wanted, resource=resource), env)
        steps.append(f"2. POST {server.device_authorization_endpoint}: a code for the device, and one for a person.")
        show(prompt)
        steps.append(f"3. A person types {prompt.user_code} at {prompt.verification_uri}, and answers there.")
        token = await arun(device_collect(server, login, prompt, scope=wanted), env)
        steps.append(f"4. POST {server.token_endpoint}: device_code, every {prompt.pending.interval} s until then.")
        return _told(token, env, steps, show_token=show_token)

    return _with_env(trial.issuer, work)


def _told(token: TokenSet, env: Env, steps: list[str], *, show_token: bool) -> dict[str, Any]:
    life = token.expires_at - env.clock()
    steps.append(f"{len(steps) + 1}. A {token.token_type} token for {life} s. What it says:")
    steps += [f"   {line}" for line in explain(token.access_token.reveal(), env.clock())]
    told: dict[str, Any] = {"token_type": token.token_type, "expires_in": life, "steps": steps}
    return {**told, "access_token": token.access_token.reveal()} if show_token else told


def _with_env(issuer: str, work: Callable[[Env], Awaitable[dict[str, Any]]]) -> dict[str, Any]:
    observe.configure(level="warning")

    async def main() -> dict[str, Any]:
        async with client_env(issuer) as env:
            try:
                return await work(env)
            except Refused as refused:
                raise Fault(f"the server refused: {refused.error}. {refused.description}") from None

    return asyncio.run(main())
