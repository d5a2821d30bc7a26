"""Pipelines as SVG: laid out and drawn by hand, for light and dark pages alike."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from html import escape

from flujo.cli.draw import Box

GAP, LANE_GAP, PAD, HEAD = 30, 26, 18, 30
MARGIN = 24

STYLE = """\
svg{--ink:#1f2933;--soft:#66727f;--line:#8a97a5;--card:#ffffff;--edge:#b8c2cc;--frame:#f4f6f8;--page:#ffffff;
--person:#fff4d6;--person-edge:#c98a10;--wait:#e8f1fb;--wait-edge:#4b86c2;--pick:#f1ebfb;--pick-edge:#8a63c9;
--end:#1f2933;--end-ink:#ffffff}
@media(prefers-color-scheme:dark){svg{--ink:#e6ebf0;--soft:#9aa7b4;--line:#74828f;--card:#232b33;--edge:#4a5763;
--frame:#1b2228;--page:#13181d;--person:#3a2f12;--person-edge:#d9a43a;--wait:#172a3d;--wait-edge:#5b9ad8;
--pick:#2a2140;--pick-edge:#a584de;--end:#e6ebf0;--end-ink:#13181d}}
text{font-family:ui-sans-serif,system-ui,'Segoe UI',Helvetica,Arial,sans-serif}
text{fill:var(--ink);text-anchor:middle}
.page{fill:var(--page)}.name{font-size:13px;font-weight:600}.note{font-size:11px;fill:var(--soft)}
.edge-name{font-size:11px;fill:var(--soft);stroke:var(--page);stroke-width:5px;paint-order:stroke}
.inside .edge-name{stroke:var(--frame)}.title{text-anchor:start}
.card{fill:var(--card);stroke:var(--edge);stroke-width:1.2}.frame{fill:var(--frame);stroke:var(--edge)}
.person{fill:var(--person);stroke:var(--person-edge)}.wait{fill:var(--wait);stroke:var(--wait-edge)}
.pick{fill:var(--pick);stroke:var(--pick-edge)}.end{fill:var(--end)}.end-name{fill:var(--end-ink)}
.line{fill:none;stroke:var(--line);stroke-width:1.4}.aside{stroke-dasharray:4 3}.tip{fill:var(--line)}"""

_LOOKS = {"human": "card person", "event": "card wait", "sleep": "card wait", "branch": "card pick"}

_SHARES = {**dict.fromkeys("iljtfr.,:;'| ", 0.6), **dict.fromkeys("mwMW@%", 1.5)}

Paint = Callable[[float, float], str]


@dataclass(frozen=True, slots=True)
class Block:
    """Something with a size that can be painted anywhere; lines come in and go out along its axis.

    Attributes:
        width: In pixels, as all here.
        height: Likewise.
        axis: How far from its left edge lines enter at the top and leave at the bottom.
        paint: Gives its SVG, with its upper left corner at a point.
    """

    width: float
    height: float
    axis: float
    paint: Paint


def svg(box: Box) -> str:
    """Return a picture as an SVG document."""
    parts = [_end(box.label), *(_block(part) for _, part in _opened(box.parts)), _end("done")]
    whole = _stack(parts)
    width, height = whole.width + 2 * MARGIN, whole.height + 2 * MARGIN
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width:g}" height="{height:g}" '
        f'viewBox="0 0 {width:g} {height:g}" role="img">\n'
        f"<title>{escape(box.label)}</title>\n<style>{STYLE}</style>\n"
        '<defs><marker id="tip" viewBox="0 0 8 8" refX="7" refY="4" '
        'markerWidth="7" markerHeight="7" orient="auto">'
        '<path class="tip" d="M0 0.6 L8 4 L0 7.4 Z"/></marker></defs>\n'
        f'<rect class="page" width="{width:g}" height="{height:g}"/>\n{whole.paint(MARGIN, MARGIN)}\n</svg>\n'
    )


def _block(box: Box) -> Block:
    match box.kind:
        case "sequence":
            return _stack([_block(part) for _, part in box.parts])
        case "parallel":
            return _frame(box, _lanes([(label, _block(part)) for label, part in box.parts]))
        case "branch":
            lanes = _lanes([(label, _block(part)) for label, part in box.parts], start=4)
            return _stack([_card(box), lanes], gap=0)
        case "map" | "sub":
            return _frame(box, _stack([_block(part) for _, part in box.parts]), deck=box.kind == "map")
        case "loop":
            return _frame(box, _again(_stack([_block(part) for _, part in box.parts])))
        case _:
            return _with_asides(_card(box), [(label, _block(part)) for label, part in box.parts])


def _card(box: Box) -> Block:
    """One node: its name, and below it what is worth knowing."""
    name, notes = _cut(box.label, 40), [_cut(note, 44) for note in box.notes]
    width = max(104.0, _width(name, 7.7) + 34, *(_width(note, 6.1) + 30 for note in notes))
    height = 38.0 + 15 * len(notes)
    look = _LOOKS.get(box.kind, "card")

    def paint(x: float, y: float) -> str:
        middle = x + width / 2
        lines = [
            _rect(look, x, y, width, height, _radius(box.kind)),
            _text("name", middle, y + 23.5, name),
            *(_text("note", middle, y + 39 + 15 * at, note) for at, note in enumerate(notes)),
        ]
        return "\n".join([f"<g><title>{escape(box.path or box.label)}</title>", *lines, "</g>"])

    return Block(width, height, width / 2, paint)


def _end(label: str) -> Block:
    """The pill that a picture begins and ends with."""
    name = _cut(label, 40)
    width = max(72.0, _width(name, 7.6) + 32)

    def paint(x: float, y: float) -> str:
        return f"{_rect('end', x, y, width, 28, 14)}\n{_text('name end-name', x + width / 2, y + 18.5, name)}"

    return Block(width, 28, width / 2, paint)


def _stack(blocks: Sequence[Block], gap: float = GAP) -> Block:
    """Blocks below one another, on one axis, joined by arrows."""
    axis = max(block.axis for block in blocks)
    width = axis + max(block.width - block.axis for block in blocks)
    height = sum(block.height for block in blocks) + gap * (len(blocks) - 1)

    def paint(x: float, y: float) -> str:
        painted: list[str] = []
        for at, block in enumerate(blocks):
            if at and gap:
                painted.append(_arrow([(x + axis, y - gap), (x + axis, y)]))
            painted.append(block.paint(x + axis - block.axis, y))
            y += block.height + gap
        return "\n".join(painted)

    return Block(width, height, axis, paint)


def _lanes(lanes: Sequence[tuple[str, Block]], start: float = 0) -> Block:
    """Blocks beside one another: lines fan out to them from the axis, and come together below."""
    blocks = [block for _, block in lanes]
    slots = [max(block.width, _width(label, 6.4) + 12) for label, block in lanes]
    width = sum(slots) + LANE_GAP * (len(lanes) - 1)
    inner = max(block.height for block in blocks)
    fan, join = 44.0 + start, 24.0
    axis = width / 2

    def paint(x: float, y: float) -> str:
        painted: list[str] = []
        names: list[str] = []
        left = x
        for (label, block), slot in zip(lanes, slots, strict=True):
            lane = left + (slot - block.width) / 2
            enter = lane + block.axis
            bend, bottom = y + 12 + start, y + fan + inner + join
            painted.append(_arrow([(x + axis, y), (x + axis, bend), (enter, bend), (enter, y + fan)]))
            painted.append(block.paint(lane, y + fan))
            painted.append(
                _line(
                    [
                        (enter, y + fan + block.height),
                        (enter, bottom - 12),
                        (x + axis, bottom - 12),
                        (x + axis, bottom),
                    ]
                )
            )
            names.append(_text("edge-name", enter, y + fan - 13, label))
            left += slot + LANE_GAP
        return "\n".join([*painted, *names])

    return Block(width, fan + inner + join, axis, paint)


def _frame(box: Box, body: Block, *, deck: bool = False) -> Block:
    """A container: a titled frame around what it holds; a deck of frames where there are many."""
    title, notes = _cut(box.label, 40), _cut(", ".join(box.notes), 60)
    titled = _width(title, 7.9) + _width(notes, 6.1) + 20 + 2 * PAD
    extra = max(0.0, titled - body.width - 2 * PAD) / 2
    width = body.width + 2 * PAD + 2 * extra
    height = body.height + HEAD + 2 * PAD
    step = 5 if deck else 0
    axis = PAD + extra + body.axis

    def paint(x: float, y: float) -> str:
        decks = [
            _rect("frame", x + k * step, y + k * step, width, height, 10)
            for k in ((2, 1, 0) if deck else (0,))
        ]
        top, bottom = y + HEAD + PAD, y + HEAD + PAD + body.height
        middle = x + axis
        tail = step * 2
        return "\n".join(
            [
                f'<g class="inside"><title>{escape(box.path)}</title>',
                *decks,
                _text("name title", x + 14, y + 21, title),
                _text("note title", x + 14 + _width(title, 7.9) + 10, y + 21, notes),
                _line([(middle, y + HEAD - 2), (middle, top)]),
                body.paint(x + PAD + extra, top),
                _line([(middle, bottom), (middle, y + height + tail)]),
                "</g>",
            ]
        )

    return Block(width + 2 * step, height + 2 * step, axis, paint)


def _again(body: Block) -> Block:
    """What a loop holds: beside it a line leads back from its end to its beginning."""
    back, room = 26.0, 14.0

    def paint(x: float, y: float) -> str:
        middle, right = x + body.axis, x + body.width + back - 6
        bottom = y + room + body.height
        return "\n".join(
            [
                _arrow([(middle, y), (middle, y + room)]),
                body.paint(x, y + room),
                _line([(middle, bottom), (middle, bottom + room)]),
                _arrow(
                    [(middle, bottom + 7), (right, bottom + 7), (right, y + 3), (middle + 2, y + 3)],
                    look="line aside",
                ),
            ]
        )

    return Block(body.width + back, body.height + 2 * room, body.axis, paint)


def _with_asides(card: Block, asides: Sequence[tuple[str, Block]]) -> Block:
    """A node, and beside it what runs in its place: a fallback, or what follows a denial."""
    for label, aside in asides:
        card = _with_aside(card, label, aside)
    return card


def _with_aside(card: Block, label: str, aside: Block) -> Block:
    gap = max(40.0, _width(label, 6.4) + 24)
    height = max(card.height, aside.height) + 20

    def paint(x: float, y: float) -> str:
        right = x + card.width + gap
        level, join, enter = y + 19, y + height - 8, right + aside.axis
        return "\n".join(
            [
                card.paint(x, y),
                aside.paint(right, y),
                _arrow([(x + card.width, level), (right, level)], look="line aside"),
                _text("edge-name", x + card.width + gap / 2 - 2, level - 6, label),
                _line([(x + card.axis, y + card.height), (x + card.axis, y + height)]),
                _line([(enter, y + aside.height), (enter, join), (x + card.axis, join)], look="line aside"),
            ]
        )

    return Block(card.width + gap + aside.width, height, card.axis, paint)


def _line(points: Sequence[tuple[float, float]], *, look: str = "line", tip: str = "") -> str:
    """A line through points, with its corners rounded."""
    path = [f"M{points[0][0]:g} {points[0][1]:g}"]
    for before, (x, y), after in zip(points, points[1:], points[2:], strict=False):
        (ax, ay), (bx, by) = _toward((x, y), before), _toward((x, y), after)
        path.append(f"L{ax:g} {ay:g} Q{x:g} {y:g} {bx:g} {by:g}")
    path.append(f"L{points[-1][0]:g} {points[-1][1]:g}")
    return f'<path class="{look}" d="{" ".join(path)}"{tip}/>'


def _arrow(points: Sequence[tuple[float, float]], *, look: str = "line") -> str:
    return _line(points, look=look, tip=' marker-end="url(#tip)"')


def _toward(
    corner: tuple[float, float], other: tuple[float, float], radius: float = 6
) -> tuple[float, float]:
    """Return the point on the way from a corner to another point where the rounding ends."""
    dx, dy = other[0] - corner[0], other[1] - corner[1]
    length = abs(dx) + abs(dy)
    share = 0 if not length else min(radius, length / 2) / length
    return corner[0] + dx * share, corner[1] + dy * share


def _rect(look: str, x: float, y: float, width: float, height: float, radius: int) -> str:
    size = f'x="{x:g}" y="{y:g}" width="{width:g}" height="{height:g}"'
    return f'<rect class="{look}" {size} rx="{radius}"/>'


def _text(look: str, x: float, y: float, text: str) -> str:
    return f'<text class="{look}" x="{x:g}" y="{y:g}">{escape(text)}</text>' if text else ""


def _opened(parts: Sequence[tuple[str, Box]]) -> Sequence[tuple[str, Box]]:
    return parts[0][1].parts if len(parts) == 1 and parts[0][1].kind == "sequence" else parts


def _width(text: str, each: float) -> float:
    """Return about how wide a text is: wide characters of East Asia count twice."""
    return sum(each * (1.8 if ord(c) > 0x2E7F else _SHARES.get(c, 1.0)) for c in text)


def _cut(text: str, limit: int) -> str:
    return text if len(text) <= limit else text[: limit - 1] + "…"


def _radius(kind: str) -> int:
    return {"branch": 19, "sleep": 19, "event": 19}.get(kind, 7)
