/** Times, numbers and IDs as text. */

export const SYSTEMS = { sitecore: "Sitecore", customerio: "Customer.io", datalyr: "Datalyr", other: "other" };

const DAY = 86_400;
const clock = new Intl.DateTimeFormat("en-GB", { hour: "2-digit", minute: "2-digit", second: "2-digit" });
const dayAndMonth = new Intl.DateTimeFormat("en-GB", { day: "numeric", month: "short" });
const wholeDay = new Intl.DateTimeFormat("en-GB", { weekday: "long", day: "numeric", month: "long" });
const count = new Intl.NumberFormat("en-US");

const shortCount = new Intl.NumberFormat("en-US", { notation: "compact" });

export const systemName = (system) => SYSTEMS[system] ?? String(system);

/** 14:02:11 */
export const clockTime = (seconds) => clock.format(seconds * 1000);

/** The time of day; of another day also that. */
export function when(seconds, now = Date.now() / 1000) {
    const time = clockTime(seconds);
    return dayOf(seconds) === dayOf(now) ? time : `${dayAndMonth.format(seconds * 1000)} ${time}`;
}

/** A number for each calendar day, here. */
export function dayOf(seconds) {
    const day = new Date(seconds * 1000);
    return Math.round(Date.UTC(day.getFullYear(), day.getMonth(), day.getDate()) / 1000 / DAY);
}

/** Thursday 19 November; today, yesterday. */
export function dayName(seconds, now = Date.now() / 1000) {
    const ago = dayOf(now) - dayOf(seconds);
    const name = wholeDay.format(seconds * 1000);
    return ago === 0 ? `Today, ${name}` : ago === 1 ? `Yesterday, ${name}` : name;
}

/** just now, 12 s ago, 5 min ago, 3 h ago, 2 days ago */
export function ago(seconds, now = Date.now() / 1000) {
    const passed = now - seconds;
    return passed < 5 ? "just now" : `${duration(passed)} ago`;
}

/** 40 ms, 2 s, 2.3 s, 12 s, 5 min, 3 h, 2 days */
export function duration(seconds) {
    if (seconds < 0.9995) return `${Math.round(seconds * 1000)} ms`;
    if (seconds < 9.95) return `${Math.round(seconds * 10) / 10} s`;
    if (seconds < 90) return `${Math.round(seconds)} s`;
    if (seconds < 90 * 60) return `${Math.round(seconds / 60)} min`;
    if (seconds < 36 * 3600) return `${Math.round(seconds / 3600)} h`;
    return many(Math.round(seconds / DAY), "day");
}

/** The time to the millisecond, with its zone. */
export const exactly = (seconds) => new Date(seconds * 1000).toISOString().replace("T", " ").replace("Z", " UTC");

export const number = (value) => (value === null || value === undefined ? "unknown" : count.format(value));

/** 7.5, 100K, 2M */
export const briefly = (value) => shortCount.format(value);

/** 1 event, 12 events */
export const many = (value, thing) => `${number(value)} ${thing}${value === 1 ? "" : "s"}`;

/** The first characters of an ID, enough to recognise it. */
export function shortId(id) {
    return /^[0-9a-f]{8}-[0-9a-f]{4}-/i.test(id) ? id.slice(0, 8) : id.length > 22 ? `${id.slice(0, 21)}…` : id;
}

const hues = new Map();

/** An ID's hue, 0 to 359, the same in all views. */
export function hueOf(id) {
    let hue = hues.get(id);
    if (hue === undefined) {
        let hash = 2166136261;
        for (let index = 0; index < id.length; index++) hash = Math.imul(hash ^ id.charCodeAt(index), 16777619);
        // Neighbouring hashes should look far apart, and 24 hues can be distinguished.
        hue = (((hash ^ (hash >>> 15)) >>> 0) % 24) * 15;
        if (hues.size > 5000) hues.clear();
        hues.set(id, hue);
    }
    return hue;
}
