/** Elements made from plain values. Nothing here, or anywhere on this page, parses text as HTML. */

const SVG = "http://www.w3.org/2000/svg";
const signs = new WeakMap(); // of the children that arrange() made

/** The element with an ID that index.html promises. */
export const byId = (id) => document.getElementById(id);

/**
 * Make an element: make("span", { class: "when", text: "12:00", data: { number: 1 } }, child, ...).
 * Settings that are null, undefined or false leave their attribute out.
 */
export function make(tag, settings = {}, ...children) {
    return furnish(document.createElement(tag), settings, children);
}

/** The same for what is drawn. */
export function draw(tag, settings = {}, ...children) {
    return furnish(document.createElementNS(SVG, tag), settings, children);
}

/** Write a text only where it differs, so that nothing is laid out again for nothing. */
export function say(element, text) {
    if (element.textContent !== text) element.textContent = text;
}

/** Show or hide. */
export function show(element, isShown) {
    if (element.hidden === isShown) element.hidden = !isShown;
}

/** A function that has `work` done once in the next frame, however often it is called until then. */
export function oncePerFrame(work) {
    let isDue = false;
    return () => {
        if (isDue) return;
        isDue = true;
        requestAnimationFrame(() => {
            isDue = false;
            work();
        });
    };
}

/**
 * Make a list's children these, in this order, and touch as few as possible: what stays keeps focus and place.
 * Each wanted child is { key, sign, make }: made again if its `sign`, which covers all that it shows, has changed.
 */
export function arrange(list, wanted) {
    const focused = list.contains(document.activeElement) ? document.activeElement : null;
    const before = new Map(Array.from(list.children, (child) => [child.dataset.key, child]));
    let place = list.firstElementChild;
    const used = new Map();
    for (const { key: name, sign, make: makeChild } of wanted) {
        const times = (used.get(name) ?? 0) + 1;
        used.set(name, times);
        const key = times === 1 ? name : `${name} (${times})`; // two may share a name, and both are shown
        const old = before.get(key);
        before.delete(key);
        if (old !== undefined && signs.get(old) === sign) {
            if (old === place) place = place.nextElementSibling;
            else list.insertBefore(old, place);
            continue;
        }
        const child = makeChild();
        child.dataset.key = key;
        signs.set(child, sign);
        if (old === undefined) list.insertBefore(child, place);
        else {
            if (old === place) place = place.nextElementSibling;
            replace(old, child, list, place);
        }
    }
    for (const gone of before.values()) gone.remove();
    // What is moved loses the focus.
    if (focused?.isConnected && document.activeElement !== focused) focused.focus({ preventScroll: true });
}

function replace(old, child, list, place) {
    const hadFocus = old.contains(document.activeElement);
    old.remove();
    list.insertBefore(child, place);
    if (hadFocus)
        (child.matches("button, a") ? child : child.querySelector("button, a"))?.focus({ preventScroll: true });
}

function furnish(element, settings, children) {
    const { text, data, hue, on, ...attributes } = settings;
    if (text !== undefined && text !== null) element.textContent = text;
    for (const [name, value] of Object.entries(data ?? {})) if (value !== undefined) element.dataset[name] = value;
    for (const [name, value] of Object.entries(attributes)) {
        if (value !== undefined && value !== null && value !== false)
            element.setAttribute(name, value === true ? "" : value);
    }
    if (hue !== undefined) element.style.setProperty("--hue", hue);
    for (const [event, listener] of Object.entries(on ?? {})) element.addEventListener(event, listener);
    element.append(...children.filter((child) => child !== null && child !== undefined));
    return element;
}
