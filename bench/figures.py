"""What the samples come to: each figure, its peer, their ratio, and the budget it is held to."""

import re
from dataclasses import dataclass
from statistics import median


def percentile(values, share):
    return sorted(values)[min(len(values) - 1, int(len(values) * share))]


@dataclass
class Budget:
    """A bound on the ratio, or on the figure itself."""
    bound: float
    of: str = "ratio"  # or "value"
    at_least: bool = False

    def met(self, value, ratio):
        judged = ratio if self.of == "ratio" else value
        return judged >= self.bound if self.at_least else judged <= self.bound

    def text(self, unit):
        sign = "≥" if self.at_least else "≤"
        return f"{sign} {self.bound:g}" + (f" {unit}" if self.of == "value" else " ×")


@dataclass
class Figure:
    what: str
    unit: str
    value: float
    high: float | None = None  # the 90th percentile
    peer: str = ""
    peer_value: float | None = None
    budget: Budget | None = None

    @property
    def ratio(self):
        return self.value / self.peer_value if self.peer_value else None

    def cells(self):
        show = lambda v: "" if v is None else f"{number(v)} {self.unit}"
        return (self.what, show(self.value), show(self.high), self.peer, show(self.peer_value),
                "" if self.ratio is None else f"{self.ratio:.2f} ×",
                self.budget.text(self.unit) if self.budget else "",
                "" if not self.budget else "yes" if self.budget.met(self.value, self.ratio) else "NO")


def number(value):
    """Three digits that matter."""
    return f"{value:.0f}" if abs(value) >= 100 else f"{value:.3g}"


# (sample, what, unit, peer's sample, peer, budget); a row whose samples were not taken is left out.
ROWS = (
    ("run.caisson", "caisson run host: -- true", "ms", "run.bwrap", "bwrap --unshare-all true",
     Budget(1.0)),
    ("run.caisson", "caisson run host: -- true", "ms", "run.runc", "runc run (busybox true)", None),
    ("run.caisson_rm", "caisson run --rm host: -- true", "ms", "run.bwrap",
     "bwrap --unshare-all true", None),
    ("run.true", "true, started by itself", "ms", "run.bwrap", "bwrap --unshare-all true", None),
    ("life.total", "library: create+start+exec+remove", "ms", "life.runc",
     "runc run -d, exec, delete -f", Budget(3.0, "value")),
    ("life.create", "  create", "ms", None, "", None),
    ("life.start", "  start", "ms", None, "", None),
    ("life.exec", "  exec true and wait", "ms", None, "", None),
    ("life.remove", "  remove by force", "ms", None, "", None),
    ("exec.caisson", "library: exec in a running box", "ms", "exec.runc", "runc exec",
     Budget(1.0, "value")),
    ("exec.caisson", "library: exec in a running box", "ms", "exec.fork", "fork + exec, no box",
     None),
    ("process.start", "library: start of a box of isolation process", "ms", "process.fork",
     "fork + exec, no box", None),
    ("attach.again", "library: open a home, attach again", "ms", None, "", Budget(2.0, "value")),
    ("idle.box_mib", "idle box: PSS of shim + init", "MiB", "idle.bwrap_mib",
     "idle bwrap, both processes", Budget(1.0, "value")),
    ("idle.shim_mib", "  shim", "MiB", None, "", None),
    ("idle.init_mib", "  init", "MiB", None, "", None),
    ("idle.host_mib", "idle box: all memory of the host", "MiB", "idle.bwrap_host_mib",
     "idle bwrap", None),
    ("idle.late", "create+start, the last 11 boxes", "ms", "idle.early", "boxes 5 to 15",
     Budget(1.2)),
    ("idle.remove", "remove by force, many boxes idle", "ms", None, "", None),
    ("stream.exec", "stdout of an exec", "MiB/s", "stream.pipe", "a plain pipe",
     Budget(0.8, at_least=True)),
    ("stream.main", "stdout of a main process, logged", "MiB/s", "stream.pipe", "a plain pipe",
     None),
)


def derived(samples):
    """The samples and what is made of them: MiB, and windows of the boxes' creation."""
    all_samples = dict(samples)
    for name, values in samples.items():
        if name.endswith("_kib"):
            all_samples[name[:-4] + "_mib"] = [v / 1024 for v in values]
    created = samples.get("idle.create", [])
    if len(created) >= 30:
        all_samples["idle.early"] = created[4:15]
        all_samples["idle.late"] = created[-11:]
    # The average, not the median: PSS is a sum to be shared out.
    for name in ("idle.box_mib", "idle.shim_mib", "idle.init_mib", "idle.bwrap_mib"):
        if name in all_samples:
            all_samples[name] = [sum(all_samples[name]) / len(all_samples[name])]
    return all_samples


def figures(samples):
    taken = derived(samples)
    for name, what, unit, peer_name, peer, budget in ROWS:
        if name not in taken or (peer_name and peer_name not in taken and budget is None):
            continue
        values, peers = taken[name], taken.get(peer_name)
        yield Figure(what, unit, median(values),
                     percentile(values, 0.9) if len(values) > 1 else None,
                     peer if peers else "", median(peers) if peers else None, budget)


def stages(samples):
    """Cells of the stages of a start, in their order; shares are of `total`."""
    found = [(re.sub(r"^stage\.\d+\.", "", name), values)
             for name, values in sorted(samples.items()) if name.startswith("stage.")]
    wholes = next((values for name, values in found if name == "total"), [])
    total = median(wholes) if wholes else None
    if wholes:
        named = zip(*(values for name, values in found if name != "total"))
        rest = [whole - sum(parts) for whole, parts in zip(wholes, named)]
        found.insert(-1, ("shim spawn, request and reply", rest))
    for name, values in found:
        share = f"{100 * median(values) / total:.0f} %" if total else ""
        yield name, f"{median(values):.3f}", f"{percentile(values, 0.9):.3f}", share
