/**
 * The live page of the collector: connects the views with what arrives.
 *
 * Selectors for tests and scripts; they are stable.
 *
 *   tabs           [role=tab]#tab-stream, #tab-visitors, #tab-health; panels #view-stream, #view-visitors, #view-health
 *   addresses      #stream?text=..&visitor=..&system=..&type=..&outcome=.., #visitors/SYSTEM/user/ID,
 *                  #visitors/SYSTEM/browser/ID, #visitors/any/any/ID, #health
 *   connection     #connection[data-state=connecting|live|lost], #lost (a strip, while it is lost)
 *   stream         #stream-rows > [data-number][data-position][data-outcome=accepted|refused|failed][data-repeated],
 *                  in it .when .system .type .chip[data-visitor] .row-summary .refusal .answer; #stream-count, #stream-scroll,
 *                  #older, #stream-newer, #pause, #stream-empty (nothing arrived), #stream-none (nothing fits)
 *   filter         #filter-text, #filter-visitor, #filter-system, #filter-type, #filter-outcome, #filter-reset,
 *                  #filters-toggle (on a phone), #only-visitor, #only-visitor-open
 *   request panel  dialog#details[open], #details-title, #details-body, #details-close
 *   visitors       #people-systems input[value=SYSTEM], #people-text, #people [data-person="user:ID" or "browser:ID"],
 *                  #people-more, #people-empty, #person, #person-name, #person-back (on a phone), #person-empty
 *   timeline       #timeline [data-entry="NUMBER:POSITION"][data-identity][data-reattributed]
 *                  [data-milestone=known|joined], classes is-known and is-anonymous; .day; svg#thread; #timeline-newer
 *   health         #outbox [data-destination] [data-term=recorded|delivered|pending|dead|dropped], #outbox-empty,
 *                  #seen [data-system] [data-figure], #plots svg, #plot-summary, #plot-moment
 *   switches       #faults opens #faults-panel with input[name=fault-kind][value=503|429|slow|reset],
 *                  #fault-system, #fault-start; #faults-active is the strip while it does, #faults-clear ends it;
 *                  #export; #clear opens dialog#clear-dialog with #clear-confirm and #clear-cancel
 *   screen readers #announce
 */

import { Arrivals } from "./arrivals.js";
import { read } from "./api.js";
import { prepareClear } from "./clear.js";
import { Details } from "./details.js";
import { byId, say, show } from "./dom.js";
import { Health } from "./health.js";
import { Live } from "./live.js";
import { FaultControls } from "./faults.js";
import { readRoute, VIEWS, writeRoute } from "./route.js";
import { showTarget, Stream } from "./stream.js";
import { Visitors } from "./visitors.js";

const STATES = { live: "live", lost: "connection lost" };
const BRIEF = 1200; // ms without a connection before it is shown

const arrivals = new Arrivals();
const announce = (text) => say(byId("announce"), text);
const open = (number, position) => details.open(number, position);

const stream = new Stream(arrivals, { open, announce });
const visitors = new Visitors({ open, announce });
const health = new Health();
const faults = new FaultControls({ announce });
const details = new Details({
    find: (number, position) => arrivals.items.findLast((item) => item.number === number && item.position === position),
    onShow: (number, position) => stream.mark(number, position),
});

const live = new Live({
    onItems(items) {
        arrivals.add(items);
        stream.grow();
        visitors.grow(items);
    },
    onPulse(pulse) {
        faults.update(pulse);
        health.update();
    },
    onState: showState,
    onRefused: () => read("stats").catch(() => {}), // if the token has changed, its form is shown
    onRestart() {
        arrivals.clear();
        details.close();
        stream.restart();
        visitors.restart();
    },
});

let loss = null;

function showState(state) {
    const connection = byId("connection");
    if (connection.dataset.state === state) return;
    const wasLost = !byId("lost").hidden;
    connection.dataset.state = state;
    say(byId("connection-text"), STATES[state]);
    clearTimeout(loss);
    if (state === "lost") loss = setTimeout(showLoss, BRIEF);
    else if (wasLost) announce("The connection is back");
    show(byId("lost"), state === "lost" && wasLost);
}

function showLoss() {
    const words = "The collector does not respond. This page reconnects as soon as it does.";
    say(byId("lost-text"), words);
    show(byId("lost"), true);
    announce(words);
}

function go() {
    const route = readRoute();
    if (byId(`view-${route.view}`).hidden) details.close();
    for (const view of VIEWS) {
        const isChosen = view === route.view;
        const tab = byId(`tab-${view}`);
        tab.setAttribute("aria-selected", String(isChosen));
        tab.tabIndex = isChosen ? 0 : -1;
        show(byId(`view-${view}`), isChosen);
    }
    document.title = `${byId(`tab-${route.view}`).textContent} · passerby collector`;
    if (route.view === "stream") stream.enter(route.settings);
    if (route.view === "visitors") visitors.enter(route.path);
    if (route.view === "health") health.enter();
}

/** The arrow keys go from tab to tab, and what they reach is shown. */
function turn(event) {
    const place = VIEWS.findIndex((view) => event.target.id === `tab-${view}`);
    const steps = { ArrowRight: place + 1, ArrowLeft: place - 1 + VIEWS.length, Home: 0, End: VIEWS.length - 1 };
    if (place < 0 || !(event.key in steps)) return;
    event.preventDefault();
    const view = VIEWS[steps[event.key] % VIEWS.length];
    byId(`tab-${view}`).focus();
    location.hash = writeRoute(view);
}

document.querySelector("[role=tablist]").addEventListener("keydown", turn);
addEventListener("hashchange", go);
prepareClear({ announce });
showTarget();
go();
live.connect();
