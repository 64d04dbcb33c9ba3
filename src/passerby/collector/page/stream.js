/** The stream: every event as it arrives, newest first, at most a few hundred lines of it in the page. */

import { byId, oncePerFrame, say, show } from "./dom.js";
import { Filters } from "./filters.js";
import { makeRow } from "./row.js";
import { rove } from "./roving.js";
import { many, number } from "./words.js";

const PAGE = 200; // lines at first, and with each "Older"
const NEAR_TOP = 24; // px scrolled that still count as being at the newest

export class Stream {
    /** `open(number, position)` shows a request; `announce(text)` sends a text to screen readers. */
    constructor(arrivals, { open, announce }) {
        this._arrivals = arrivals;
        this._announce = announce;
        this._rows = byId("stream-rows");
        this._scroller = byId("stream-scroll");
        this._limit = PAGE;
        this._shown = 0; // all below this place has been considered for the list
        this._matching = 0; // how many of those pass the filter
        this._begin = 0; // where the memory began when they were counted
        this._waiting = 0; // how many passing ones have come since
        this._waitingUpTo = 0;
        this._isPaused = false;
        this._isFresh = true; // the list is to be made anew
        this._open = { number: null, position: null }; // whose request is open
        this.filters = new Filters(() => this._refill());
        this._paint = oncePerFrame(() => this._draw());
        this._roving = rove(this._rows, { rows: ".row", first: ".row-summary", more: ".chip" });
        this._listen(open);
    }

    /** Items have been added to what has arrived. */
    grow() {
        this.filters.offer(this._arrivals.types);
        this._paint();
    }

    /** Everything was deleted. */
    restart() {
        this._limit = PAGE;
        this._refill();
    }

    /** Show the view, with or without a filter in its address. */
    enter(settings) {
        this.filters.enter(settings);
        this._paint();
    }

    mark(number, position) {
        this._open = { number, position };
        for (const row of this._rows.querySelectorAll(".is-open")) row.classList.remove("is-open");
        if (number === null) return;
        this._rows.querySelector(`[data-number="${number}"][data-position="${position}"]`)?.classList.add("is-open");
    }

    _listen(open) {
        this._rows.addEventListener("click", (event) => {
            const visitor = event.target.closest("[data-visitor]");
            if (visitor !== null) return this.filters.change({ visitor: visitor.dataset.visitor });
            const row = event.target.closest(".row");
            if (row !== null) open(Number(row.dataset.number), Number(row.dataset.position));
        });
        byId("pause").addEventListener("click", () => this._pause(!this._isPaused));
        byId("older").addEventListener("click", () => this._showOlder());
        byId("stream-newer").addEventListener("click", () => this._toTop());
        const catchUp = () => this._isAtTop && this._waiting > 0 && this._paint();
        this._scroller.addEventListener("scroll", catchUp, { passive: true });
    }

    get _isAtTop() {
        return this._scroller.scrollTop <= NEAR_TOP;
    }

    /** What is being read does not move: new lines wait while paused, and while the list is scrolled down. */
    get _isHeld() {
        return this._isPaused || !this._isAtTop;
    }

    _pause(isPaused) {
        this._isPaused = isPaused;
        byId("view-stream").classList.toggle("is-paused", isPaused);
        this._announce(isPaused ? "Paused" : "Resumed");
        this._paint();
    }

    _toTop() {
        this._scroller.scrollTop = 0;
        this._rows.querySelector(".row-summary")?.focus({ preventScroll: true });
        this._paint();
    }

    _refill() {
        this._isFresh = true;
        this._paint();
    }

    _draw() {
        if (byId("view-stream").hidden) return; // what arrives meanwhile is drawn when it is looked at
        if (this._isFresh) this._makeAnew();
        else if (this._isHeld) this._countWaiting();
        else this._addNew();
        this._tell();
    }

