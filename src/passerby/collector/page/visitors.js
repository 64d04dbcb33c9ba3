/** The visitors view: choose a system and a person, and see their timeline. */

import { read } from "./api.js";
import { byId, say, show } from "./dom.js";
import { keyOf, PeopleList } from "./people.js";
import { calledBy, idOf } from "./person.js";
import { keepRoute, personRoute } from "./route.js";
import { Timeline } from "./timeline.js";
import { systemName } from "./words.js";

const KNOWN_SYSTEMS = ["sitecore", "customerio", "datalyr"];
const KINDS = ["user", "browser", "any"]; // of IDs
const AT_MOST_EVERY = 1000; // ms
const TYPING = 150; // ms after the last letter until it is looked for
const MOST_PEOPLE = 1000; // of each kind, as the collector lists at most
const ENTRIES = 500; // of a timeline at first
const MOST_ENTRIES = 2000; // as many as a page shows with ease
const FIRST_WORDS =
    "A thread starts with the first event of a visitor: dotted while anonymous, solid once identified.";
const WIDE = matchMedia("(min-width: 56.01rem)");

export class Visitors {
    constructor({ open, announce }) {
        this._announce = announce;
        this._system = "sitecore";
        this._wanted = null; // the system that is to be shown; "any": where the one who is chosen is
        this._chosen = null; // { kind: "user" | "browser" | "any", id }
        this._limit = 100;
        this._entries = ENTRIES;
        this._people = null;
        this._person = null;
        this._seen = new Set(); // systems with messages
        this._isProbed = false;
        this._isDue = false;
        this._next = 0;
        this._typing = null;
        this._focus = null; // what is to have the focus once it is there, where the view changes as a whole
        this._asked = 0; // so that a late answer to an old question is not shown
        this._list = new PeopleList(byId("people"), (person) => this._choose(person));
        this._timeline = new Timeline({ open, onEarlier: () => this._showEarlier() });
        byId("people-systems").addEventListener("change", (event) => this._turnTo(event.target.value));
        byId("people-text").addEventListener("input", () => this._search());
        byId("people-more").addEventListener("click", () => this._more());
        byId("person-back").addEventListener("click", () => {
            const { kind, id } = this._chosen;
            this._focus = () => byId("people").querySelector(`[data-person="${CSS.escape(`${kind}:${id}`)}"]`);
        });
        WIDE.addEventListener("change", () => this._isVisible && this._refresh());
    }

    get _isVisible() {
        return !byId("view-visitors").hidden;
    }

    get _text() {
        return byId("people-text").value.trim();
    }

    /** Show the view, at an address. */
    async enter([system, kind, ...id]) {
        if (system !== undefined) this._chosen = kind ? { kind, id: id.join("/") } : null;
        else if (!WIDE.matches) this._chosen = null;
        this._wanted = system;
        this._entries = ENTRIES;
        await this._refresh();
    }

    /** Items arrived. */
    grow(items) {
        const events = items.filter((item) => item.is_event && KNOWN_SYSTEMS.includes(item.system));
        for (const { system } of events) this._seen.add(system);
        if (events.some(({ system }) => system === this._system) || this._people === null) this._plan();
    }

    restart() {
        this._asked++; // responses under way are out of date
        this._seen.clear();
        this._isProbed = false;
        this._people = this._person = null;
        this._chosen = null;
        this._timeline.clear();
        if (this._isVisible) keepRoute("visitors");
        this._plan();
    }

    _plan() {
        if (this._isDue) return;
        this._isDue = true;
        setTimeout(() => this._isVisible && this._refresh(), Math.max(0, this._next - performance.now()));
    }

    async _refresh() {
        this._isDue = false;
        const begin = performance.now();
        this._next = begin + AT_MOST_EVERY;
        const asked = ++this._asked;
        const { hash } = location;
        try {
            const found = await this._ask();
            if (asked !== this._asked || hash !== location.hash) return; // another page is being opened
            Object.assign(this, found);
            this._wanted = this._system;
            this._showAll();
        } catch {
            this._plan(); // the notice of the connection shows the error
        }
        // Many people take their time; the page is not to be busy with this alone.
        this._next = Math.max(this._next, performance.now() + 3 * (performance.now() - begin));
    }

