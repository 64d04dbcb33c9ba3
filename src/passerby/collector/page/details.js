/** The panel with one request and its answer, as they were on the wire. */

import { outcomeOf } from "./arrivals.js";
import { read } from "./api.js";
import { byId, make, say } from "./dom.js";
import { bodyBlock, parse, valueBlock } from "./json.js";
import { personRoute } from "./route.js";
import { answerOf, chip } from "./row.js";
import { duration, exactly, systemName } from "./words.js";

const OVER_IT = "dialog:modal, :popover-open"; // what Escape closes first
const NARROW = matchMedia("(max-width: 56rem)");

export class Details {
    /** `onShow(number, position)` hears what is open; number null when nothing is. */
    constructor({ find, onShow }) {
        this._find = find;
        this._onShow = onShow;
        this._panel = byId("details");
        this._asking = null;
        this._from = null; // what had the focus
        byId("details-close").addEventListener("click", () => this.close());
        this._panel.addEventListener("close", () => this._closed());
        document.addEventListener("keydown", (event) => {
            if (event.key === "Escape" && !event.defaultPrevented && !document.querySelector(OVER_IT)) this.close();
        });
        NARROW.addEventListener("change", () => this._panel.open && this._reopen());
    }

    get isOpen() {
        return this._panel.open;
    }

    /** Show a request, with the event at a position of it first. */
    async open(number, position) {
        if (!this._panel.open) this._from = document.activeElement;
        this._asking?.abort();
        this._asking = new AbortController();
        const { signal } = this._asking;
        this._onShow(number, position);
        this._show(`Request ${number}`, [make("p", { class: "soft", text: "One moment…" })]);
        try {
            const request = await read(`requests/${number}`, signal);
            const item = this._find(number, position);
            this._show(item ? item.type : `Request ${number}`, [...parts(request, item, position)]);
        } catch (error) {
            if (error.name === "AbortError") return;
            const text =
                error.status === 404 ? "This request has been forgotten." : `It cannot be read: ${error.message}`;
            this._show(`Request ${number}`, [make("p", { class: "problem", text })]);
        }
    }

    close() {
        if (this._panel.open) this._panel.close();
    }

    _show(title, children) {
        say(byId("details-title"), title);
        byId("details-body").replaceChildren(...children);
        byId("details-body").scrollTop = 0;
        if (this._panel.open) return;
        this._reveal();
        byId("details-title").focus({ preventScroll: true });
    }

    /** Beside the list where there is room for both; over everything on a phone. */
    _reveal() {
        document.body.classList.add("has-details");
        if (NARROW.matches) this._panel.showModal();
        else this._panel.show();
    }

    _reopen() {
        this._panel.close();
        this._reveal();
    }

    _closed() {
        if (this._panel.open) return; // it only changed its place
        this._asking?.abort();
        document.body.classList.remove("has-details");
        this._onShow(null, null);
        // The browser gives the focus back where it can; it may have moved on since.
        if (document.activeElement === document.body) this._from?.focus({ preventScroll: true });
    }
}

function* parts(request, item, position) {
    yield verdict(request, item);
    yield facts(request, item);
    const body = parse(request.body);
    const event = eventIn(request, body, position);
    if (event !== undefined) {
        yield make("h3", { text: "This event" });
        yield valueBlock(event);
    }
    yield make("h3", { text: "The request" });
    yield make("p", { class: "line" }, make("b", { text: request.method }), ` ${request.path}`);
    yield headers(request.headers);
    if (request.body) yield bodyBlock(request.body);
    yield make("h3", { text: "The response" });
    if (request.status === null) yield make("p", { class: "line", text: "None: the connection was reset." });
    else {
        yield make("p", { class: "line" }, make("b", { text: request.status }));
        yield headers(request.response?.headers ?? {});
        if (request.response?.body) yield bodyBlock(request.response.body);
    }
}

function verdict(request, item) {
    const { status, refusal } = item ?? request;
    const outcome = outcomeOf(item ?? request);
    if (outcome === "refused") {
        const title = make("b", { text: "The real service would refuse this" });
        return make("div", { class: "verdict is-refused" }, title, make("p", { text: refusal }));
    }
    if (outcome === "failed") {
        const answer = status === null ? "The connection was reset" : `Answered ${status}`;
        const text = `${answer} because a fault was set on the collector`;
        return make("div", { class: "verdict is-failed" }, make("b", { text }));
    }
    const text = item?.repeated ? "Accepted; repeated, it was accepted before" : "Accepted";
    return make("div", { class: "verdict" }, make("b", { text }));
}

function facts(request, item) {
    const list = make("dl", { class: "facts" });
    const add = (name, ...values) => list.append(make("dt", { text: name }), make("dd", {}, ...values));
    if (item) add("System", systemName(item.system));
    if (item?.summary) add("Summary", item.summary);
    const link = item && (item.visitor || item.user) ? threadLink(item, item.visitor ?? item.user) : "";
    if (item?.visitor) add("Visitor", chip(item.visitor, { known: Boolean(item.user) }));
    if (item?.guest) add("Guest", make("code", { text: item.guest }));
    if (item?.is_bot) add("Bot", "Sitecore counts this as a bot's");
    if (item?.site) add("Site", item.site);
    if (item?.user) add("User", make("code", { text: item.user }));
    if (link) add("Thread", link);
    add("Arrived", exactly(request.time));
    if (item?.occurred_at !== null && item?.occurred_at !== undefined) add("Happened", occurredText(item, request));
    if (item?.id) add("Event ID", make("code", { text: item.id }));
    add("Request", `number ${request.number}${item ? `, response ${answerOf(item)}` : ""}`);
    return list;
}

function occurredText(item, request) {
    const lag = request.time - item.occurred_at;
    const difference = lag > 0 ? `, ${duration(lag)} before` : `, ${duration(-lag)} after, by its clock`;
    return `${exactly(item.occurred_at)}${Math.abs(lag) < 0.001 ? "" : difference}`;
}

function threadLink(item, id) {
    return item.system === "other"
        ? ""
        : make("a", { href: personRoute(item.system, "any", id), text: "see the timeline" });
}

/** The event that is meant, where a request holds several, or holds it in its address. */
function eventIn(request, body, position) {
    const batch = body?.batch ?? body?.events;
    if (Array.isArray(batch)) return batch.length > 1 ? batch[position] : undefined;
    const query = request.path.includes("?")
        ? new URLSearchParams(request.path.slice(request.path.indexOf("?")))
        : null;
    const message = query?.get("message");
    return message ? parse(message) : undefined;
}

function headers(values) {
    const list = make("dl", { class: "facts facts-headers" });
    for (const [name, value] of Object.entries(values)) {
        list.append(make("dt", { text: name }), make("dd", {}, make("code", { text: value })));
    }
    return make("details", { class: "headers" }, make("summary", { text: "Headers" }), list);
}
