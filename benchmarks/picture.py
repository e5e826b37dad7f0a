"""The record as a picture: three bars a row, each row on its own scale; readable in light and in dark."""

from collections.abc import Mapping
from html import escape
from typing import Any, Final

WIDTH: Final = 760
LABEL: Final = 150
BAR: Final = 16
ROW: Final = 92
TOP: Final = 64
LONGEST: Final = WIDTH - LABEL - 190

SUBTITLE: Final = (
    "Deputize writes to SQLite and waits for the disk; the peer keeps all in memory. Each row has its own scale."
)
STYLE: Final = """
  text { font: 13px system-ui, sans-serif; fill: #1f2328; }
  .title { font-weight: 600; font-size: 15px; }
  .small { font-size: 11.5px; fill: #59636e; }
  .name { font-weight: 600; }
  .back { fill: #ffffff; }
  .ours { fill: #1f6feb; }
  .peer { fill: #8c959f; }
  .limit { fill: none; stroke: #59636e; stroke-dasharray: 3 3; }
  @media (prefers-color-scheme: dark) {
    text { fill: #e6edf3; }
    .small { fill: #9198a1; }
    .back { fill: #0d1117; }
    .ours { fill: #4493f8; }
    .peer { fill: #656c76; }
    .limit { stroke: #9198a1; }
  }
"""

SAYS: Final = {
    "cc_secret": ("client_credentials", "with a secret"),
    "cc_pkj": ("client_credentials", "private_key_jwt"),
    "cc_pkj_dpop": ("client_credentials", "private_key_jwt + DPoP"),
    "introspect": ("introspection", ""),
    "jwks": ("JWK set", ""),
}


def drawn(record: Mapping[str, Any]) -> str:
    """The SVG."""
    rows = [row for row in record["rows"] if row["id"] in SAYS]
    height = TOP + ROW * len(rows) + 34
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" role="img" aria-labelledby="title">',
        '<title id="title">Requests a second on one core: Deputize, its peer, and the raw limit</title>',
        f"<style>{STYLE}</style>",
        f'<rect class="back" width="{WIDTH}" height="{height}" rx="8"/>',
        '<text class="title" x="16" y="26">Requests a second on one core</text>',
        f'<text class="small" x="16" y="46">{SUBTITLE}</text>',
    ]
    for nth, row in enumerate(rows):
        lines += _row(row, TOP + nth * ROW)
    lines += [f'<text class="small" x="16" y="{height - 14}">{escape(str(record["machine"]))}</text>', "</svg>"]
    return "\n".join(lines) + "\n"


def _row(row: Mapping[str, Any], top: int) -> list[str]:
    bars = [("ours", "Deputize", row["ours_per_s"]), ("peer", row["peer"], row["peer_per_s"])]
    limit = row["limit_per_s"]
    bars = [(kind, name, rate) for kind, name, rate in bars if rate]
    longest = max([rate for _, _, rate in bars] + ([limit] if limit else []))
    first, second = SAYS[row["id"]]
    lines = [
        f'<text class="name" x="16" y="{top + 20}">{escape(first)}</text>',
        f'<text class="small" x="16" y="{top + 37}">{escape(second)}</text>',
    ]
    for nth, (kind, name, rate) in enumerate(bars):
        y = top + 8 + nth * (BAR + 6)
        length = max(2, round(LONGEST * rate / longest))
        times = f" · {row['ratio_to_peer']:.1f} ×" if kind == "ours" and row["ratio_to_peer"] else ""
        lines += [
            f'<rect class="{kind}" x="{LABEL}" y="{y}" width="{length}" height="{BAR}" rx="3"/>',
            f'<text x="{LABEL + length + 8}" y="{y + 13}">{escape(str(name))} {rate:,.0f}{times}</text>',
        ]
    if limit:
        y = top + 8 + len(bars) * (BAR + 6)
        length = max(2, round(LONGEST * limit / longest))
        what = "bare HTTP stack" if row["id"] == "jwks" else "raw signatures alone"
        lines += [
            f'<rect class="limit" x="{LABEL}" y="{y}" width="{length}" height="{BAR}" rx="3"/>',
            f'<text class="small" x="{LABEL + length + 8}" y="{y + 13}">{what} {limit:,.0f}</text>',
        ]
    return lines
