"""A pharmacy's API behind the guard, `python examples/pharmacy_api.py FILE`: each order is asked about."""

import json
import sys
from decimal import Decimal
from pathlib import Path
from urllib.parse import urlsplit

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from deputize import Guard, GuardedProtocol, PrivateKey, guard_env
from deputize.resource import Operation, json_object

PRICES = {"Ibuprofen 400 mg": Decimal("12.40") / 30, "Loratadine 10 mg": Decimal("5.70") / 20}
own = json.loads(Path(sys.argv[1]).read_text())  # `deputize serve --dev` makes one: var/dev/pharmacy.json
orders: list[dict[str, object]] = []


def describe_order(body: bytes) -> Operation:
    """What this order is, made from the very bytes that would be carried out. Nothing in them is left unsaid."""
    order = json_object(body)
    if set(order) != {"medicine", "quantity"}:
        raise ValueError("an order has a medicine and a quantity, and no more")
    medicine, quantity = str(order["medicine"]), order["quantity"]
    if medicine not in PRICES or not isinstance(quantity, int) or not 0 < quantity <= 1000:
        raise ValueError("not something that can be ordered")
    amount = {"value": str((PRICES[medicine] * quantity).quantize(Decimal("0.01"))), "currency": "EUR"}
    bought = {"type": "purchase", "item": medicine, "quantity": quantity, "amount": amount, "payee": own["name"]}
    return Operation.of("Each order of medicine is confirmed by the patient.", bought)


async def prescriptions(request: Request) -> JSONResponse:
    return JSONResponse({"patient": request.scope["deputize.caller"].subject, "prescriptions": list(PRICES)})


async def order(request: Request) -> JSONResponse:
    orders.append(await request.json())
    return JSONResponse({"order": len(orders), **orders[-1]}, status_code=201)


guard = Guard(
    resource=own["resource"],
    issuer=own["issuer"],
    env=guard_env("var/pharmacy.db", issuer=own["issuer"]),
    key=PrivateKey.from_jwk(own["key"]),
    name=own["name"],
    dpop_required=True,
)
guard.needs("GET", "/prescriptions", scope="prescriptions:read")
guard.needs("POST", "/orders", scope="prescriptions:order", approve=describe_order)
app = guard.wrap(Starlette(routes=[Route("/prescriptions", prescriptions), Route("/orders", order, methods=["POST"])]))

if __name__ == "__main__":
    port = urlsplit(own["resource"]).port or 9420
    uvicorn.run(app, port=port, http=GuardedProtocol, log_level="warning")
