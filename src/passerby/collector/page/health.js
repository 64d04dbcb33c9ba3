/** The health view: the app's outbox as a ledger, the last ten minutes as lines, and what each system received. */

import { read } from "./api.js";
import { arrange, byId, make, oncePerFrame, say, show } from "./dom.js";
import { ledger } from "./ledger.js";
import { Moment, Plot, SPAN } from "./plot.js";
import { briefly, clockTime, duration, many, number, systemName } from "./words.js";

const PLOTS = [
    {
        title: "Events a second",
        series: [
            { name: "accepted", key: "accepted", look: "good" },
            { name: "failed", key: "failed", look: "bad" },
        ],
        format: (value) => number(Math.round(value * 10) / 10),
        tick: briefly,
        least: 10,
    },
    {
        title: "In the outbox",
        series: [
            { name: "pending", key: "pending", look: "waiting" },
            { name: "dead", key: "dead", look: "bad" },
        ],
        format: (value) => number(Math.round(value * 10) / 10),
        tick: briefly,
        least: 10,
    },
    {
        title: "Lag between event and arrival",
        series: [{ name: "lag", key: "lag", look: "plain" }],
        format: (value) => (value === 0 ? "0 s" : duration(value)),
        least: 1,
    },
];

export class Health {
    constructor() {
        this._isReading = false;
        this._health = null;
        this._plots = PLOTS.map((each) => new Plot(byId("plots"), each));
        this._draw = oncePerFrame(() => this._showPlots());
        this._moment = new Moment(this._plots, this._draw);
        new ResizeObserver(this._draw).observe(byId("plots"));
    }

    enter() {
        this.update();
    }

    /** Update once a second. */
    async update() {
        if (byId("view-health").hidden || this._isReading) return;
        this._isReading = true;
        try {
            this._health = await read("health");
            this._showSeen();
            this._showOutbox();
            this._draw();
        } catch {
            // The notice of the connection shows the error; the last figures stay.
        } finally {
            this._isReading = false;
        }
    }

    _showSeen() {
        const systems = Object.entries(this._health.seen);
        const rows = systems.map(([system, seen]) => {
            return { key: system, sign: JSON.stringify(seen), make: () => seenRow(system, seen) };
        });
        arrange(byId("seen").tBodies[0], rows);
    }

    _showOutbox() {
        const { outbox } = this._health;
        show(byId("outbox"), outbox !== null);
        show(byId("outbox-empty"), outbox === null);
        if (outbox === null) return;
        const wanted = Object.entries(outbox.destinations).map(([name, figures]) => {
            return { key: `to:${name}`, sign: JSON.stringify(figures), make: () => ledger(name, figures) };
        });
        const state = { key: "state", sign: outbox.state, make: () => stateLine(outbox.state) };
        arrange(byId("outbox"), [state, ...wanted]);
    }

    _showPlots() {
        if (this._health === null || byId("view-health").hidden) return;
        const { history: kept, outbox } = this._health;
        const now = kept.at(-1)?.time ?? Date.now() / 1000;
        const history = kept.filter(({ time }) => time > now - SPAN); // the page may have been suspended
        const moment = this._moment.value;
        const sample = moment === null ? history.at(-1) : sampleAt(history, now - (SPAN - 1 - moment));
        const summary = summaryOf(history, outbox);
        say(byId("plot-summary"), moment === null ? summary : momentText(now - (SPAN - 1 - moment), sample));
        const valueText = moment === null ? "now" : clockTime(now - (SPAN - 1 - moment));
        byId("plot-moment").setAttribute("aria-valuetext", `${valueText}, ${momentText(null, sample)}`);
        this._plots[1].figure.hidden = outbox === null;
        for (const plot of this._plots) plot.show(history, now, { moment, sample, summary });
    }
}

function seenRow(system, { accepted, refused, failed, repeated, lag }) {
    const row = make("tr", { data: { system } }, make("th", { scope: "row", text: systemName(system) }));
    for (const [figure, value] of Object.entries({ accepted, refused, failed, repeated })) {
        row.append(make("td", { text: number(value), data: { figure, zero: value === 0 ? "" : undefined } }));
    }
    for (const figure of ["p50", "p95"]) {
        const value = lag?.[figure] ?? null;
        row.append(make("td", { text: value === null ? "–" : duration(value), data: { figure } }));
    }
    return row;
}

function stateLine(state) {
    if (state === "ok") return make("p", { class: "state", text: "The outbox works." });
    return make("p", { class: "state problem", text: `The outbox is ${state}` });
}

function sampleAt(history, time) {
    return history.find((sample) => Math.abs(sample.time - time) <= 0.75);
}

function momentText(time, sample) {
    const at = time === null ? "" : `At ${clockTime(time)}: `;
    if (sample === undefined) return `${at}no data for this time.`;
    const lag = sample.lag === null ? "" : `, lag ${duration(sample.lag)}`;
    const waiting = sample.pending === null ? "" : `, ${number(sample.pending)} pending`;
    return `${at}${number(sample.accepted)} accepted, ${number(sample.failed)} failed${waiting}${lag}.`;
}

function summaryOf(history, outbox) {
    if (history.length === 0) return "Nothing has been measured yet.";
    const total = (key) => history.reduce((sum, sample) => sum + (sample[key] ?? 0), 0);
    const most = (key) => Math.max(0, ...history.map((sample) => sample[key] ?? 0));
    const waiting = outbox === null ? "" : ` At most ${number(most("pending"))} waited in the outbox.`;
    const lag = history.some((sample) => sample.lag !== null) ? ` The lag was at most ${duration(most("lag"))}.` : "";
    return `${many(total("accepted"), "event")} accepted, ${number(total("failed"))} failed.${waiting}${lag}`;
}
