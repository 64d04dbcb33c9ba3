/** The visitors view: choose a system and a person, and watch their thread grow. */

import { read } from "./ask.js";
import { byId, say, show } from "./dom.js";
import { keyOf, PeopleList } from "./people.js";
import { calledBy } from "./person.js";
import { inAddress, keepRoute, personRoute } from "./route.js";
import { Timeline } from "./timeline.js";
import { systemName } from "./words.js";

const KNOWN_SYSTEMS = ["sitecore", "customerio", "datalyr"];
const AT_MOST_EVERY = 1000; // ms
const FIRST_WORDS =
    "A thread begins with somebody’s first event: dotted while nobody knows who it is, solid once they say so.";
const WIDE = matchMedia("(min-width: 56.01rem)");

export class Visitors {
    constructor({ open, announce }) {
        this._announce = announce;
        this._system = "sitecore";
        this._chosen = null; // { kind: "user" | "browser" | "any", id }
        this._limit = 100;
        this._people = null;
        this._seen = new Set(); // systems with messages
        this._isDue = false;
        this._next = 0;
        this._focus = null; // what is to have the focus once it is there, where the view changes as a whole
        this._asked = 0; // so that a late answer to an old question is not shown
        this._list = new PeopleList(byId("people"), (person) => this._choose(person));
        this._timeline = new Timeline({ open });
        byId("people-systems").addEventListener("change", (event) => this._turnTo(event.target.value));
        byId("people-text").addEventListener("input", () => this._showPeople());
        byId("people-more").addEventListener("click", () => this._more());
        byId("person-back").addEventListener("click", () => {
            const { kind, id } = this._chosen;
            this._focus = () => byId("people").querySelector(`[data-person="${CSS.escape(`${kind}:${id}`)}"]`);
        });
        WIDE.addEventListener("change", () => this._isVisible && this._showAll());
    }

    get _isVisible() {
        return !byId("view-visitors").hidden;
    }

    /** The view has come into sight, at an address. */
    async enter([system, kind, ...id]) {
        if (this._seen.size === 0) await this._probe();
        if (system !== undefined) this._chosen = kind ? { kind, id: id.join("/") } : null;
        if (KNOWN_SYSTEMS.includes(system)) this._system = system;
        else if (system === "any") await this._lookEverywhere();
        else if (!this._seen.has(this._system)) this._system = [...this._seen][0] ?? this._system;
        if (system === undefined && !WIDE.matches) this._chosen = null;
        await this._refresh();
    }

    /** Something arrived. */
    grow(items) {
        const told = items.filter((item) => item.is_event && KNOWN_SYSTEMS.includes(item.system));
        for (const { system } of told) this._seen.add(system);
        if (told.some(({ system }) => system === this._system) || this._people === null) this._plan();
    }

    restart() {
        this._seen.clear();
        this._people = null;
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
        try {
            const people = await read(`people/${this._system}?limit=${this._limit}`);
            if (asked !== this._asked) return;
            this._people = people;
            this._showAll();
        } catch {
            this._plan(); // the connection's own notice says what is wrong
        }
        // Many people take their time; the page is not to be busy with this alone.
        this._next = Math.max(this._next, performance.now() + 3 * (performance.now() - begin));
    }

    /** Which systems have been told of anybody. */
    async _probe() {
        const found = KNOWN_SYSTEMS.map(async (system) => {
            const people = await read(`people/${system}?limit=1`).catch(() => null);
            if (people !== null && people.users.length + people.strangers.length > 0) this._seen.add(system);
        });
        await Promise.all(found);
    }

    async _lookEverywhere() {
        for (const system of KNOWN_SYSTEMS.filter((each) => this._seen.has(each))) {
            const people = await read(`people/${system}?limit=${this._limit}`).catch(() => null);
            if (people === null || this._find(people) === undefined) continue;
            this._system = system;
            return;
        }
    }

    _showAll() {
        const person = this._find(this._people);
        this._follow(person);
        this._showPeople();
        const chosen = this._find(this._people);
        byId("view-visitors").classList.toggle("has-person", this._chosen !== null);
        this._focus?.()?.focus({ preventScroll: true });
        this._focus = null;
        if (chosen === undefined) this._timeline.clear();
        else this._timeline.show(chosen, `${this._system} ${keyOf(chosen)}`);
        this._showEmpty(chosen === undefined);
    }

    /** What stands where a thread would be. */
    _showEmpty(isEmpty) {
        show(byId("person-empty"), isEmpty);
        if (this._chosen === null) {
            say(byId("person-empty-title"), "Nobody has passed by yet");
            say(byId("person-empty-text"), FIRST_WORDS);
        } else {
            const among = `the latest ${this._limit} that ${systemName(this._system)} was told of`;
            say(byId("person-empty-title"), "This one is not here");
            say(byId("person-empty-text"), `${this._chosen.id} is not among ${among}.`);
        }
    }

    /** A browser whose person is known since is that person; where nobody is chosen, the first is, if there is room. */
    _follow(person) {
        if (person === undefined) {
            if (this._chosen !== null || !WIDE.matches) return;
            person = this._people.users[0] ?? this._people.strangers[0];
            if (person === undefined) return;
        } else if (this._chosen.kind === "browser" && person.user_id !== null) {
            this._announce(`${this._chosen.id} is now known: ${calledBy(person)}`);
        }
        const [kind, id] = person.user_id === null ? ["browser", person.anonymous_ids[0]] : ["user", person.user_id];
        this._chosen = { kind, id };
        if (this._isVisible) keepRoute("visitors", [this._system, kind, id]);
    }

    _find({ users, strangers }) {
        if (this._chosen === null) return undefined;
        const { kind, id } = this._chosen;
        const isMeant = (other) => other !== null && inAddress(other) === inAddress(id);
        const isUser = (person) => kind !== "browser" && isMeant(person.user_id);
        const isBrowser = (person) => kind !== "user" && person.anonymous_ids.some(isMeant);
        return users.find(isUser) ?? strangers.find(isBrowser) ?? users.find(isBrowser);
    }

    _showPeople() {
        if (this._people === null) return;
        const { users, strangers, total_users: totalUsers, total_strangers: totalStrangers } = this._people;
        const chosen = this._find(this._people);
        this._list.show(this._people, byId("people-text").value, chosen && keyOf(chosen));
        show(byId("people-more"), users.length < totalUsers || strangers.length < totalStrangers);
        const isEmpty = users.length + strangers.length === 0;
        show(byId("people-empty"), isEmpty);
        say(byId("people-empty"), `${systemName(this._system)} has been told of nobody yet.`);
        this._showSystems();
    }

    _showSystems() {
        for (const radio of byId("people-systems").querySelectorAll("input")) {
            radio.checked = radio.value === this._system;
            show(radio.parentElement, this._seen.has(radio.value) || this._seen.size === 0 || radio.checked);
        }
    }

    _turnTo(system) {
        this._system = system;
        this._chosen = null;
        keepRoute("visitors", [system]);
        this._refresh();
    }

    _more() {
        this._limit *= 2;
        this._refresh();
    }

    _choose(person) {
        const [kind, id] = person.user_id === null ? ["browser", person.anonymous_ids[0]] : ["user", person.user_id];
        location.hash = personRoute(this._system, kind, id);
        if (!WIDE.matches) this._focus = () => byId("person");
    }
}
