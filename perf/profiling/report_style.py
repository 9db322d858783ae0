"""How the page looks, in light and in dark."""

#: Stage -> (color in light, color in dark). Neighbors differ in lightness too, for who sees few colors.
COLORS = {
    "read": ("#2a78d6", "#3987e5"),
    "header": ("#4a3aa7", "#9085e9"),
    "decode": ("#eb6834", "#e0683a"),
    "augment": ("#1baf7a", "#1fae7c"),
    "handoff": ("#eda100", "#d09216"),
    "copy": ("#d9588c", "#d55181"),
    "compute": ("#008300", "#35a135"),
    "other": ("#8a8984", "#8f8e88"),
    "step": ("#6d6c66", "#a3a29a"),
    "wait": ("#cfcdc4", "#4a4945"),
}

_STYLE = """
:root{color-scheme:light dark;--bg:#f9f9f7;--card:#fcfcfb;--ink:#0b0b0b;--ink2:#52514e;--ink3:#71706b;
--line:#e1e0d9;--accent:#2a78d6;LIGHT}
@media (prefers-color-scheme:dark){:root{--bg:#0d0d0d;--card:#1a1a19;--ink:#fff;--ink2:#c3c2b7;--ink3:#9a9992;
--line:#33332f;--accent:#3987e5;DARK}}
*{box-sizing:border-box}
body{margin:0;background:var(--bg);color:var(--ink);
font:15px/1.5 system-ui,-apple-system,"Segoe UI",sans-serif}
main{max-width:940px;margin:0 auto;padding:28px 20px 60px}
h1{font-size:22px;margin:0;letter-spacing:-.01em}
h2{font-size:16px;margin:0 0 4px}
p{margin:0 0 10px}
.sub{color:var(--ink2);margin:2px 0 18px}
.note{color:var(--ink2);font-size:13.5px}
section{background:var(--card);border:1px solid var(--line);border-radius:10px;
padding:18px 20px;margin:16px 0;overflow-x:auto}
.verdict{border-left:5px solid var(--accent);font-size:16.5px}
.verdict p{margin:0}
.tiles{display:grid;grid-template-columns:repeat(auto-fit,minmax(150px,1fr));gap:14px}
.tile b{display:block;font-size:24px;font-weight:600;letter-spacing:-.02em;font-variant-numeric:tabular-nums}
.tile span{display:block;color:var(--ink2);font-size:13px}
.tile i{display:block;color:var(--ink3);font-size:12px;font-style:normal}
svg{width:100%;min-width:600px;height:auto;display:block;margin:8px 0}
svg text{font-family:inherit;fill:var(--ink2)}
.t{font-size:13px}.v{font-size:13px;font-variant-numeric:tabular-nums}.s{font-size:11.5px}
svg .v{fill:var(--ink)}
.grid{stroke:var(--line);stroke-width:1}
.line{fill:none;stroke-width:2;stroke-linejoin:round}
.dot{stroke:var(--card);stroke-width:2}
rect:hover,circle:hover{opacity:.75}
.scroll{overflow-x:auto}
table{border-collapse:collapse;width:100%;font-size:13.5px;margin-top:8px}
th{font-weight:500;color:var(--ink2);text-align:right;border-bottom:1px solid var(--line);padding:4px 10px}
td{text-align:right;padding:4px 10px;border-bottom:1px solid var(--line);font-variant-numeric:tabular-nums}
td{white-space:nowrap}
td.w{white-space:normal;min-width:130px}
td.w,th.w{text-align:left}
th:first-child,td:first-child{text-align:left;padding-left:0;white-space:nowrap}
tr:last-child td{border-bottom:0}
.legend{display:flex;flex-wrap:wrap;gap:6px 16px;color:var(--ink2);font-size:13px;margin-top:6px}
.legend i{display:inline-block;width:11px;height:11px;border-radius:3px;margin-right:6px}
code{font-size:13px;overflow-wrap:anywhere}
"""


def style() -> str:
    """The page's style sheet."""
    light = "".join(f"--c-{name}:{colors[0]};" for name, colors in COLORS.items())
    dark = "".join(f"--c-{name}:{colors[1]};" for name, colors in COLORS.items())
    fills = "".join(
        f".f-{name}{{fill:var(--c-{name});background:var(--c-{name})}}.l-{name}{{stroke:var(--c-{name})}}"
        f".dot.l-{name}{{fill:var(--c-{name});stroke:var(--card)}}"
        for name in COLORS
    )
    return _STYLE.replace("LIGHT", light).replace("DARK", dark) + fills
