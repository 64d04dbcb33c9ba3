/** The known facts of a person. */

import { make } from "./dom.js";
import { writeRoute } from "./route.js";
import { chip } from "./row.js";
import { many, number, shortId } from "./words.js";

/** What identifies a person: the user ID, or the browser ID of an anonymous visitor. */
export const idOf = (person) =>
    person.user_id === null ? ["browser", person.anonymous_ids[0]] : ["user", person.user_id];

/** What a person is called: a name, an email, or an ID. */
export function calledBy({ name, email, user_id: userId, anonymous_ids: anonymousIds }) {
    return name ?? email ?? userId ?? shortId(anonymousIds[0] || "no ID");
}

/** The head of a person. */
export function head(person) {
    const isKnown = person.user_id !== null;
    const name = isKnown ? calledBy(person) : person.is_bot ? "Bot" : "Anonymous";
    const lines = new Set([person.email, person.user_id].filter((line) => line && line !== name));
    const box = make("div", { class: "head" }, make("h2", { id: "person-name", text: name }));
    for (const text of lines) box.append(make("p", { class: "head-line", text }));
    box.append(devices(person, isKnown));
    if (person.guest_ids.length > 0 || person.sites.length > 0) box.append(atSitecore(person));
    if (Object.keys(person.traits).length > 0) box.append(traits(person.traits));
    return box;
}

function devices({ anonymous_ids: anonymousIds, devices: count, events }, known) {
    const ids = anonymousIds.filter(Boolean);
    const line = make("p", { class: "head-devices" }, `${many(count, "device")}, ${many(events, "event")}`);
    if (ids.length < count) line.append(", ", `the latest ${number(ids.length)} devices:`);
    for (const id of ids) {
        const href = writeRoute("stream", [], { visitor: id });
        line.append(" ", chip(id, { tag: "a", href, known, "aria-label": `${id}, show in the stream` }));
    }
    return line;
}

function atSitecore({ guest_ids: guestIds, sites }) {
    const list = make("dl", { class: "facts", id: "person-facts" });
    for (const id of guestIds) list.append(make("dt", { text: "Guest" }), make("dd", {}, make("code", { text: id })));
    for (const site of sites) list.append(make("dt", { text: "Site" }), make("dd", { text: site }));
    return list;
}

function traits(values) {
    const list = make("dl", { class: "facts" });
    for (const [name, value] of Object.entries(values)) {
        const text = typeof value === "string" ? value : JSON.stringify(value);
        list.append(make("dt", { text: name }), make("dd", { text }));
    }
    const summary = make("summary", { text: `Traits (${Object.keys(values).length})` });
    return make("details", { class: "traits" }, summary, list);
}
