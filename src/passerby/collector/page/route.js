/** The state of the page in its address: #stream?visitor=..., #visitors/sitecore/user/ada, #health. */

export const VIEWS = ["stream", "visitors", "health"];

/** Parse an address: { view, path: [...], settings: {...} }. */
export function readRoute(hash = location.hash) {
    const [path, query = ""] = split(hash.replace(/^#/, ""), "?");
    const [view, ...rest] = path.split("/").map(decode);
    return VIEWS.includes(view)
        ? { view, path: rest, settings: Object.fromEntries(new URLSearchParams(query)) }
        : { view: "stream", path: [], settings: {} };
}

/** Make an address; empty settings are omitted. */
export function writeRoute(view, path = [], settings = {}) {
    const query = new URLSearchParams(Object.entries(settings).filter(([, value]) => value)).toString();
    const parts = path.map((part) => encodeURIComponent(inAddress(part)));
    return `#${[view, ...parts].join("/")}${query ? `?${query}` : ""}`;
}

/** What an address can hold of an ID: half a letter, which JSON allows, cannot be written there. */
export const inAddress = (id) => id.toWellFormed();

/** Change the address without a step in the browser's history. */
export function keepRoute(view, path, settings) {
    const hash = writeRoute(view, path, settings);
    if (location.hash !== hash) history.replaceState(null, "", hash);
}

/** The address of a person: by user ID, or by browser ID of an anonymous visitor. */
export const personRoute = (system, kind, id) => writeRoute("visitors", [system, kind, id]);

function split(text, mark) {
    const place = text.indexOf(mark);
    return place < 0 ? [text] : [text.slice(0, place), text.slice(place + 1)];
}

function decode(text) {
    try {
        return decodeURIComponent(text);
    } catch {
        return text;
    }
}
