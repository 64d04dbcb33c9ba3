"""The vendor's own packages, for Python and for Node.js: they record the outcome of a case, as the vectors were."""

from __future__ import annotations

import gzip
import json
import re
import warnings
from pathlib import Path
from typing import Any, Protocol

from passerby.collector import CollectorServer

from ..case import JSON
from ..node_process import NodeProcess
from ..stage import Stage
from .case import Case
from .recorded import HEADERS
from .values import decode

RUNNER = Path(__file__).with_name("node_runner.mjs")
LONGEST = 100  # characters of an error that are kept
_is_node_id = re.compile(r"node-next-\d+-[0-9a-f-]{36}").fullmatch


class Vendor(Protocol):
    """Who does what a case says."""

    def run(self, case: Case, line: JSON, host: str) -> JSON:
        """Make the calls; return what came of them but for what was sent."""
        ...


class PythonPackage:
    """`customerio-cdp-analytics`, in this process and in sync mode."""

    def run(self, case: Case, line: JSON, host: str) -> JSON:
        from customerio.analytics import Client  # its import is a step of the test that needs it

        try:
            with warnings.catch_warnings(action="ignore", category=DeprecationWarning):  # it asks for `utcnow`
                client = Client(case.write_key, host=host, sync_mode=True, gzip=case.uses_gzip)
                returned = [getattr(client, case.call)(**decode(line["args"]))[0]]
        except Exception as error:
            told = str(error)
            cut = {"threw_cut": True} if len(told) > LONGEST else {}
            return {"threw": told[:LONGEST], "error_name": type(error).__name__, **cut}
        return {"threw": None, "returned": returned[0]}


class NodePackage(NodeProcess):
    """`@customerio/cdp-analytics-node`, in a process that runs one case after the other."""

    def __init__(self) -> None:
        super().__init__(RUNNER)

    def run(self, case: Case, line: JSON, host: str) -> JSON:
        args = line.get("args", {})
        calls = args["calls"] if case.call == "batch" else [{"call": case.call, "args": args}]
        job = {"client": {"writeKey": case.write_key, "host": host}, "calls": calls}
        answered = json.loads(self.ask(job))
        assert isinstance(answered, dict)
        return answered


def record(vendor: Vendor, line: JSON, stage: Stage) -> Case:
    """The case of these inputs, with what the package makes of them."""
    case = Case.from_json(line | {"outcome": {}})
    with stage.collector_for(case) as (collector, base):
        # The package for Node.js drops the path of a host, so what it sends is known by when it came.
        base = collector.url if case.sdk == "node" else base
        before = len(collector.requests)
        outcome = vendor.run(case, line, base + case.client.get("host_suffix", ""))
        outcome["sent"] = sent_to(collector, base, before)
    return Case.from_json(line | {"outcome": outcome})


def sent_to(collector: CollectorServer, base: str, before: int) -> list[JSON]:
    """The requests that a case sent to its base URL after so many others, in the form of the vectors."""
    prefix = base.removeprefix(collector.url)
    return [
        {
            "method": one.method,
            "path": one.path.removeprefix(prefix),
            "headers": {name: one.headers[name] for name in HEADERS if name in one.headers},
            "body": without_chance(json.loads(unpacked(one.headers, one.body))),
        }
        for one in collector.requests[before:]
        if one.path.startswith(f"{prefix}/")
    ]


def unpacked(headers: dict[str, str], body: bytes) -> bytes:
    return gzip.decompress(body) if headers.get("content-encoding") == "gzip" else body


def without_chance(body: JSON) -> JSON:
    """A body with names in the place of what differs from run to run."""
    for message in body["batch"]:
        if _is_node_id(str(message.get("messageId"))):
            message["messageId"] = "<node-next-millis-uuid4>"
    return body | ({"sentAt": "<sentAt>"} if "sentAt" in body else {})


def with_time(args: JSON, sdk: str, number: int) -> JSON:
    """Arguments with a message ID and a time, where they name none: what is made up cannot be compared."""
    named = {"message_id": f"m-{number}"} if sdk == "python" else {"messageId": f"m-{number}"}
    marker: dict[str, Any] = (
        {"$py": "datetime", "value": "2024-03-04T05:06:07.891000+00:00"}
        if sdk == "python"
        else {"$js": "Date", "value": "2024-03-04T05:06:07.891Z"}
    )
    return {"timestamp": marker, **named, **args}
