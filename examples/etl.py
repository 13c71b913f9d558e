"""Extract, transform, load: a month of orders into a database, through two crashes.

    python examples/etl.py

The program starts itself three times, as cron would. The first time it crashes, as suddenly as in a
power cut; the second time it is stopped by Ctrl-C; the third time it comes to its end. No day is
loaded twice, none is left out, and what was done before is not done again.
"""

from __future__ import annotations

import csv
import os
import random
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections import Counter
from datetime import date, timedelta
from pathlib import Path

import trio

from tgtrio import Actions, RawStore, TaskGraph, output_of, run_graph

DAYS = [str(date(2030, 1, 1) + timedelta(n)) for n in range(30)]
ORDERS = 200  # a day
PRICES = {"tea": 3, "bread": 4, "jam": 5}

actions = Actions()


# -- the steps ----------------------------------------------------------------------------


@actions.register
def extract(args):  # a plain function: it runs in a worker thread
    """Fetch the orders of a day from somewhere slow, and hand over the name of the file."""
    time.sleep(0.02)
    note(args["folder"], "extract")
    rng = random.Random(args["day"])
    path = Path(args["folder"], f"{args['day']}.csv")
    with path.open("w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["order", "item", "count"])
        for n in range(ORDERS):
            rows.writerow([f"{args['day']}-{n}", rng.choice([*PRICES, "??"]), rng.randint(1, 9)])
    return str(path)


@actions.register
def transform(args):
    """Sum up a file; what is no item of ours is counted and left out."""
    note(args["folder"], "transform")
    sums: Counter[str] = Counter()
    unknown = 0
    with open(args["file"], newline="") as file:
        for row in csv.DictReader(file):
            if row["item"] in PRICES:
                sums[row["item"]] += int(row["count"]) * PRICES[row["item"]]
            else:
                unknown += 1
    return {"sums": dict(sums), "unknown": unknown}


@actions.register
def load(args):
    """Put a day into the database, in one transaction. Doing it twice is as good as once."""
    crash_if_told_to(args["day"])
    note(args["folder"], "load")
    with sqlite3.connect(Path(args["folder"], "shop.db")) as database:
        database.execute("DELETE FROM sales WHERE day = ?", [args["day"]])
        database.executemany(
            "INSERT INTO sales VALUES (?, ?, ?)",
            [(args["day"], item, euros) for item, euros in args["of"]["sums"].items()],
        )
    database.close()
    return sum(args["of"]["sums"].values())


@actions.register
def report(args):
    with sqlite3.connect(Path(args["folder"], "shop.db")) as database:
        rows = database.execute("SELECT item, sum(euros), count(*) FROM sales GROUP BY item")
        table = [list(row) for row in rows]
    database.close()
    return {"table": table, "total": sum(args["days"])}


def graph_of(folder: str) -> TaskGraph:
    graph = TaskGraph("orders", max_parallel=8)
    where = {"folder": folder}
    for n, day in enumerate(DAYS):
        earlier = {"priority": -n}  # the first days first, at each step
        graph.add_task(f"extract {day}", "extract", {**where, "day": day}, **earlier)
        graph.add_task(
            f"transform {day}",
            "transform",
            {**where, "file": output_of(f"extract {day}")},
            **earlier,
        )
        graph.add_task(
            f"load {day}",
            "load",
            {**where, "day": day, "of": output_of(f"transform {day}")},
            resource_ids=["database"],
            **earlier,
        )
    days = [output_of(f"load {day}") for day in DAYS]
    graph.add_task("report", "report", {**where, "days": days}, resource_ids=["database"])
    return graph


# -- one night ----------------------------------------------------------------------------


def note(folder: str, step: str) -> None:
    """What the three nights did, for the summary."""
    with Path(folder, "diary").open("a") as diary:
        diary.write(f"{step}\n")


def crash_if_told_to(day: str) -> None:
    how, _, when = os.environ.get("ETL_CRASH", "").partition(" ")
    if day == when and how == "power-cut":
        os._exit(1)
    if day == when and how == "ctrl-c":
        os.kill(os.getpid(), signal.SIGINT)


async def night(folder: str) -> None:
    with RawStore(Path(folder, "runs.db"), durability="task") as store:
        result = await run_graph(
            graph_of(folder),
            actions,
            resource_caps={"database": 1},
            per_action_caps={"extract": 3},
            store=store,
        )
    result.raise_for_failures()
    for item, euros, days in result.results["report"].response["table"]:
        print(f"    {item:6} {euros:6,} euros, on {days} days")
    print(f"    {'total':6} {result.results['report'].response['total']:6,} euros")


# -- all of it ----------------------------------------------------------------------------


def three_nights(folder: str) -> int:
    with sqlite3.connect(Path(folder, "shop.db")) as database:
        database.execute("CREATE TABLE sales (day TEXT, item TEXT, euros INTEGER)")
    database.close()
    before: Counter[str] = Counter()
    nights = [("a power cut", "power-cut 2030-01-08"), ("Ctrl-C", "ctrl-c 2030-01-20"), ("", "")]
    code = 0
    for n, (what, crash) in enumerate(nights):
        print(f"night {n + 1}", flush=True)
        command = [sys.executable, __file__, folder]
        done = subprocess.run(command, env={**os.environ, "ETL_CRASH": crash}, check=False)
        code = done.returncode
        steps = Counter(Path(folder, "diary").read_text().split())
        new = steps - before
        print("    done: " + ", ".join(f"{new[s]} x {s}" for s in ("extract", "transform", "load")))
        print(f"    ended by {what}\n" if what else "    came to its end")
        before = steps
    again = [f"{before[s] - len(DAYS)} x {s}" for s in ("extract", "transform", "load")]
    print(f"\nDone again: {', '.join(again)}")
    print("(what was in flight at a crash is done again; nothing that had been committed is)")
    return code


if __name__ == "__main__":
    if len(sys.argv) > 1:
        try:
            trio.run(night, sys.argv[1])
        except KeyboardInterrupt:
            sys.exit(130)
    else:
        with tempfile.TemporaryDirectory() as name:
            sys.exit(three_nights(name))
