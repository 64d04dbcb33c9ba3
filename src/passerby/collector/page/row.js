/** One line of the stream. */

import { outcomeOf } from "./arrivals.js";
import { make } from "./dom.js";
import { duration, exactly, hueOf, shortId, systemName, when } from "./words.js";

// The purpose of requests without an event, by route.
const PURPOSES = {
    create: "a new browser ID",
    show: "the guest of a browser ID",
    callflows: "a personalisation",
    personalize: "a personalisation",
    cdn: "the address of the personalisation script",
};
const LATE = 60; // seconds between an event's own time and its arrival that are worth a word

/** A visitor as a small coloured mark; solid if identified. */
export function chip(id, { known = false, ...settings } = {}) {
    const { tag = "span", ...rest } = settings;
    const title = known ? `${id}, identified` : `${id}, anonymous`;
    const look = { class: known ? "chip is-known" : "chip", hue: hueOf(id), title, ...rest };
    return make(
        tag,
        look,
        make("span", { class: "chip-dot" }),
        make("span", { class: "chip-text", text: shortId(id) }),
    );
}

// Cloned for each line: half the cost of making the parts one by one.
const pattern = make(
    "li",
    { class: "row" },
    make("time", { class: "when" }),
    make("span", { class: "system" }),
    make("span", { class: "type" }),
    make("span", { class: "who" }),
    make("span", { class: "what" }, make("button", { class: "row-summary", type: "button", tabindex: "-1" })),
    make("span", { class: "answer" }),
);

/** The line of an item. */
export function makeRow(item, place) {
    const row = pattern.cloneNode(true);
    const [time, system, type, who, what, answer] = row.children;
    row.dataset.number = item.number;
    row.dataset.position = item.position;
    row.dataset.place = place;
    row.dataset.outcome = outcomeOf(item);
    if (item.repeated) row.dataset.repeated = "";
    time.textContent = when(item.time);
    time.title = exactly(item.time);
    system.textContent = systemName(item.system);
    if (item.site) system.title = `site ${item.site}`;
    type.textContent = type.title = item.type;
    fillWho(who, item);
    fillWhat(what, item);
    answer.textContent = answerOf(item);
    return row;
}

/** The status of the response, as text. */
export function answerOf(item) {
    if (item.status === null) return "reset";
    return outcomeOf(item) === "refused" && item.status < 400 ? `${item.status}, ignored` : String(item.status);
}

function fillWho(who, item) {
    const id = item.visitor ?? item.user;
    if (id === null || id === undefined) return;
    const title = item.user ? `${id}, sent with user ID ${item.user}` : `${id}, sent without a user ID`;
    const looks = { known: Boolean(item.user), title, "aria-label": `Only visitor ${id}` };
    who.append(chip(id, { tag: "button", type: "button", tabindex: "-1", data: { visitor: id }, ...looks }));
}

function fillWhat(what, item) {
    const summary = what.firstElementChild;
    summary.textContent = item.summary || PURPOSES[item.type] || item.type;
    if (outcomeOf(item) === "refused") what.append(make("span", { class: "refusal", text: item.refusal }));
    if (item.is_bot) what.append(botTag());
    if (item.repeated) what.append(tag("repeated", "This event was accepted before"));
    if (item.occurred_at !== null && item.time - item.occurred_at > LATE) {
        what.append(tag(`${duration(item.time - item.occurred_at)} late`, `It happened ${exactly(item.occurred_at)}`));
    }
}

/** The label of what a bot did. */
export const botTag = () => tag("bot", "Sitecore counts this as a bot's");

/** A small label. */
export function tag(text, title) {
    return make("span", { class: "tag", text, title });
}
