/** JSON formatted for reading: indented, with names, texts and numbers in different colours. */

import { make } from "./dom.js";

const PLAIN_ABOVE = 60_000; // characters; colouring more than this makes the panel slow to open
const MOST = 1_000_000; // characters shown of one body
const TOKEN = /("(?:[^"\\]|\\.)*")(\s*:)?|\b(true|false|null)\b|-?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?/g;

/** The value in a text; undefined where it is no JSON. */
export function parse(text) {
    try {
        return JSON.parse(text);
    } catch {
        return undefined;
    }
}

/** A block with a body: set out if it is JSON, as it is if not. */
export function bodyBlock(text) {
    const value = parse(text);
    if (value === undefined) return block(text.length > MOST ? `${text.slice(0, MOST)}…` : text);
    return valueBlock(value);
}

/** A block with a value set out. */
export function valueBlock(value) {
    const text = JSON.stringify(value, null, 2);
    if (text.length > PLAIN_ABOVE) return block(text.length > MOST ? `${text.slice(0, MOST)}\n…` : text);
    return block(...coloured(text));
}

function block(...parts) {
    const code = make("code");
    code.append(...parts);
    // It may scroll sideways, and what scrolls must be reachable by keyboard.
    return make("pre", { class: "json", tabindex: "0" }, code);
}

function coloured(text) {
    const parts = [];
    let end = 0;
    for (const found of text.matchAll(TOKEN)) {
        if (found.index > end) parts.push(text.slice(end, found.index));
        const [all, quoted, colon, word] = found;
        const kind = colon ? "name" : quoted ? "text" : word ? "word" : "number";
        parts.push(make("span", { class: `json-${kind}`, text: quoted ?? all }));
        if (colon) parts.push(colon);
        end = found.index + all.length;
    }
    parts.push(text.slice(end));
    return parts;
}
