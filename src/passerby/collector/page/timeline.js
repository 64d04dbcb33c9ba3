/** One person from the first day to now: who it is, and what happened, beside the thread. */

import { arrange, byId, make, oncePerFrame, say, show } from "./dom.js";
import { layLanes } from "./lanes.js";
import { writeRoute } from "./route.js";
import { rove } from "./roving.js";
import { chip } from "./row.js";
import { drawThread, widthOf } from "./thread.js";
import { clockTime, dayName, dayOf, emailOf, exactly, many, nameOf, number, shortId } from "./words.js";

const PAGE = 120; // events shown at first
const NEAR_END = 48; // px above the end that still count as being there

export class Timeline {
  /** `open(number, position)` shows a request. */
  constructor({ open }) {
    this._list = byId("timeline");
    this._scroller = byId("person");
    this._key = null;
    this._person = null;
    this._unread = 0;
    this._limit = PAGE;
    this._redraw = oncePerFrame(() => this._drawThread());
    this._roving = rove(this._list, { rows: "[data-entry]", first: ".entry-open" });
    this._list.addEventListener("click", (event) => {
      if (event.target.closest(".earlier-open")) return this._showEarlier();
      const entry = event.target.closest("[data-entry]");
      if (entry !== null && !event.target.closest("a")) open(Number(entry.dataset.number), Number(entry.dataset.position));
    });
    new ResizeObserver(() => this._redraw()).observe(this._list);
    byId("timeline-newer").addEventListener("click", () => this._toEnd());
    this._scroller.addEventListener("scroll", () => this._isAtEnd && this._read(), { passive: true });
  }

  /** Show a person; `key` says whether it is the same as before. */
  show(person, key) {
    const isSame = key === this._key;
    const wasAtEnd = isSame && this._isAtEnd;
    const grown = isSame ? person.events - this._person.events : 0;
    this._key = key;
    this._person = person;
    if (!isSame) this._limit = PAGE;
    this._layout = layLanes(person, this._limit);
    this._scroller.style.setProperty("--gutter", `${widthOf(this._layout.columns)}px`);
    this._scroller.classList.toggle("has-devices", person.anonymous_ids.length > 1);
    arrange(byId("person-head"), [{ key: "head", sign: JSON.stringify([key, person.traits, person.anonymous_ids, person.events]), make: () => head(person) }]);
    arrange(this._list, [...this._wanted(isSame)]);
    this._roving.refresh();
    this._drawThread();
    if (!isSame) this._scroller.scrollTop = 0;
    if (wasAtEnd) this._toEnd();
    else this._unread = isSame ? this._unread + Math.max(0, grown) : 0;
    this._tellUnread();
  }

  clear() {
    this._key = this._person = null;
    this._list.replaceChildren();
    byId("person-head").replaceChildren();
    byId("thread").replaceChildren();
    show(byId("timeline-newer"), false);
  }

  /** Show all that is known here, with what was in sight left where it is. */
  _showEarlier() {
    const { scrollHeight, scrollTop } = this._scroller;
    this._limit = Infinity;
    this.show(this._person, this._key);
    this._scroller.scrollTop = scrollTop + this._scroller.scrollHeight - scrollHeight;
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
    this._tellUnread();
  }

  _tellUnread() {
    say(byId("timeline-newer"), `${number(this._unread)} newer`);
    show(byId("timeline-newer"), this._unread > 0);
  }

  *_wanted(isSame) {
    const person = this._person;
    const { offset } = this._layout;
    const earlier = offset || person.events - person.timeline.length;
    if (earlier > 0) yield { key: "earlier", sign: `${earlier} ${offset > 0}`, make: () => earlierLine(earlier, offset > 0) };
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
    const hasDevices = this._person.anonymous_ids.length > 1;
    const sign = JSON.stringify([row.isKnown, milestone, hasDevices, milestone && this._person.traits, entry.says, this._person.user_id]);
    return { key, sign, make: () => makeEntry(row, this._person, hasDevices, isNew) };
  }

  _drawThread() {
    if (this._person === null || this._list.offsetParent === null) return;
    const heights = Array.from(this._list.querySelectorAll("[data-entry]"), (entry) => {
      const knot = entry.firstElementChild;
      return entry.offsetTop + knot.offsetTop + knot.offsetHeight / 2;
    });
    if (heights.length !== this._layout.rows.length) return;
    drawThread(byId("thread"), this._layout, heights, { end: this._list.offsetHeight, hasEarlier: this._person.events > this._layout.rows.length });
  }
}

