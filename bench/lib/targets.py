"""The targets that reprise sets itself, each computed from one run's results."""

LINEAR = 1.25  # how much more than proportional counts as noise
BESIDE = 1.25  # how much slower beside 100 Pods counts as noise


def _row(results, name, **keys):
    for r in results[name]["rows"]:
        if all(r.get(k) == v for k, v in keys.items()):
            return r
    return None


def _target(what, wanted, value, met, note=""):
    """<met> None: not measured."""
    return {"what": what, "wanted": wanted, "value": value, "met": met, "note": note}


def _to_floor(results, mode, what, limit):
    row = _row(results, "restart", peer=f"reprise-{mode}", containers=3, how="idle")
    value = row and row["x_floor"]
    return _target(what, f"at most {limit}x the floor's clone, pivot_root, exec", value and f"{value:.2f}x", value and value <= limit)


def _against(results, peer, what, factor):
    row = _row(results, "restart", peer=peer, containers=3, how="idle")
    value = row and row["x_reprise"]
    return _target(what, f"at least {factor}x faster", value and f"{value:.0f}x", value and value >= factor)


def _against_fastest(results, prefix, what, factor):
    """Of several settings of one peer, the fastest counts."""
    rows = [r for r in results["restart"]["rows"] if r["peer"].startswith(prefix) and r["containers"] == 3 and r["how"] == "idle"]
    row = min(rows, key=lambda r: r["summary"]["median"], default=None)
    name = row and next(p["name"] for p in results["restart"]["peers"] if p["id"] == row["peer"])
    done = _against(results, row["peer"] if row else prefix, what, factor)
    return {**done, "note": f"the fastest of {len(rows)} settings: {name.split(', ')[-1]}, {name.split(' over')[0]}" if row else ""}


def _missing(results, peer):
    return next((p["missing"] for p in results["restart"]["peers"] if p["id"] == peer), None) or ""


def _tasks(results):
    ours = _row(results, "tasks", peer=results["tasks"]["reprise"], pods=1)
    theirs = [r["summary"]["max"] for r in results["tasks"]["rows"] if r["peer"].startswith("podman") and r["pods"] == 1]
    value = ours["summary"]["median"] / max(theirs) if ours and theirs else None
    return _target("clean tasks, one Pod, against podman's delete and create", "at least 50x as many a second", value and f"{value:.0f}x",
                   value and value >= 50, "reprise's median against the best measurement of any podman variant")


def _busy(results):
    row = _row(results, "many", peer=results["many"]["reprise"], pods=500)
    value = row and row["busy"]
    return _target("500 Pods at once: all cores", "over 90 % busy", value and f"{100 * value:.0f} %", value and value > 0.9)


def _linear(results):
    peer = results["restart"]["reprise"]
    medians = {n: r["summary"]["median"] for n in (3, 10, 50) if (r := _row(results, "restart", peer=peer, containers=n, how="idle"))}
    if len(medians) < 3:
        return _target("restart latency over the number of containers", "linear", None, None)
    # Against proportional growth from the size before: a term that grows faster would show above 1.
    growth = [medians[10] / medians[3] / (10 / 3), medians[50] / medians[10] / 5]
    return _target("restart latency over the number of containers", f"linear: grows at most {LINEAR}x as fast as the number",
                   f"{growth[0]:.2f}x from 3 to 10, {growth[1]:.2f}x from 10 to 50", max(growth) <= LINEAR)


def _beside(results):
    medians = {r["others"]: r["summary"]["median"] for r in results["restart"]["beside"]}
    most = max(medians, default=0)
    if not most or 0 not in medians:
        return _target("restart latency beside other Pods", "no slower", None, None)
    value = medians[most] / medians[0]
    return _target(f"restart latency beside {most} other Pods", f"as without them, within {BESIDE}x", f"{value:.2f}x", value <= BESIDE)


def targets(results):
    """[{"what", "wanted", "value", "met", "note"}]; <results> is {benchmark: its results}."""
    rows = [
        _to_floor(results, "gate", "ML worker restart, everything on", 1),
        _to_floor(results, "create", "ML worker restart, create-ahead alone", 5),
        _to_floor(results, "off", "ML worker restart, nothing prepared", 40),
        _against(results, "podman-restart", "ML worker restart against podman pod restart", 100),
        _against_fastest(results, "containerd", "ML worker restart against containerd over CRI in the plain order", 50),
        _tasks(results), _busy(results), _linear(results), _beside(results),
    ]
    rows[4]["note"] = rows[4]["note"] or _missing(results, "containerd")
    return rows
