/** The list of the people of a system: identified users and anonymous browsers. */

import { arrange, make, say, show } from "./dom.js";
import { rove } from "./roving.js";
import { calledBy, idOf } from "./person.js";
import { ago, hueOf, many, number } from "./words.js";

/** An ID and of what it is, in one text. */
export const keyOf = (person) => idOf(person).join(":");

export class PeopleList {
    /** `choose(person)` is called with who was clicked. */
    constructor(box, choose) {
        this._box = box;
        this._people = new Map();
        this._known = group("Identified");
        this._unknown = group("Anonymous");
        box.append(this._known.box, this._unknown.box);
        this._roving = rove(box, { rows: "[data-person]", first: "[data-person]" });
        box.addEventListener("click", (event) => {
            const button = event.target.closest("[data-person]");
            if (button !== null) choose(this._people.get(button.dataset.person));
        });
        setInterval(() => this._updateTimes(), 5000);
    }

    /** Show people; the one with the chosen key is marked. */
    show({ users, anonymous, total_users: totalUsers, total_anonymous: totalAnonymous }, chosen) {
        this._people = new Map([...users, ...anonymous].map((person) => [keyOf(person), person]));
        this._fill(this._known, users, totalUsers);
        this._fill(this._unknown, anonymous, totalAnonymous);
        for (const button of this._box.querySelectorAll("[data-person]")) {
            if (button.dataset.person === chosen) button.setAttribute("aria-current", "true");
            else button.removeAttribute("aria-current");
        }
        this._updateTimes();
        this._roving.refresh();
    }

    _fill({ box, list, count }, people, total) {
        show(box, people.length > 0);
        say(count, people.length < total ? `${number(people.length)} of ${number(total)}` : number(total));
        const wanted = (person) => ({ key: keyOf(person), sign: signOf(person), make: () => item(person) });
        arrange(list, this._ordered(list, people).map(wanted));
    }

    /** Newest activity first; but nothing moves away from under the pointer. */
    _ordered(list, people) {
        if (!list.matches(":hover")) return people;
        const places = new Map(Array.from(list.children, (child, index) => [child.dataset.key, index]));
        return [...people].sort((one, other) => (places.get(keyOf(one)) ?? -1) - (places.get(keyOf(other)) ?? -1));
    }

    _updateTimes() {
        for (const time of this._box.querySelectorAll("[data-seen]")) {
            const person = this._people.get(time.dataset.seen);
            if (person !== undefined) say(time, person.last === null ? "not seen" : ago(person.last));
        }
    }
}

function group(name) {
    const list = make("ul", { class: "people-list" });
    const count = make("span", { class: "soft" });
    return {
        box: make("section", {}, make("h3", { class: "people-title", text: `${name} ` }, count), list),
        list,
        count,
    };
}

const signOf = ({ name, email, anonymous_ids: ids, devices, events, is_bot: isBot }) =>
    JSON.stringify([name, email, ids, devices, events, isBot]);

function item(person) {
    const key = keyOf(person);
    const isKnown = person.user_id !== null;
    const devices = person.anonymous_ids.filter(Boolean); // the latest
    const events = many(person.events, "event");
    const seen = isKnown ? `${many(person.devices, "device")}, ${events}` : events;
    const facts = person.is_bot ? `bot, ${seen}` : seen;
    const marks = make("span", { class: "person-marks" });
    const mark = isKnown ? "chip-dot is-known" : "chip-dot";
    for (const id of devices.slice(0, 4)) marks.append(make("span", { class: mark, hue: hueOf(id) }));
    return make(
        "li",
        {},
        make(
            "button",
            {
                class: `person-button${isKnown ? " is-known" : ""}`,
                type: "button",
                tabindex: "-1",
                data: { person: key },
            },
            marks,
            make("span", {
                class: "person-name",
                text: calledBy(person),
                title: isKnown ? person.user_id : devices[0],
            }),
            make("span", { class: "person-email", text: isKnown ? otherName(person) : "" }),
            make("span", { class: "person-facts" }, `${facts}, `, make("span", { data: { seen: key } })),
        ),
    );
}

function otherName(person) {
    const name = calledBy(person);
    return [person.email, person.user_id].find((each) => each && each !== name) ?? "";
}
