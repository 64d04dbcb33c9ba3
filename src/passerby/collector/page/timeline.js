/** The events of one person, oldest first, beside the thread. */

import { arrange, byId, make, oncePerFrame, say, show } from "./dom.js";
import { layLanes } from "./lanes.js";
import { calledBy, head } from "./person.js";
import { rove } from "./roving.js";
import { botTag, chip, tag } from "./row.js";
import { drawThread, widthOf } from "./thread.js";
import { clockTime, dayName, dayOf, exactly, many, number } from "./words.js";

const PAGE = 120; // events shown at first
const NEAR_END = 48; // px above the end that still count as being there

export class Timeline {
    /** `open(number, position)` shows a request; `onEarlier()` gets more of the timeline and shows the person again. */
    constructor({ open, onEarlier }) {
        this._onEarlier = onEarlier;
        this._list = byId("timeline");
        this._scroller = byId("person");
        this._key = null;
        this._person = null;
        this._unread = 0;
        this._limit = PAGE;
        this._isUnfolding = false; // earlier events have been asked for
        this._redraw = oncePerFrame(() => this._drawThread());
        this._roving = rove(this._list, { rows: "[data-entry]", first: ".entry-open" });
        this._list.addEventListener("click", (event) => {
            if (event.target.closest(".earlier-open")) return this._showEarlier();
            const entry = event.target.closest("[data-entry]");
            if (entry !== null) open(Number(entry.dataset.number), Number(entry.dataset.position));
        });
        new ResizeObserver(() => this._redraw()).observe(this._list);
        byId("timeline-newer").addEventListener("click", () => this._toEnd());
        this._scroller.addEventListener("scroll", () => this._isAtEnd && this._read(), { passive: true });
    }

    /** Show a person; `key` identifies the person. */
    show(person, key) {
        const isSame = key === this._key;
        const wasAtEnd = isSame && this._isAtEnd;
        const isUnfolding = isSame && this._isUnfolding;
        const fromEnd = this._scroller.scrollHeight - this._scroller.scrollTop;
        this._isUnfolding = false;
        const grown = isSame ? person.events - this._person.events : 0;
        this._key = key;
        this._person = person;
        if (!isSame) this._limit = PAGE;
        this._layout = layLanes(person, this._limit);
        this._scroller.style.setProperty("--gutter", `${widthOf(this._layout.columns)}px`);
        this._scroller.classList.toggle("has-devices", person.devices > 1);
        const { traits, anonymous_ids: ids, devices, events, sites, is_bot: isBot } = person;
        const sign = JSON.stringify([key, traits, ids, devices, events, sites, isBot]);
        arrange(byId("person-head"), [{ key: "head", sign, make: () => head(person) }]);
        arrange(this._list, [...this._wanted(isSame)]);
        this._roving.refresh();
        this._drawThread();
        if (!isSame) this._scroller.scrollTop = 0;
        if (isUnfolding) this._keepPlace(fromEnd);
        else if (wasAtEnd) this._toEnd();
        else this._unread = isSame ? this._unread + Math.max(0, grown) : 0;
        this._updateUnread();
    }

    clear() {
        this._key = this._person = null;
        this._list.replaceChildren();
        byId("person-head").replaceChildren();
        byId("thread").replaceChildren();
        show(byId("timeline-newer"), false);
    }

    _showEarlier() {
        this._limit = Infinity;
        this._isUnfolding = true;
        this._onEarlier();
    }

    /** Keep the scroll position when earlier events are added above. */
    _keepPlace(fromEnd) {
        this._scroller.scrollTop = this._scroller.scrollHeight - fromEnd;
        this._list.querySelector(".entry-open")?.focus({ preventScroll: true });
    }

    get _isAtEnd() {
        const { scrollHeight, scrollTop, clientHeight } = this._scroller;
        return scrollHeight - scrollTop - clientHeight < NEAR_END;
    }

    _toEnd() {
        this._scroller.scrollTop = this._scroller.scrollHeight;
        this._read();
    }

    _read() {
        this._unread = 0;
        this._updateUnread();
    }

    _updateUnread() {
        say(byId("timeline-newer"), `${number(this._unread)} newer`);
        show(byId("timeline-newer"), this._unread > 0);
    }

