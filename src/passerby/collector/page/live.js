/** The live connection: what arrives and the collector's pulse, over losses of the connection and its restarts. */

const PATIENCE = 5000; // ms without a pulse, of which there is one a second, until the connection counts as lost
const REST = 60_000; // ms out of sight until the connection is given back: a browser has but six to one address
const AGAIN = 1500; // ms until a connection that the browser gave up on is tried again

export class Live {
    /** `hear` has onItems(items), onPulse(pulse), onState("live" | "lost") and onRestart(), when all begins anew. */
    constructor(hear) {
        this._hear = hear;
        this._source = null;
        this._first = null; // numbers of requests
        this._last = null;
        this._clears = null;
        this._isNew = false; // no pulse since the connection was made
        this._heard = performance.now();
        this._rest = null;
        setInterval(() => this._look(), 1000);
        document.addEventListener("visibilitychange", () => this._restOrWake());
    }

    /** Connect; `after` is the number of the last request that is known already. */
    connect(after = null) {
        this._source?.close();
        const source = new EventSource(after === null ? "stream" : `stream?after=${after}`);
        this._source = source;
        this._heard = performance.now();
        source.addEventListener("open", () => (this._isNew = true));
        source.addEventListener("arrivals", (event) => this._take(JSON.parse(event.data)));
        source.addEventListener("pulse", (event) => this._feel(JSON.parse(event.data)));
        source.addEventListener("error", () => this._lose(source));
    }

    /** Begin anew, with the collector's latest. */
    restart() {
        this._first = this._last = null;
        this._hear.onRestart();
        this.connect();
    }

    _take({ items, last }) {
        this._heard = performance.now();
        this._hear.onState("live");
        if (items.length > 0) this._first ??= items[0].number;
        this._last = last;
        this._hear.onItems(items);
    }

    _feel(pulse) {
        this._heard = performance.now();
        this._hear.onState("live");
        const isOther = this._isNew && this._isAnother(pulse);
        const isCleared = this._clears !== null && pulse.clears !== this._clears;
        this._isNew = false;
        this._clears = pulse.clears;
        if (isOther || isCleared) this.restart();
        this._hear.onPulse(pulse);
    }

    /** A collector that has fewer requests than were seen here is not the one that was here before. */
    _isAnother(pulse) {
        return this._first !== null && pulse.counts.requests < this._last - this._first + 1;
    }

    _lose(source) {
        this._hear.onState("lost");
        if (source.readyState !== EventSource.CLOSED) return; // the browser tries again by itself
        setTimeout(() => source === this._source && this.connect(this._last), AGAIN);
    }

    /** A connection may die without a word. */
    _look() {
        if (this._source === null) return;
        if (performance.now() - this._heard < PATIENCE) return;
        this._hear.onState("lost");
        this.connect(this._last);
    }
    /** A page that nobody looks at needs no connection; what it missed is told when it is looked at again. */
    _restOrWake() {
        clearTimeout(this._rest);
        if (document.hidden) this._rest = setTimeout(() => this._sleep(), REST);
        else if (this._source === null) this.connect(this._last);
    }

    _sleep() {
        this._source.close();
        this._source = null;
    }
}
