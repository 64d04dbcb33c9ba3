/** The live connection: what arrives and the collector's pulse, over losses of the connection and its restarts. */

const PATIENCE = 5000; // ms without a pulse, of which there is one a second, until the connection counts as lost
const REST = 60_000; // ms hidden until the connection is closed: a browser allows six per address
const AGAIN = 1500; // ms until a connection that the browser gave up on is tried again

export class Live {
    /**
     * `hear` has onItems(items), onPulse(pulse), onState("live" | "lost"), onRestart(), when all begins anew, and
     * onRefused(), when there is an answer that is no stream.
     */
    constructor(hear) {
        this._hear = hear;
        this._source = null;
        this._mark = null; // where the collector is to go on
        this._last = 0; // the number of the latest request that was heard of
        this._clears = null;
        this._heard = performance.now();
        this._rest = null;
        setInterval(() => this._look(), 1000);
        document.addEventListener("visibilitychange", () => this._restOrWake());
    }

    /** Connect, and receive what is not known yet. */
    connect() {
        this._source?.close();
        const source = new EventSource(this._mark === null ? "stream" : `stream?after=${this._mark}`);
        this._source = source;
        this._heard = performance.now();
        source.addEventListener("arrivals", (event) => this._take(JSON.parse(event.data), event.lastEventId));
        source.addEventListener("pulse", (event) => this._onPulse(JSON.parse(event.data)));
        source.addEventListener("error", () => this._lose(source));
    }

    /** Begin anew, with the collector's latest. */
    restart() {
        this._mark = null;
        this._last = 0;
        this._hear.onRestart();
        this.connect();
    }

    _take({ items }, mark) {
        this._heard = performance.now();
        this._hear.onState("live");
        this._mark = mark;
        this._last = items.at(-1).number;
        this._hear.onItems(items);
    }

    _onPulse(pulse) {
        this._heard = performance.now();
        this._hear.onState("live");
        const isCleared = this._clears !== null && pulse.clears !== this._clears;
        const isAnother = pulse.last < this._last; // it lost what it had sent, such as after a crash
        this._clears = pulse.clears;
        if (isCleared || isAnother) this.restart();
        this._hear.onPulse(pulse);
    }

    _lose(source) {
        this._hear.onState("lost");
        if (source.readyState !== EventSource.CLOSED) return; // the browser tries again by itself
        this._hear.onRefused();
        setTimeout(() => source === this._source && this.connect(), AGAIN);
    }

    /** A connection may be lost without an error. */
    _look() {
        if (this._source === null) return;
        if (performance.now() - this._heard < PATIENCE) return;
        this._hear.onState("lost");
        this.connect();
    }

    /** A hidden page needs no connection; it gets what it missed when it is shown again. */
    _restOrWake() {
        clearTimeout(this._rest);
        if (document.hidden) this._rest = setTimeout(() => this._sleep(), REST);
        else if (this._source === null) this.connect();
    }

    _sleep() {
        this._source.close();
        this._source = null;
    }
}
