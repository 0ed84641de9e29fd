"""Draw the figures of a story: a page with the uplinks, the way of every host to the whole file, and where time went.

Small swarms have a lane a host, in which each colour is a receiver; large ones a heat map with a row a host. What is
pale is idle: an uplink that was there and carried nothing.
"""

from __future__ import annotations

import colorsys
from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("Agg")  # a file is wanted, no window

from matplotlib import pyplot as plt
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.ticker import PercentFormatter

from shoal.testing.picture.figures import Figures, Lane
from shoal.testing.scenarios import Outcome
from shoal.testing.scenarios.story import Story

MOST_DIGITS = 14  # hosts; with more there is no room for figures in the matrix
FILLED = 0.84  # of a lane's height
INK, GREY, IDLE, PAPER = "#22303c", "#7a8a99", "#e9edf1", "#ffffff"
SEED, BOUND, IN_VAIN = "#22303c", "#d1495b", "#d1495b"
KIND_COLOURS = {
    "first copies": "#1d4e89",
    "more of them from seeds": "#f79256",
    "passed on by leechers": "#7dcfb6",
    "in vain": IN_VAIN,
}
GROUP_COLOURS = ("#2a9d8f", "#e76f51", "#6a4c93", "#e9c46a")
HEAT = LinearSegmentedColormap.from_list("heat", [IDLE, "#9fd8c9", "#2a9d8f", "#1d4e89"])
STYLE: Any = {  # matplotlib has a type of its own for this, and not in every version
    "font.size": 9,
    "font.family": "DejaVu Sans",  # comes with matplotlib
    "axes.edgecolor": GREY,
    "axes.labelcolor": INK,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.titlelocation": "left",
    "axes.titlesize": 10,
    "axes.titleweight": "bold",
    "axes.titlecolor": INK,
    "xtick.color": GREY,
    "ytick.color": GREY,
    "text.color": INK,
    "figure.facecolor": PAPER,
    "svg.hashsalt": "shoal",  # the same story is the same file
    "svg.fonttype": "none",
}


def draw(path: Path, title: str, story: Story, figures: Figures, outcome: Outcome | None) -> None:
    """Write a picture; the ending of its name (.png, .svg) says which kind."""
    lanes_height = 6.0 if figures.is_large else max(2.2, 0.36 * len(figures.lanes))
    with plt.rc_context(STYLE):
        page = plt.figure(figsize=(15, lanes_height + 6.2), layout="constrained")
        grid = page.add_gridspec(3, 2, width_ratios=(3.4, 1), height_ratios=(lanes_height, 3.0, 2.0))
        uplinks = page.add_subplot(grid[0, 0])
        (_draw_heat if figures.is_large else _draw_lanes)(uplinks, figures)
        curves = page.add_subplot(grid[1, 0], sharex=uplinks)
        _draw_curves(curves, figures, story.bound().seconds)
        _draw_kinds(page.add_subplot(grid[2, 0], sharex=uplinks), figures)
        _draw_matrix(page.add_subplot(grid[0, 1]), figures)
        _draw_words(page.add_subplot(grid[1:, 1]), story, outcome)
        page.suptitle(title, x=0.01, ha="left", fontsize=14, fontweight="bold")
        _settle(page)
        metadata = {"Date": None} if path.suffix == ".svg" else {}
        page.savefig(path, dpi=130, metadata=metadata)
        plt.close(page)


def _settle(page: Any) -> None:
    """Fix the layout: its solver's last digits differ from one run to the next, and so would names in the file."""
    page.draw_without_rendering()
    page.set_layout_engine("none")
    for axes in page.axes:
        axes.set_position([round(edge, 6) for edge in axes.get_position().bounds])


def colours_of(figures: Figures) -> list[Any]:
    """A colour a lane: dark for seeds, and round the wheel for the others, in two shades so that neighbours differ."""
    others = [row for row, lane in enumerate(figures.lanes) if not lane.is_seed]
    colours: list[Any] = [SEED] * len(figures.lanes)
    for number, row in enumerate(others):
        colours[row] = colorsys.hls_to_rgb(
            0.02 + number / len(others), 0.62 if number % 2 else 0.48, 0.62 if number % 2 else 0.55
        )
    return colours


