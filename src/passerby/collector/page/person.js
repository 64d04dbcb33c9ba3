/** Who somebody is, as far as it is known. */

import { make } from "./dom.js";
import { writeRoute } from "./route.js";
import { chip } from "./row.js";
import { emailOf, many, nameOf, shortId } from "./words.js";

/** What a person is called: a name, an email, or an ID. */
export function calledBy({ traits, user_id: userId, anonymous_ids: anonymousIds }) {
    return nameOf(traits) ?? emailOf(traits) ?? userId ?? shortId(anonymousIds[0] || "nobody");
}

/** What stands above a person's timeline. */
export function head(person) {
    const isKnown = person.user_id !== null;
    const name = isKnown ? calledBy(person) : "Not yet known";
    const lines = new Set([emailOf(person.traits), person.user_id].filter((line) => line && line !== name));
    const box = make("div", { class: "head" }, make("h2", { id: "person-name", text: name }));
    for (const text of lines) box.append(make("p", { class: "head-line", text }));
    box.append(devices(person, isKnown));
    if (Object.keys(person.traits).length > 0) box.append(traits(person.traits));
    return box;
}

function devices({ anonymous_ids: anonymousIds, events }, known) {
    const ids = anonymousIds.filter(Boolean);
    const line = make("p", { class: "head-devices" }, `${many(ids.length, "device")}, ${many(events, "event")}`);
    for (const id of ids) {
        const href = writeRoute("stream", [], { visitor: id });
        line.append(" ", chip(id, { tag: "a", href, known, "aria-label": `${id}, show in the stream` }));
    }
    return line;
}

function traits(values) {
    const list = make("dl", { class: "facts" });
    for (const [name, value] of Object.entries(values)) {
        const text = typeof value === "string" ? value : JSON.stringify(value);
        list.append(make("dt", { text: name }), make("dd", { text }));
    }
    const summary = make("summary", { text: `What is known (${Object.keys(values).length})` });
    return make("details", { class: "traits" }, summary, list);
}
