/** The drawing beside a timeline: threads that run down through the events, dotted, then solid. */

import { draw } from "./dom.js";
import { hueOf } from "./words.js";

const STEP = 18; // px between two lanes
const EDGE = 13; // px from the left to the first
const BEND = 44; // px that a lane takes to join

const x = (column) => EDGE + column * STEP;

/** The width of the lanes, in px. */
export const widthOf = (columns) => x(columns - 1) + EDGE + 4;

/** Draw the lanes into an SVG; `heights` has the position of each knot, `end` that of the end of the thread. */
export function drawThread(svg, { rows, lanes, trunk, columns, offset }, heights, { end, hasEarlier }) {
    // What is further up than the first row comes in from above.
    const at = (place) => (place < offset ? 0 : heights[place - offset]);
    svg.setAttribute("width", widthOf(columns));
    svg.setAttribute("height", end);
    const parts = lanes.map((lane) => laneLine(lane, at, trunk === null ? end : at(lane.to)));
    const begin = trunk !== null && (hasEarlier && trunk === 0 ? 0 : at(trunk));
    if (trunk !== null) parts.push(draw("path", { class: "trunk", d: `M${x(0)} ${begin}V${end}` }));
    rows.forEach((row, index) => parts.push(knot(row, heights[index])));
    svg.replaceChildren(...parts);
}

function laneLine(lane, at, end) {
    const column = x(lane.column);
    const begin = `M${column} ${at(lane.from)}`;
    const settings = { class: "lane", hue: hueOf(lane.id) };
    if (lane.join === null) return draw("path", { ...settings, d: `${begin}V${end}` });
    const to = at(lane.join);
    if (lane.column === 0) return draw("path", { ...settings, d: `${begin}V${to}` });
    const bend = Math.max(at(lane.to), to - BEND);
    const half = (to - bend) * 0.6;
    const curve = `C${column} ${bend + half} ${x(0)} ${to - half} ${x(0)} ${to}`;
    return draw("path", { ...settings, d: `${begin}V${bend}${curve}` });
}

function knot({ entry, column, isKnown, milestone }, y) {
    if (milestone?.isFirst) return stone(y);
    if (milestone !== null) return draw("circle", { class: "knot knot-join", cx: x(0), cy: y, r: 6.5 });
    const hue = entry.anonymous_id ? hueOf(entry.anonymous_id) : undefined;
    const known = entry.anonymous_id ? "knot is-known" : "knot is-known knot-plain";
    return draw("circle", { class: isKnown ? known : "knot", hue, cx: x(column), cy: y, r: isKnown ? 4.5 : 4 });
}

/** A milestone. */
function stone(y) {
    return draw("path", { class: "stone", d: `M${x(0) - 8} ${y + 10}v-13a8 8 0 0 1 16 0v13z` });
}
