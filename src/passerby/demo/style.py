"""The demo shop's style sheet."""

STYLE = """
:root {
  color-scheme: light dark;
  --paper: #faf8f3; --ink: #22302b; --soft: #63706a; --line: #e2ddd0; --tile: #eef0e6;
  --accent: #1f6a4d; --on-accent: #ffffff; --problem: #a3341f;
}
@media (prefers-color-scheme: dark) {
  :root {
    --paper: #161b19; --ink: #e8ebe6; --soft: #9aa8a1; --line: #2e3733; --tile: #202825;
    --accent: #7cc9a4; --on-accent: #10211a; --problem: #f0937c;
  }
}
* { box-sizing: border-box; }
body {
  margin: 0 auto; max-width: 60rem; padding: 0 1rem; background: var(--paper); color: var(--ink);
  font: 1.0625rem/1.55 system-ui, sans-serif; overflow-wrap: anywhere;
}
header, nav { display: flex; flex-wrap: wrap; align-items: center; gap: .25rem 1rem; }
header { justify-content: space-between; padding: 1rem 0; border-bottom: 1px solid var(--line); }
.name { font-family: Georgia, serif; font-size: 1.5rem; letter-spacing: .02em; text-decoration: none; }
h1 { font-family: Georgia, serif; font-weight: 400; font-size: clamp(1.6rem, 5vw, 2.4rem); line-height: 1.2; }
h2 { font-size: 1rem; margin: 0 0 .5rem; }
a { color: inherit; text-underline-offset: .2em; }
a:hover { color: var(--accent); }
nav a, nav button { padding: .5rem 0; }
:focus-visible { outline: 3px solid var(--accent); outline-offset: 3px; border-radius: .2rem; }
main { padding: 1rem 0 3rem; min-height: 50vh; }
ul { list-style: none; margin: 0; padding: 0; }
.tiles { display: grid; gap: 1.5rem 1rem; grid-template-columns: repeat(2, minmax(0, 1fr)); }
@media (min-width: 40rem) { .tiles { grid-template-columns: repeat(3, minmax(0, 1fr)); } }
.tiles a { display: flex; flex-direction: column; text-decoration: none; }
.tiles svg { margin-bottom: .5rem; }
svg {
  width: 100%; padding: 15%; border-radius: 1rem; background: var(--tile);
  fill: none; stroke: var(--accent); stroke-width: 2.5; stroke-linecap: round; stroke-linejoin: round;
}
.price { color: var(--soft); font-variant-numeric: tabular-nums; }
.product {
  display: grid; gap: 1.5rem;
  grid-template-columns: repeat(auto-fit, minmax(min(100%, 16rem), 1fr));
}
.product h1 { margin-top: 0; }
button {
  font: inherit; cursor: pointer; padding: .7rem 1.4rem; border: 0; border-radius: 2rem;
  background: var(--accent); color: var(--on-accent);
}
button.plain {
  padding: .5rem 0; background: none; color: inherit; text-decoration: underline; text-underline-offset: .2em;
}
.count {
  display: inline-block; padding: .1rem .5rem; border-radius: 1rem; background: var(--tile);
  font-variant-numeric: tabular-nums;
}
.lines li {
  display: grid; grid-template-columns: 1fr auto auto; gap: .25rem 1rem; align-items: center;
  padding: .5rem 0; border-bottom: 1px solid var(--line);
}
.total { text-align: right; }
.fields { display: grid; gap: 1rem; max-width: 24rem; }
.fields label { display: grid; gap: .25rem; }
input {
  font: inherit; padding: .6rem .8rem; border: 1px solid var(--soft); border-radius: .5rem;
  background: none; color: inherit;
}
.problem { color: var(--problem); }
footer { padding: 1rem 0 2rem; border-top: 1px solid var(--line); color: var(--soft); font-size: .9rem; }
dl { display: grid; grid-template-columns: max-content 1fr; gap: .25rem 1rem; margin: 0; }
dd { margin: 0; }
"""