def _draw_lanes(axes: Any, figures: Figures) -> None:
    colours, times = colours_of(figures), figures.times
    for row, lane in enumerate(figures.lanes):
        axes.broken_barh([(lane.joined_at, lane.left_at - lane.joined_at)], (row, FILLED), color=IDLE)
        floor = [float(row)] * (figures.spans + 1)
        for receiver, shares in sorted(lane.to.items()):
            top = [
                min(low + share * FILLED, row + FILLED)
                for low, share in zip(floor, [*shares, shares[-1]], strict=True)
            ]
            axes.fill_between(times, floor, top, step="post", color=colours[receiver], linewidth=0)
            floor = top
        if lane.completed_at is not None:
            axes.plot([lane.completed_at] * 2, (row - 0.06, row + FILLED + 0.06), color=INK, linewidth=1.6)
        axes.text(
            figures.seconds * 1.006, row + FILLED / 2, f"{_busy(lane, figures):.0%}", va="center", color=GREY
        )
    axes.set_yticks(
        [row + FILLED / 2 for row in range(len(figures.lanes))], [lane.name for lane in figures.lanes]
    )
    for label, colour in zip(axes.get_yticklabels(), colours, strict=True):
        label.set_color(colour)
        label.set_fontweight("bold")
    axes.set_ylim(len(figures.lanes) - 1 + FILLED + 0.1, -0.1)
    axes.tick_params(left=False, labelbottom=False)
    axes.spines["left"].set_visible(False)
    axes.set_title(
        "Uplinks: a lane a host, its colour fills for whom it sends; pale is idle, | has everything"
    )


def _draw_heat(axes: Any, figures: Figures) -> None:
    rows = [_masked(lane, figures) for lane in figures.lanes]
    axes.imshow(
        rows,
        aspect="auto",
        cmap=HEAT,
        vmin=0,
        vmax=1,
        extent=(0, figures.seconds, len(rows), 0),
        interpolation="nearest",
    )
    done = [(lane.completed_at, row + 0.5) for row, lane in enumerate(figures.lanes) if lane.completed_at]
    axes.plot([at for at, _ in done], [row for _, row in done], color=BOUND, linewidth=1.4)
    axes.set_ylabel("hosts: seeds, then as they finish")
    axes.tick_params(labelbottom=False)
    axes.set_title(
        "Uplinks: a row a host, the darker the busier; pale is idle, the red line is when it had everything"
    )


