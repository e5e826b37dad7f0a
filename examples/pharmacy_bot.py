"""The pharmacy's telephone bot. It has a key of its own, and nothing else: no password, no token, no API key.

    python examples/pharmacy_bot.py AGENT_FILE read
    python examples/pharmacy_bot.py AGENT_FILE watch
    python examples/pharmacy_bot.py AGENT_FILE order QUANTITY [APPROVAL]

It prints what it was answered as one JSON object. `watch` reads again and again until that ends; `APPROVAL` names an
earlier approval that it would like to use again.
"""

import json
import sys
import time

from deputize import Agent

agent, what, told = Agent.open(sys.argv[1]), sys.argv[2], sys.argv[3:]

with agent.client() as http:
    if what in {"read", "watch"}:
        reply = http.get("/pharmacy/prescriptions")
        while what == "watch" and reply.status_code == 200:
            time.sleep(0.05)
            reply = http.get("/pharmacy/prescriptions")
    else:
        order = {"medicine": "Ibuprofen 400 mg", "quantity": int(told[0])}
        again = {"deputize-approval": told[1]} if len(told) > 1 else {}
        reply = http.post("/pharmacy/orders", json=order, headers=again)
    while reply.status_code == 202:  # a person is being asked: the gateway says where to look
        time.sleep(0.5)
        reply = http.get(reply.headers["location"])
    shown = {"status": reply.status_code, "body": reply.json(), "approval": reply.headers.get("deputize-approval")}
    print(json.dumps(shown))
