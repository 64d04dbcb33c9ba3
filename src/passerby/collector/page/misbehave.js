/** The switch that makes the collector misbehave, and what tells that it does. */

import { order } from "./ask.js";
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
    pipelines: "Customer.io",
    datalyr: "Datalyr",
};

export class Misbehave {
    /** `announce(text)` says something aloud. */
    constructor({ announce }) {
        this._announce = announce;
        this._said = "";
        byId("misbehave-form").addEventListener("submit", (event) => {
            event.preventDefault();
            this._start();
        });
        byId("behave").addEventListener("click", () => this._end());
    }

    /** Show which routes misbehave. */
    feel({ misbehaving }) {
        const text = describe(misbehaving ?? []);
        if (text === this._said) return;
        this._announce(text === "" ? "The collector behaves again" : `The collector misbehaves: ${text}`);
        this._said = text;
        say(byId("misbehaving-text"), text);
        const hadFocus = document.activeElement === byId("behave");
        show(byId("misbehaving"), text !== "");
        document.body.classList.toggle("is-misbehaving", text !== "");
        if (hadFocus && text === "") byId("misbehave").focus();
    }

    async _start() {
        const kind = new FormData(byId("misbehave-form")).get("misbehave-kind");
        try {
            for (const route of ROUTES[byId("misbehave-system").value]) {
                await order("misbehave", "POST", { route, ...ORDERS[kind] });
            }
            show(byId("misbehave-problem"), false);
            byId("misbehave-panel").hidePopover();
        } catch (error) {
            say(byId("misbehave-problem"), `It did not take the order: ${error.message}`);
            show(byId("misbehave-problem"), true);
        }
    }

    async _end() {
        try {
            await order("misbehave", "DELETE");
        } catch (error) {
            this._announce(`It did not take the order: ${error.message}`);
        }
    }
}

/** 503 from Sitecore and Datalyr; 2.0 s late from Customer.io */
function describe(misbehaving) {
    const owners = new Map();
    for (const each of misbehaving) {
        const what = wayOf(each);
        owners.set(what, (owners.get(what) ?? new Set()).add(OWNERS[each.route] ?? "everything else"));
    }
    return [...owners].map(([what, whose]) => `${what} from ${named([...whose])}`).join("; ");
}

function named(owners) {
    if (owners.length === 4) return "everyone";
    return owners.length < 2 ? owners.join("") : `${owners.slice(0, -1).join(", ")} and ${owners.at(-1)}`;
}

function wayOf({ status, reset, delay }) {
    if (reset) return "connections cut";
    const answer = status === null || status === undefined ? "answers" : `answers of ${status}`;
    return delay > 0 ? `${answer} ${duration(delay)} late` : answer;
}