function earlierLine(count, canBeShown) {
  const text = many(count, "earlier event");
  const button = canBeShown ? make("button", { class: "plain earlier-open", type: "button", text: `Show ${text}` }) : null;
  return make("li", { class: "earlier", text: canBeShown ? null : `${text} not shown` }, button);
}

function dayHeading(time, before) {
  const gap = before === null ? 0 : dayOf(time) - dayOf(before);
  const name = dayName(time);
  return {
    key: `day:${dayOf(time)}`,
    sign: `${name} ${gap}`,
    make: () => make("li", { class: "day" }, make("h3", { text: name }), gap > 1 ? make("span", { text: `${gap} days later` }) : null),
  };
}

function makeEntry(row, person, hasDevices, isNew) {
  const { entry, milestone } = row;
  const data = { entry: `${entry.number}:${entry.position}`, number: entry.number, position: entry.position };
  if (entry.is_identity) data.identity = "";
  if (entry.reattributed) data.reattributed = "";
  if (milestone !== null) data.milestone = milestone.isFirst ? "known" : "joined";
  const classes = ["entry", row.isKnown ? "is-known" : "is-anonymous", milestone ? "entry-milestone" : "", isNew ? "is-new" : ""];
  const time = make("time", { class: "when", text: clockTime(entry.time), title: exactly(entry.time) });
  const opener = make("button", { class: "entry-open", type: "button", tabindex: "-1" }, make("span", { class: "type", text: entry.name }), " ", make("span", { class: "entry-says", text: entry.says === entry.name ? "" : entry.says }));
  const content = make("div", { class: "entry-content" }, milestone ? milestoneText(milestone, person) : null, opener);
  if (entry.reattributed) {
    const title = `Told while nobody was known; since then known as ${calledBy(person)}'s`;
    content.append(" ", make("span", { class: "tag", text: "re-attributed", title }));
  }
  const device = hasDevices && entry.anonymous_id ? chip(entry.anonymous_id, { known: row.isKnown }) : null;
  const about = make("div", { class: "entry-about" }, time, device);
  return make("li", { class: classes.filter(Boolean).join(" "), data }, make("span", { class: "knot-place" }), about, content);
}

function milestoneText({ isFirst, before }, person) {
  const words = isFirst ? "Known from here: " : "Another device joins: ";
  const after = before === 0 ? "" : `${many(before, "event")} told here while nobody was known ${before === 1 ? "is" : "are"} re-attributed.`;
  return make("div", { class: "milestone" }, make("p", { class: "milestone-title" }, words, make("strong", { text: calledBy(person) })), after ? make("p", { class: "soft", text: after }) : null);
}

/** What a person is called: a name, an email, or an ID. */
export function calledBy(person) {
  return nameOf(person.traits) ?? emailOf(person.traits) ?? (person.user_id === null ? shortId(person.anonymous_ids[0] || "nobody") : person.user_id);
}

function head(person) {
  const box = make("div", { class: "head" }, make("h2", { id: "person-name", text: person.user_id === null ? "Not yet known" : calledBy(person) }));
  const email = emailOf(person.traits);
  const lines = [email === calledBy(person) ? null : email, person.user_id === email ? null : person.user_id].filter(Boolean);
  for (const line of lines) box.append(make("p", { class: "head-line", text: line }));
  const devices = make("p", { class: "head-devices" }, `${many(person.anonymous_ids.filter(Boolean).length, "device")}, ${many(person.events, "event")}`);
  for (const id of person.anonymous_ids.filter(Boolean)) devices.append(" ", chip(id, { tag: "a", href: writeRoute("stream", [], { visitor: id }), known: person.user_id !== null, "aria-label": `${id}, show in the stream` }));
  box.append(devices);
  if (Object.keys(person.traits).length > 0) box.append(traits(person.traits));
  return box;
}

function traits(values) {
  const list = make("dl", { class: "facts" });
  for (const [name, value] of Object.entries(values)) list.append(make("dt", { text: name }), make("dd", { text: typeof value === "string" ? value : JSON.stringify(value) }));
  return make("details", { class: "traits" }, make("summary", { text: `What is known (${Object.keys(values).length})` }), list);
}