    /** All that is to be shown: of which system, who there is, and the one who is chosen. */
    async _ask() {
        const chosen = this._chosen;
        if (!this._isProbed) await this._probe();
        const system = KNOWN_SYSTEMS.includes(this._wanted) ? this._wanted : await this._findSystem(chosen);
        const [people, person] = await Promise.all([
            this._readPeople(system, this._limit, this._text),
            chosen === null ? null : this._readPerson(system, chosen, this._entries),
        ]);
        // Without a choice the first person is shown, if there is room.
        const first = chosen === null && WIDE.matches ? (people.users[0] ?? people.anonymous[0]) : undefined;
        if (first === undefined) return { _system: system, _people: people, _person: person };
        const [kind, id] = idOf(first);
        return { _system: system, _people: people, _person: await this._readPerson(system, { kind, id }, ENTRIES) };
    }

    _readPeople(system, limit, text = "") {
        return read(`people/${system}?${new URLSearchParams({ limit, text })}`);
    }

    /** Null if there is no person with this ID. */
    async _readPerson(system, { kind, id }, limit) {
        const name = KINDS.includes(kind) ? kind : "any";
        return (await read(`person/${system}?${new URLSearchParams({ [name]: id, limit })}`)).person;
    }

    /** Find out which systems have people. */
    async _probe() {
        const found = KNOWN_SYSTEMS.map(async (system) => {
            const { users, anonymous } = await this._readPeople(system, 1);
            if (users.length + anonymous.length > 0) this._seen.add(system);
        });
        await Promise.all(found);
        this._isProbed = true;
    }

    /** The system that knows the chosen person, if any may be shown; else one that has people. */
    async _findSystem(chosen) {
        const seen = KNOWN_SYSTEMS.filter((each) => this._seen.has(each));
        for (const system of chosen !== null && this._wanted === "any" ? seen : []) {
            if ((await this._readPerson(system, chosen, 1)) !== null) return system;
        }
        return seen.includes(this._system) ? this._system : (seen[0] ?? this._system);
    }

    _showAll() {
        const { _person: person } = this;
        if (person !== null) this._follow(person);
        this._showPeople();
        byId("view-visitors").classList.toggle("has-person", this._chosen !== null);
        this._focus?.()?.focus({ preventScroll: true });
        this._focus = null;
        if (person === null) this._timeline.clear();
        else this._timeline.show(person, `${this._system} ${keyOf(person)}`);
        this._showEmpty(person === null);
    }

    /** Shown instead of a timeline. */
    _showEmpty(isEmpty) {
        show(byId("person-empty"), isEmpty);
        if (this._chosen === null) {
            say(byId("person-empty-title"), "No visitors yet");
            say(byId("person-empty-text"), FIRST_WORDS);
        } else {
            say(byId("person-empty-title"), "Not found");
            const text = `${systemName(this._system)} has no person with the ID ${this._chosen.id}.`;
            say(byId("person-empty-text"), text);
        }
    }

    /** A browser that was identified is shown as that person. */
    _follow(person) {
        const [kind, id] = idOf(person);
        if (this._chosen?.kind === "browser" && kind === "user") {
            this._announce(`${this._chosen.id} is now identified: ${calledBy(person)}`);
        }
        this._chosen = { kind, id };
        if (this._isVisible) keepRoute("visitors", [this._system, kind, id]);
    }

    _showPeople() {
        const { users, anonymous, total_users: totalUsers, total_anonymous: totalAnonymous } = this._people;
        this._list.show(this._people, this._person && keyOf(this._person));
        const isCut = users.length < totalUsers || anonymous.length < totalAnonymous;
        show(byId("people-more"), isCut && this._limit < MOST_PEOPLE);
        show(byId("people-empty"), users.length + anonymous.length === 0);
        const none = `${systemName(this._system)} has no people yet.`;
        say(byId("people-empty"), this._text ? "No name, email or ID contains this." : none);
        this._showSystems();
    }

    _showSystems() {
        for (const radio of byId("people-systems").querySelectorAll("input")) {
            radio.checked = radio.value === this._system;
            show(radio.parentElement, this._seen.has(radio.value) || this._seen.size === 0 || radio.checked);
        }
    }

    _turnTo(system) {
        this._system = this._wanted = system;
        this._chosen = null;
        keepRoute("visitors", [system]);
        this._refresh();
    }

    _search() {
        clearTimeout(this._typing);
        this._typing = setTimeout(() => this._refresh(), TYPING);
    }

    _more() {
        this._limit = Math.min(2 * this._limit, MOST_PEOPLE);
        this._refresh();
    }

    _showEarlier() {
        this._entries = MOST_ENTRIES;
        this._refresh();
    }

    _choose(person) {
        const [kind, id] = idOf(person);
        location.hash = personRoute(this._system, kind, id);
        if (!WIDE.matches) this._focus = () => byId("person");
    }
}
