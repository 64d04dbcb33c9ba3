/** The outbox's ledger, drawn as the equation that it is: recorded = delivered + waiting + dead + dropped. */

import { make } from "./dom.js";
import { duration, many, number } from "./words.js";

/** The ledger of one destination. */
export function ledger(name, figures) {
    const terms = termsOf(figures);
    const problem = imbalance(figures, terms);
    return make(
        "section",
        { class: "ledger", data: { destination: name } },
        make("h3", { text: name }),
        equation(figures.recorded, terms),
        figures.recorded === null ? null : bar(terms), // a part of an unknown whole is no share
        make(
            "div",
            { class: "ledger-facts" },
            make("p", { text: facts(figures) }),
            reasons(figures.dropped),
            problem === null ? null : make("p", { class: "problem", text: problem }),
        ),
    );
}

function termsOf({ delivered, pending, dead, dropped }) {
    return [
        { name: "delivered", value: delivered },
        { name: "pending", value: pending },
        { name: "dead", value: dead },
        { name: "dropped", value: sum(dropped) },
    ];
}

function equation(recorded, terms) {
    const line = make("div", { class: "equation" }, term("recorded", recorded));
    terms.forEach(({ name, value }, index) => {
        const sign = make("span", { class: "sign", text: index === 0 ? "=" : "+" });
        line.append(" ", make("span", { class: "term-signed" }, sign, " ", term(name, value)));
    });
    return line;
}

function term(name, value) {
    const isUnknown = value === null || value === undefined;
    const shown = make("span", { class: "term-value", text: isUnknown ? "?" : number(value) });
    const data = { term: name, zero: value === 0 ? "" : undefined };
    return make("span", { class: "term", data }, shown, " ", make("span", { class: "term-name", text: name }));
}

/** Each term's share; what there is at all is at least seen. */
function bar(terms) {
    const box = make("div", { class: "shares", "aria-hidden": "true" });
    for (const { name, value } of terms) {
        if (!value) continue;
        const part = make("span", { class: "share", data: { term: name } });
        part.style.setProperty("flex-grow", value);
        box.append(part);
    }
    return box;
}

function facts({ recorded, pending, held, retries, breaker, oldest }) {
    return [
        held ? `${number(held)} of the pending ${held === 1 ? "is" : "are"} held in event queues` : null,
        pending === 0 ? "nothing is waiting" : null,
        oldest === null || oldest === undefined ? null : `the oldest has waited for ${duration(oldest)}`,
        retries === null || retries === undefined ? null : retries === 1 ? "1 retry" : `${number(retries)} retries`,
        breaker ? `the breaker is ${breaker}${breaker === "open" ? ": it does not answer" : ""}` : null,
        recorded === null ? "the rest only the app itself knows" : null,
    ]
        .filter(Boolean)
        .join(", ");
}

function reasons(dropped) {
    const all = Object.entries(dropped ?? {}).filter(([, value]) => value > 0);
    if (all.length === 0) return null;
    return make("p", { text: `dropped: ${all.map(([reason, value]) => `${number(value)} ${reason}`).join(", ")}` });
}

function imbalance({ recorded }, terms) {
    const values = [recorded, ...terms.map(({ value }) => value)];
    if (values.some((value) => value === null || value === undefined)) return null;
    const difference = values.slice(1).reduce((rest, value) => rest - value, recorded);
    if (difference === 0) return null;
    return `${many(Math.abs(difference), "event")} ${difference > 0 ? "unaccounted for" : "too many"} at this moment`;
}

function sum(dropped) {
    if (dropped === null || dropped === undefined) return null;
    return Object.values(dropped).reduce((total, value) => total + value, 0);
}
