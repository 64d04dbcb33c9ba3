/** Lines over time, drawn by hand as SVG. */

import { byId, draw, make, say } from "./dom.js";

const HEIGHT = 108;
const TOP = 8;
const LEFT = 44; // room for the labels
const FLOOR = HEIGHT - 20;
export const SPAN = 600; // seconds shown
const GAP = 5; // seconds without a sample, of which there is one a second, over which no line is drawn
const ENDS = { 10: ["start", "10 min ago"], 0: ["end", "now"] }; // of the axis of time, in minutes

/**
 * One plot: `series` are { name, key, look }, `format` formats a value, `tick` the labels of the scale,
 * `least` is the smallest maximum of the scale.
 */
export class Plot {
    constructor(box, { title, series, format, tick = format, least }) {
        this._series = series;
        this._format = format;
        this._tick = tick;
        this._least = least;
        this._svg = draw("svg", { class: "plot", role: "img", height: HEIGHT });
        this._values = new Map(series.map(({ key }) => [key, make("b", {})]));
        const legend = make("figcaption", { class: "legend" }, make("span", { class: "legend-title", text: title }));
        for (const { name, key, look } of series) {
            legend.append(make("span", { class: `legend-item look-${look}` }, `${name} `, this._values.get(key)));
        }
        this.figure = make("figure", {}, legend, this._svg);
        this._title = title;
        box.append(this.figure);
    }

    /** Where in time a point of the screen lies, 0 (oldest) to SPAN - 1. */
    momentAt(clientX) {
        const { left, width } = this._svg.getBoundingClientRect();
        const share = (clientX - left - LEFT) / Math.max(1, width - LEFT);
        return Math.round(Math.min(1, Math.max(0, share)) * (SPAN - 1));
    }

    /** Draw samples up to `now`; `moment` is the one that is looked at, `sample` what was then, if anything. */
    show(samples, now, { moment, sample, summary }) {
        const width = this._svg.clientWidth;
        if (width === 0) return;
        this._x = (time) => LEFT + ((time - now + SPAN) / SPAN) * (width - LEFT - 1);
        const values = samples.flatMap((each) => this._series.map(({ key }) => each[key] ?? 0));
        const top = niceTop(Math.max(this._least, ...values));
        const y = (value) => FLOOR - (value / top) * (FLOOR - TOP);
        this._svg.setAttribute("aria-label", `${this._title}. ${summary}`);
        const lines = this._series.flatMap(({ key, look }) => this._lines(samples, key, look, y));
        this._svg.replaceChildren(...this._axes(width, top, y, now), ...lines, ...this._cursor(moment, now));
        for (const { key } of this._series) {
            const value = sample?.[key] ?? null;
            say(this._values.get(key), value === null ? "unknown" : this._format(value));
        }
    }

    _axes(width, top, y, now) {
        const parts = [];
        for (const value of [0, top / 2, top]) {
            const look = value === 0 ? "axis" : "axis axis-faint";
            parts.push(draw("line", { class: look, x1: LEFT, x2: width, y1: y(value), y2: y(value) }));
            parts.push(label(LEFT - 8, y(value) + 4, "end", this._tick(value)));
        }
        for (const minutes of width < 480 ? [10, 5, 0] : [10, 8, 6, 4, 2, 0]) {
            const x = this._x(now - minutes * 60);
            const [anchor, text] = ENDS[minutes] ?? ["middle", minutes];
            parts.push(draw("line", { class: "axis", x1: x, x2: x, y1: FLOOR, y2: FLOOR + 4 }));
            parts.push(label(x, FLOOR + 17, anchor, text));
        }
        return parts;
    }

    /** A line for each run of known values, and where it is to be filled, the area below. */
    _lines(samples, key, look, y) {
        const parts = [];
        for (const run of runsOf(samples, key, look)) {
            const x = ({ time }) => this._x(time).toFixed(1);
            const line = `M${run.map((sample) => `${x(sample)} ${y(sample[key]).toFixed(1)}`).join("L")}`;
            parts.push(
                draw("path", {
                    class: `area look-${look}`,
                    d: `${line}L${x(run.at(-1))} ${FLOOR}L${x(run[0])} ${FLOOR}Z`,
                }),
            );
            parts.push(draw("path", { class: `line look-${look}`, d: line }));
        }
        return parts;
    }

    _cursor(moment, now) {
        if (moment === null) return [];
        const x = this._x(now - (SPAN - 1 - moment));
        return [draw("line", { class: "cursor", x1: x, x2: x, y1: TOP - 4, y2: FLOOR })];
    }
}

/** The plots, and the moment that is looked at in all of them at once. */
export class Moment {
    constructor(plots, onChange) {
        this._slider = byId("plot-moment");
        this._slider.addEventListener("input", onChange);
        for (const plot of plots) {
            plot.figure.addEventListener("pointermove", (event) => this._set(plot.momentAt(event.clientX), onChange));
            plot.figure.addEventListener("pointerleave", () => this._set(SPAN - 1, onChange));
        }
    }

    /** Null: now. */
    get value() {
        return Number(this._slider.value) === SPAN - 1 ? null : Number(this._slider.value);
    }

    _set(value, onChange) {
        this._slider.value = value;
        onChange();
    }
}

function label(x, y, anchor, text) {
    return draw("text", { class: "label", x, y, "text-anchor": anchor, text });
}

/** What is to be one line each: known values; of what is bad only where there is some, with its first and last step. */
function runsOf(samples, key, look) {
    const isDrawn = ({ [key]: value }) => value !== null && value !== undefined;
    const isBad = (sample) => sample !== undefined && sample[key] > 0;
    const runs = [];
    let run = null;
    samples.forEach((sample, index) => {
        const isNearBad = [index - 1, index, index + 1].some((place) => isBad(samples[place]));
        const isWanted = isDrawn(sample) && (look !== "bad" || isNearBad);
        if (!isWanted) run = null;
        else if (run === null || sample.time - run.at(-1).time > GAP) runs.push((run = [sample]));
        else run.push(sample);
    });
    return runs;
}

/** A round number, not below a value; its half is one too. */
function niceTop(value) {
    const power = 10 ** Math.floor(Math.log10(value));
    return power * [1, 2, 3, 4, 6, 8, 10].find((factor) => factor * power >= value * 0.999);
}
