/**
 * A person's timeline as threads: which lane each event lies on, and where lanes join. Values in, values out.
 *
 * The browser that was identified first is the trunk, column 0: dotted while anonymous, solid afterwards.
 * Every other browser has its own lane beside it until it is identified as the same person's.
 */

const MOST_COLUMNS = 5;

/**
 * { rows: [{ entry, column, isKnown, milestone }], lanes: [{ id, column, from, to, join }], trunk, columns, offset }
 *
 * The rows are the last `limit` ones; lanes and trunk are given as positions in the whole timeline, of which the
 * first `offset` are not among the rows.
 */
export function layLanes(person, limit) {
    const { timeline: entries, earlier } = person;
    const isKnown = (entry) => person.user_id !== null && !entry.reattributed;
    const trunk = earlier.is_known ? 0 : entries.findIndex(isKnown);
    const lanes = findLanes(entries, isKnown, trunk, earlier);
    placeLanes(lanes, earlier.is_known ? null : trunk);
    const laneOf = new Map(lanes.map((lane) => [lane.id, lane]));
    const rows = entries.map((entry, index) => {
        const lane = laneOf.get(entry.anonymous_id);
        const known = isKnown(entry);
        const column = known || lane === undefined ? 0 : lane.column;
        return { entry, isKnown: known, column, milestone: milestoneAt(entry, index, lane, earlier.is_known ? null : trunk) };
    });
    const offset = Math.max(0, entries.length - limit);
    const seen = lanes.filter((lane) => lane.from !== null && (lane.join ?? Infinity) >= offset);
    const columns = 1 + Math.max(0, ...seen.map((lane) => lane.column));
    return { rows: rows.slice(offset), lanes: seen, trunk: trunk < 0 ? null : trunk, columns, offset };
}

/** For each browser: its first and last anonymous event, and where it was identified. */
function findLanes(entries, isKnown, trunk, earlier) {
    const lanes = new Map(earlier.browsers.map((browser) => [browser.anonymous_id, laneFromAbove(browser)]));
    entries.forEach((entry, index) => {
        const id = entry.anonymous_id;
        if (id === null || id === undefined) return;
        if (!lanes.has(id)) lanes.set(id, newLane(id));
        const lane = lanes.get(id);
        if (isKnown(entry)) lane.join ??= index;
        else {
            lane.from ??= index;
            lane.to = index;
            lane.before += 1;
        }
    });
    for (const lane of lanes.values()) joinLate(lane, entries, isKnown, trunk);
    return [...lanes.values()];
}

function newLane(id) {
    return { id, column: 0, from: null, to: null, join: null, before: 0, isJoined: false };
}

/** That of a browser of which some events are earlier than the timeline here. */
function laneFromAbove({ anonymous_id: id, anonymous, is_known: isJoined }) {
    const place = anonymous > 0 && !isJoined ? -1 : null;
    return { ...newLane(id), from: place, to: place, before: anonymous, isJoined };
}

/** A browser without later events joins at the next event of the person, such as an alias. */
function joinLate(lane, entries, isKnown, trunk) {
    if (trunk < 0 || lane.from === null || (lane.join !== null && lane.join > lane.to)) return;
    const next = entries.findIndex((entry, index) => index > lane.to && isKnown(entry));
    lane.join = next < 0 ? null : next;
}

/** Column 0 is the trunk's, which is null where it comes from above; the others are taken again once free. */
function placeLanes(lanes, trunk) {
    const anonymous = lanes.filter((lane) => lane.from !== null);
    const first = anonymous.find((lane) => lane.join === trunk) ?? (trunk === -1 ? anonymous[0] : undefined);
    const ends = [Infinity];
    for (const lane of anonymous) {
        if (lane === first) continue;
        let column = ends.findIndex((end, index) => index > 0 && end < lane.from);
        if (column < 0) column = Math.min(ends.length, MOST_COLUMNS - 1);
        ends[column] = lane.join ?? Infinity;
        lane.column = column;
    }
}

/** The first event that identifies the person of a browser. */
function milestoneAt(entry, index, lane, trunk) {
    if (!entry.is_identity || lane?.isJoined || index !== (lane === undefined ? trunk : lane.join)) return null;
    return { isFirst: index === trunk, before: lane?.before ?? 0 };
}