    *_wanted(isSame) {
        const person = this._person;
        const earlier = person.events - this._layout.rows.length;
        const canBeShown = this._limit !== Infinity;
        if (earlier > 0) {
            yield { key: "earlier", sign: `${earlier} ${canBeShown}`, make: () => earlierLine(earlier, canBeShown) };
        }
        let before = null;
        for (const row of this._layout.rows) {
            const { time } = row.entry;
            if (before === null || dayOf(before) !== dayOf(time)) yield dayHeading(time, before);
            before = time;
            yield this._entry(row, isSame);
        }
    }

    _entry(row, isNew) {
        const { entry, milestone } = row;
        const key = `${entry.number}:${entry.position}`;
        const hasDevices = this._person.devices > 1;
        const sign = JSON.stringify([row.isKnown, milestone, hasDevices, calledBy(this._person)]);
        return { key, sign, make: () => makeEntry(row, this._person, hasDevices, isNew) };
    }

    _drawThread() {
        if (this._person === null || this._list.offsetParent === null) return;
        const heights = Array.from(this._list.querySelectorAll("[data-entry]"), (entry) => {
            const knot = entry.firstElementChild;
            return entry.offsetTop + knot.offsetTop + knot.offsetHeight / 2;
        });
        if (heights.length !== this._layout.rows.length) return;
        const hasEarlier = this._person.events > this._layout.rows.length;
        drawThread(byId("thread"), this._layout, heights, { end: this._list.offsetHeight, hasEarlier });
    }
}

function earlierLine(count, canBeShown) {
    const text = many(count, "earlier event");
    if (!canBeShown) return make("li", { class: "earlier", text: `${text} not shown` });
    const button = make("button", { class: "plain earlier-open", type: "button", text: `Show ${text}` });
    return make("li", { class: "earlier" }, button);
}

function dayHeading(time, before) {
    const gap = before === null ? 0 : dayOf(time) - dayOf(before);
    const name = dayName(time);
    const later = () => (gap > 1 ? make("span", { text: `${gap} days later` }) : null);
    return {
        key: `day:${dayOf(time)}`,
        sign: `${name} ${gap}`,
        make: () => make("li", { class: "day" }, make("h3", { text: name }), later()),
    };
}

function makeEntry(row, person, hasDevices, isNew) {
    const { entry, milestone, isKnown } = row;
    const looks = ["entry", isKnown ? "is-known" : "is-anonymous"];
    if (milestone !== null) looks.push("entry-milestone");
    if (isNew) looks.push("is-new");
    const time = make("time", { class: "when", text: clockTime(entry.time), title: exactly(entry.time) });
    const device = hasDevices && entry.anonymous_id ? chip(entry.anonymous_id, { known: isKnown }) : null;
    const content = make("div", { class: "entry-content" });
    if (milestone !== null) content.append(milestoneText(milestone, person));
    content.append(opener(entry));
    if (entry.is_bot) content.append(" ", botTag());
    if (entry.reattributed) {
        const title = `Sent anonymously; later attributed to ${calledBy(person)}`;
        content.append(" ", tag("re-attributed", title));
    }
    const about = make("div", { class: "entry-about" }, time, device);
    const knot = make("span", { class: "knot-place" });
    return make("li", { class: looks.join(" "), data: hooks(entry, milestone) }, knot, about, content);
}

function hooks(entry, milestone) {
    const { number, position } = entry;
    return {
        entry: `${number}:${position}`,
        number,
        position,
        identity: entry.is_identity ? "" : undefined,
        reattributed: entry.reattributed ? "" : undefined,
        milestone: milestone === null ? undefined : milestone.isFirst ? "known" : "joined",
    };
}

function opener({ name, summary }) {
    const type = make("span", { class: "type", text: name });
    const words = make("span", { class: "entry-summary", text: summary === name ? "" : summary });
    return make("button", { class: "entry-open", type: "button", tabindex: "-1" }, type, " ", words);
}

function milestoneText({ isFirst, before }, person) {
    const words = isFirst ? "Identified here: " : "Another device joins: ";
    const title = make("p", { class: "milestone-title" }, words, make("strong", { text: calledBy(person) }));
    if (before === 0) return make("div", { class: "milestone" }, title);
    const events = `${many(before, "anonymous event")} of this browser`;
    const text = `${events} ${before === 1 ? "is" : "are"} re-attributed.`;
    return make("div", { class: "milestone" }, title, make("p", { class: "soft", text }));
}
