/** The controls that set and clear faults, and the strip that shows active ones. */

import { order } from "./api.js";
import { byId, say, show } from "./dom.js";
import { duration } from "./words.js";

const ORDERS = {
    503: { status: 503 },
    429: { status: 429, headers: { "Retry-After": "3" } },
    slow: { status: null, delay: 2 },
    reset: { reset: true },
};
const ROUTES = { all: ["all"], sitecore: ["events", "create"], customerio: ["pipelines"], datalyr: ["datalyr"] };
const OWNERS = {
    events: "Sitecore",
    create: "Sitecore",
    show: "Sitecore",
    callflows: "Sitecore",
    personalize: "Sitecore",
    cdn: "Sitecore",
    pipelines: "Customer.io",
    datalyr: "Datalyr",
};

export class FaultControls {
    /** `announce(text)` sends a text to screen readers. */
    constructor({ announce }) {
        this._announce = announce;
        this._shownText = "";
        byId("faults-form").addEventListener("submit", (event) => {
            event.preventDefault();
            this._start();
        });
        byId("faults-clear").addEventListener("click", () => this._end());
    }

    /** Show which routes have faults. */
    update({ faults }) {
        const text = describe(faults ?? []);
        if (text === this._shownText) return;
        this._announce(text === "" ? "Faults cleared" : `Faults active: ${text}`);
        this._shownText = text;
        say(byId("faults-active-text"), text);
        const hadFocus = document.activeElement === byId("faults-clear");
        show(byId("faults-active"), text !== "");
        document.body.classList.toggle("has-faults", text !== "");
        if (hadFocus && text === "") byId("faults").focus();
    }

    async _start() {
        const kind = new FormData(byId("faults-form")).get("fault-kind");
        try {
            for (const route of ROUTES[byId("fault-system").value]) {
                await order("faults", "POST", { route, ...ORDERS[kind] });
            }
            show(byId("fault-problem"), false);
            byId("faults-panel").hidePopover();
        } catch (error) {
            say(byId("fault-problem"), `The request failed: ${error.message}`);
            show(byId("fault-problem"), true);
        }
    }

    async _end() {
        try {
            await order("faults", "DELETE");
        } catch (error) {
            this._announce(`The request failed: ${error.message}`);
        }
    }
}

/** 503 from Sitecore and Datalyr; 2.0 s late from Customer.io */
function describe(faults) {
    const owners = new Map();
    for (const each of faults) {
        const what = faultText(each);
        owners.set(what, (owners.get(what) ?? new Set()).add(OWNERS[each.route] ?? "other paths"));
    }
    return [...owners].map(([what, whose]) => `${what} from ${named([...whose])}`).join("; ");
}

function named(owners) {
    if (owners.length === 4) return "all systems";
    return owners.length < 2 ? owners.join("") : `${owners.slice(0, -1).join(", ")} and ${owners.at(-1)}`;
}

function faultText({ status, reset, delay }) {
    if (reset) return "connection resets";
    const response = status === null || status === undefined ? "responses" : `status ${status}`;
    return delay > 0 ? `${response} ${duration(delay)} late` : response;
}
