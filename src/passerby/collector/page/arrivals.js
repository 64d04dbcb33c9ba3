/** The received items, newest last, and which of them match a filter. */

const MOST = 20_000; // items; some 15 MB
const SLACK = 2_000; // removed at once, so that most additions move nothing
const MOST_TYPES = 200; // in the filter; an app may invent a type for each event

export class Arrivals {
    constructor() {
        this.clear();
    }

    clear() {
        this.items = [];
        this.begin = 0; // the place of the first item among all that ever arrived
        this.types = new Set();
    }

    /** One above the place of the newest. */
    get end() {
        return this.begin + this.items.length;
    }

    at(place) {
        return this.items[place - this.begin];
    }

    add(items) {
        for (const item of items) {
            this.items.push(item);
            if (this.types.size < MOST_TYPES) this.types.add(item.type);
        }
        if (this.items.length > MOST + SLACK) {
            const surplus = this.items.length - MOST;
            this.items.splice(0, surplus);
            this.begin += surplus;
        }
    }

    /** How many in [from, to) pass the filter. */
    count(filter, from = this.begin, to = this.end) {
        let found = 0;
        for (let place = Math.max(from, this.begin); place < to; place++) found += filter(this.at(place)) ? 1 : 0;
        return found;
    }

    /** The places of the newest `limit` in [from, to) that pass the filter, newest first. */
    newest(filter, limit, from = this.begin, to = this.end) {
        const found = [];
        for (let place = to - 1; place >= Math.max(from, this.begin) && found.length < limit; place--) {
            if (filter(this.at(place))) found.push(place);
        }
        return found;
    }
}

/** The outcome of an item: accepted, refused, or failed because a fault was set on the collector. */
export function outcomeOf({ is_failed, status, refusal }) {
    if (is_failed) return "failed";
    if (refusal !== null) return "refused";
    return status >= 400 ? "failed" : "accepted";
}

/** A filter out of { text, visitor, system, type, outcome }, each empty where all is wanted. */
export function makeFilter({ text = "", visitor = "", system = "", type = "", outcome = "" }) {
    const words = text.toLowerCase().split(/\s+/).filter(Boolean);
    const who = visitor.trim().toLowerCase();
    return (item) =>
        (!system || item.system === system) &&
        (!type || item.type === type) &&
        (!outcome || (outcome === "repeated" ? item.repeated : outcomeOf(item) === outcome)) &&
        (!who || holds(item.visitor, who) || holds(item.user, who)) &&
        (words.length === 0 || includesAll(item, words));
}

function includesAll(item, words) {
    const { type, summary, system, visitor, user, id, refusal, status, site, guest, is_bot: isBot } = item;
    const texts = [type, summary, system, visitor, user, id, refusal, status ?? "reset", site, guest, isBot ? "bot" : ""];
    const text = texts.join(" ").toLowerCase();
    return words.every((word) => text.includes(word));
}

function holds(id, who) {
    return id !== null && id !== undefined && id.toLowerCase().includes(who);
}
