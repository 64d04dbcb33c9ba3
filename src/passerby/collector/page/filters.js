/** The fields of the filter of the stream. */

import { makeFilter } from "./arrivals.js";
import { byId, make, say, show } from "./dom.js";
import { keepRoute, personRoute } from "./route.js";
import { chip } from "./row.js";

const FIELDS = {
    text: "filter-text",
    visitor: "filter-visitor",
    system: "filter-system",
    type: "filter-type",
    outcome: "filter-outcome",
};

export class Filters {
    /** `onChange` is called with each new filter. */
    constructor(onChange) {
        this._onChange = onChange;
        this._types = new Set();
        this.settings = {};
        this.test = makeFilter({});
        byId("filters").addEventListener("submit", (event) => event.preventDefault());
        byId("filters").addEventListener("input", () => this._read());
        byId("filter-reset").addEventListener("click", () => this.reset());
        byId("stream-none-reset").addEventListener("click", () => this.reset());
        byId("filters-toggle").addEventListener("click", () => this._toggle());
    }

    get isOpen() {
        return Object.values(this.settings).every((value) => !value);
    }

    /** Take the filter from the address where it brings one; else the address takes ours. */
    enter(settings) {
        if (Object.keys(settings).length > 0) this.set(settings);
        else keepRoute("stream", [], this.settings);
    }

    set(settings) {
        for (const [name, id] of Object.entries(FIELDS)) this._fill(byId(id), settings[name] ?? "");
        this._read();
    }

    /** Change some of it. */
    change(settings) {
        this.set({ ...this.settings, ...settings });
    }

    reset() {
        this.set({});
        byId("filter-text").focus();
    }

    /** Offer the types that have arrived. */
    offer(types) {
        const select = byId("filter-type");
        for (const type of types) {
            if (this._types.has(type)) continue;
            this._types.add(type);
            const after = [...select.options].slice(1).find((option) => option.value.localeCompare(type) > 0);
            select.insertBefore(make("option", { value: type, text: type }), after ?? null);
        }
    }

    _fill(field, value) {
        if (field.id === "filter-type" && value && !this._types.has(value)) {
            this._types.add(value);
            field.append(make("option", { value, text: value }));
        }
        if (field.value !== value) field.value = value;
    }

    _read() {
        const settings = Object.fromEntries(Object.entries(FIELDS).map(([name, id]) => [name, byId(id).value]));
        if (JSON.stringify(settings) === JSON.stringify(this.settings)) return;
        this.settings = settings;
        this.test = makeFilter(settings);
        const hidden = Object.entries(settings).filter(([name, value]) => name !== "text" && value).length;
        say(byId("filters-toggle"), hidden ? `Filter (${hidden})` : "Filter");
        show(byId("filter-reset"), !this.isOpen);
        if (!byId("view-stream").hidden) keepRoute("stream", [], settings);
        this._showVisitor(settings.visitor.trim());
        this._onChange();
    }

    _showVisitor(visitor) {
        show(byId("only-visitor"), visitor !== "");
        if (visitor === "") return;
        byId("only-visitor-chip").replaceChildren(chip(visitor));
        const system = this.settings.system || "any";
        byId("only-visitor-open").href = personRoute(system, "any", visitor);
    }

    _toggle() {
        const isOpen = byId("filters").classList.toggle("is-open");
        byId("filters-toggle").setAttribute("aria-expanded", String(isOpen));
    }
}
