/** One stop of the Tab key for a whole list; the arrow keys move within it. */

const STEPS = { ArrowDown: 1, ArrowUp: -1, PageDown: 10, PageUp: -10, Home: -Infinity, End: Infinity };

/**
 * Let the arrow keys walk through the rows of a list.
 *
 * `rows` selects them, `first` what is focused in a row, `more` the other things in it, reached with left and right.
 */
export function rove(list, { rows, first, more = null }) {
    let current = null;
    const within = (row) => [...row.querySelectorAll(more === null ? first : `${first}, ${more}`)];
    const own = (row) => (row.matches(first) ? row : row.querySelector(first));

    function settle(row) {
        if (current !== null && current !== row) setStops(current, -1);
        current = row;
        setStops(row, 0);
    }

    function setStops(row, value) {
        for (const each of row.matches(first) ? [row] : within(row)) each.tabIndex = value;
    }

    list.addEventListener("focusin", (event) => {
        const row = event.target.closest(rows);
        if (row !== null) settle(row);
    });
    list.addEventListener("keydown", (event) => {
        const row = event.target.closest(rows);
        if (row === null || event.altKey || event.ctrlKey || event.metaKey) return;
        const target =
            event.key in STEPS ? own(stepped(list, rows, row, STEPS[event.key])) : sideways(within(row), event);
        if (!target) return;
        event.preventDefault();
        target.focus();
        target.scrollIntoView({ block: "nearest" });
    });
    return {
        /** Have a place for the Tab key to stop at, where the row that was one is gone. */
        refresh() {
            if (current !== null && list.contains(current)) return;
            const next = list.querySelector(rows);
            current = null;
            if (next !== null) settle(next);
        },
    };
}

function stepped(list, rows, row, steps) {
    const all = [...list.querySelectorAll(rows)];
    return all[Math.min(all.length - 1, Math.max(0, all.indexOf(row) + steps))];
}

function sideways(parts, event) {
    if (event.key !== "ArrowLeft" && event.key !== "ArrowRight") return null;
    const place = parts.indexOf(event.target) + (event.key === "ArrowRight" ? 1 : -1);
    return parts[place] ?? null;
}
