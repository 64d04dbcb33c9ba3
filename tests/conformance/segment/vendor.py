"""The vendor's package: it does what a case says."""

from __future__ import annotations

import logging
import warnings

from ..case import JSON
from ..customerio.case import Case
from ..customerio.values import decode
from ..customerio.vendor import LONGEST


class SegmentPackage:
    """`segment-analytics-python`, in this process and in sync mode."""

    def run(self, case: Case, line: JSON, host: str) -> JSON:
        from segment.analytics.client import Client  # its import is a step of the test that needs it

        logging.getLogger("segment").setLevel(logging.CRITICAL)
        args = decode(line["args"])
        try:
            with warnings.catch_warnings(action="ignore"):
                client = Client(case.write_key, host=host, sync_mode=True, gzip=case.uses_gzip)
                returned = [getattr(client, case.call)(**args)[0]]
        except Exception as error:
            said = str(error)
            cut = {"threw_cut": True} if len(said) > LONGEST else {}
            return {"threw": said[:LONGEST], "error_name": type(error).__name__, **cut}
        after = {"caller_context_after": args["context"]} if args.get("context") else {}
        return {"threw": None, "returned": returned[0], **after}