def _draw_curves(axes: Any, figures: Figures, bound: float) -> None:
    colours = colours_of(figures)
    groups = list(dict.fromkeys(lane.member.group for lane in figures.lanes if not lane.is_seed))
    for row, lane in enumerate(figures.lanes):
        if lane.is_seed:
            continue
        colour = GROUP_COLOURS[groups.index(lane.member.group)] if figures.is_large else colours[row]
        times, shares = lane.progress
        axes.step(
            [*times, lane.left_at],
            [*shares, shares[-1]],
            where="post",
            color=colour,
            linewidth=0.6 if figures.is_large else 1.6,
            alpha=0.35 if figures.is_large else 0.9,
        )
    if figures.is_large and len(groups) > 1:
        for group, colour in zip(groups, GROUP_COLOURS, strict=False):
            axes.plot([], [], color=colour, label=group)
        axes.legend(loc="upper left", frameon=False)
    times, shares = figures.out
    axes.step(
        [*times, figures.seconds],
        [*shares, shares[-1]],
        where="post",
        color=INK,
        linestyle=":",
        linewidth=1.8,
    )
    axes.annotate("out of the seeds", (times[len(times) * 2 // 3], shares[len(times) * 2 // 3]), (-6, 4),
                  textcoords="offset points", ha="right", color=INK)  # fmt: skip
    axes.axvline(bound, color=BOUND, linestyle="--", linewidth=1.4)
    axes.annotate(
        f"bound {bound:.2f} s", (bound, 0.03), (-5, 0), textcoords="offset points", ha="right", color=BOUND
    )
    axes.set_ylim(0, 1.03)
    axes.yaxis.set_major_formatter(PercentFormatter(1))
    axes.tick_params(labelbottom=False)
    axes.set_title("How much of the file each has")


def _draw_kinds(axes: Any, figures: Figures) -> None:
    times = figures.times
    floor = [0.0] * (figures.spans + 1)
    capacity = [*figures.capacity, figures.capacity[-1]]
    used = [sum(shares) / sum(figures.capacity) for shares in figures.kinds.values()]
    idle = max(0.0, 1 - sum(used))
    axes.fill_between(times, floor, capacity, step="post", color=IDLE, linewidth=0, label=f"idle {idle:.1%}")
    for (kind, shares), total in zip(figures.kinds.items(), used, strict=True):
        top = [low + share for low, share in zip(floor, [*shares, shares[-1]], strict=True)]
        axes.fill_between(
            times, floor, top, step="post", color=KIND_COLOURS[kind], linewidth=0, label=f"{kind} {total:.1%}"
        )
        floor = top
    axes.set_ylim(0, 1.02)
    axes.set_xlim(0, figures.seconds * 1.045)
    axes.yaxis.set_major_formatter(PercentFormatter(1))
    axes.set_xlabel("seconds")
    axes.set_title("Where the uplinks' time went, all together")
    axes.legend(loc="upper left", bbox_to_anchor=(0, -0.24), ncols=5, frameon=False)


def _draw_matrix(axes: Any, figures: Figures) -> None:
    axes.imshow(figures.matrix, cmap=HEAT, vmin=0, aspect="auto", interpolation="nearest")
    axes.set_title("Row sent to column, in files")
    axes.tick_params(left=False, bottom=False)
    if len(figures.lanes) <= MOST_DIGITS:
        _write_digits(axes, figures)


def _write_digits(axes: Any, figures: Figures) -> None:
    numbers = range(len(figures.lanes))
    initials = [_initials(lane.name) for lane in figures.lanes]
    axes.set_xticks(numbers, initials)
    axes.set_yticks(numbers, initials)
    most = max(map(max, figures.matrix))
    for sender, row in enumerate(figures.matrix):
        for receiver, share in enumerate(row):
            if share >= 0.005:
                colour = PAPER if share > 0.55 * most else INK
                axes.text(
                    receiver,
                    sender,
                    f"{share:.2f}".lstrip("0"),
                    ha="center",
                    va="center",
                    fontsize=7,
                    color=colour,
                )


def _draw_words(axes: Any, story: Story, outcome: Outcome | None) -> None:
    axes.axis("off")
    size = story.size
    lines = [
        f"{size.bytes / 2**20:g} MiB in {size.pieces} pieces of {size.piece_length // 1024} KiB",
        f"links of {size.link * 8 / 1e6:g} Mbit/s",
    ]
    lines += ["", "It did not come to an end."] if outcome is None else _in_words(outcome)
    axes.text(0.02, 1.0, "\n".join(lines), va="top", linespacing=1.6, fontsize=10, transform=axes.transAxes)


def _in_words(outcome: Outcome) -> list[str]:
    lines = [
        "",
        f"median after {outcome.median_ratio:.3f} x the bound",
        f"last after {outcome.last_ratio:.3f} x the bound",
        f"longest wait {outcome.longest_wait:.3f} x its own link's time",
        f"seeds sent {outcome.seed_upload:.3f} x the file",
        f"{outcome.duplicates:.2%} came in vain",
        f"fairness {outcome.fairness:.3f}",
        f"uplinks in use {outcome.uplink_use:.0%}",
    ]
    for group in outcome.groups:
        median = "unfinished" if group.median_ratio is None else f"median {group.median_ratio:.3f} x"
        lines.append(f"{group.name}: {median}, had {group.mean_share:.0%}")
    return lines


def _initials(name: str) -> str:
    """`leecher 12` -> `L12`, `free rider` -> `FR`."""
    return "".join(word if word.isdigit() else word[0].upper() for word in name.split())


def _busy(lane: Lane, figures: Figures) -> float:
    """The share of the lane's time in which it sent."""
    there = max(lane.left_at - lane.joined_at, 1e-9)
    return sum(lane.use(figures.spans)) * figures.span / there


def _masked(lane: Lane, figures: Figures) -> list[float]:
    """Nothing (which is drawn as nothing) while the host was not there."""
    return [
        use if lane.joined_at <= at + figures.span and at <= lane.left_at else float("nan")
        for at, use in zip(figures.times, lane.use(figures.spans), strict=False)
    ]