    _makeAnew() {
        const { _arrivals: arrivals } = this;
        const isHeldBack = this._isPaused && this._shown > arrivals.begin && this._shown <= arrivals.end;
        this._shown = isHeldBack ? this._shown : arrivals.end;
        this._isFresh = false;
        this._limit = PAGE;
        this._matching = arrivals.count(this.filters.test, arrivals.begin, this._shown);
        this._resetWaiting();
        const places = arrivals.newest(this.filters.test, this._limit, arrivals.begin, this._shown);
        this._rows.replaceChildren(...this._make(places));
        this._scroller.scrollTop = 0;
        if (!this._isPaused) return;
        this._countWaiting();
    }

    _addNew() {
        const { _arrivals: arrivals } = this;
        const places = arrivals.newest(this.filters.test, this._limit, this._shown);
        this._matching += arrivals.count(this.filters.test, this._shown);
        this._shown = arrivals.end;
        this._resetWaiting();
        if (places.length === 0) return;
        this._drop(this._rows.childElementCount + places.length - this._limit);
        this._rows.prepend(...this._make(places));
    }

    /** Remove the oldest lines, and move the focus if it was on one of them. */
    _drop(surplus) {
        if (surplus <= 0) return;
        const gone = [...this._rows.children].slice(-surplus);
        const hadFocus = gone.some((row) => row.contains(document.activeElement));
        for (const row of gone) row.remove();
        if (hadFocus) this._rows.lastElementChild?.querySelector(".row-summary").focus({ preventScroll: true });
    }

    _showOlder() {
        const { _arrivals: arrivals } = this;
        const last = this._rows.lastElementChild;
        const places = arrivals.newest(this.filters.test, PAGE, arrivals.begin, Number(last?.dataset.place ?? 0));
        this._limit = this._rows.childElementCount + places.length;
        const rows = this._make(places);
        this._rows.append(...rows);
        rows[0]?.querySelector(".row-summary").focus();
        this._tell();
    }

    _make(places) {
        return places.map((place) => {
            const item = this._arrivals.at(place);
            const row = makeRow(item, place);
            const { number, position } = this._open;
            row.classList.toggle("is-open", item.number === number && item.position === position);
            return row;
        });
    }

    _countWaiting() {
        this._waiting += this._arrivals.count(this.filters.test, this._waitingUpTo);
        this._waitingUpTo = this._arrivals.end;
    }

    /** The oldest items were removed. */
    _recount() {
        const { _arrivals: arrivals } = this;
        this._begin = arrivals.begin;
        this._matching = arrivals.count(this.filters.test, arrivals.begin, this._shown);
    }

    _resetWaiting() {
        this._waiting = 0;
        this._waitingUpTo = this._shown;
    }

    _tell() {
        const { _arrivals: arrivals, _waiting: waiting } = this;
        const total = arrivals.items.length;
        if (arrivals.begin !== this._begin) this._recount();
        const filtered = this.filters.isOpen ? "" : `${number(this._matching + waiting)} of `;
        const forgotten = arrivals.begin > 0 ? `, the latest of ${number(arrivals.end)}` : "";
        say(byId("stream-count"), `${filtered}${many(total, "event")}${forgotten}`);
        const resume = waiting > 0 ? `Resume (${number(waiting)} waiting)` : "Resume";
        say(byId("pause"), this._isPaused ? resume : "Pause");
        say(byId("stream-newer"), `${number(waiting)} newer`);
        show(byId("stream-newer"), !this._isPaused && waiting > 0);
        show(byId("older"), this._rows.childElementCount > 0 && this._matching > this._rows.childElementCount);
        show(byId("stream-empty"), total === 0);
        show(byId("stream-none"), total > 0 && waiting === 0 && this._rows.childElementCount === 0);
        byId("view-stream").classList.toggle("is-bare", total === 0);
        this._roving.refresh();
    }
}

/** Show the settings with which an app uses this collector. */
export function showTarget() {
    const { origin } = location;
    const calls = ['Sitecore(client_key="…"', 'CustomerIO(write_key="…"', 'Datalyr(workspace_id="…"'];
    say(byId("target-code").firstElementChild, calls.map((call) => `${call}, target_url="${origin}")`).join("\n"));
    const names = ["SITECORE", "CUSTOMERIO", "DATALYR"];
    say(byId("target-env").firstElementChild, names.map((name) => `PASSERBY_${name}_TARGET_URL=${origin}`).join("\n"));
}
