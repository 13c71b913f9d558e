"""A polite crawler: a few sites, never more than two requests at a time to any of them.

    python examples/crawler.py

It starts the sites itself, on this machine: three of them behind one port, with pages that link to
others, that are missing, that are busy at first, and that never answer. Each round of the crawl is
a graph of the pages that were found in the round before.
"""

from __future__ import annotations

import re
import sys
from collections import Counter
from contextlib import asynccontextmanager
from functools import partial

import trio

from tgtrio import Actions, NonRetryable, RetryLater, RetryPolicy, TaskGraph, run_graph

SITES = {"garden.test": 40, "kitchen.test": 25, "library.test": 60}  # how many pages each has
AT_ONCE = 2  # requests to one site
ROUNDS = 20
PAGE = re.compile(r'href="http://([^/"]+)/(\d+)"')


# -- what is crawled ----------------------------------------------------------------------


class Sites:
    """A web server that knows how politely it was treated."""

    def __init__(self) -> None:
        self.requests: Counter[tuple[str, int]] = Counter()
        self.inside: Counter[str] = Counter()
        self.most: Counter[str] = Counter()

    async def handle(self, stream: trio.SocketStream) -> None:
        request = b""
        while not request.endswith(b"\r\n\r\n"):
            request += await stream.receive_some() or b"\r\n\r\n"
        text = request.decode()
        site = re.findall(r"Host: (\S+)", text)[0]
        number = int(text.split()[1].strip("/"))
        self.requests[site, number] += 1
        self.inside[site] += 1
        self.most[site] = max(self.most[site], self.inside[site])
        try:
            await trio.sleep(0.01)
            if number == 23:
                await stream.receive_some()  # until the client has had enough
                return
            status, headers, body = self.answer(site, number)
        finally:
            self.inside[site] -= 1
        await stream.send_all(f"HTTP/1.0 {status}\r\n{headers}\r\n{body}".encode())
        await stream.aclose()

    def answer(self, site: str, number: int) -> tuple[str, str, str]:
        first = self.requests[site, number] == 1
        if number >= SITES[site]:
            return "404 Not Found", "", ""
        if number % 17 == 16 and first:
            return "429 Too Many Requests", "Retry-After: 0.2\r\n", ""
        if number % 11 == 10 and first:
            return "503 Service Unavailable", "", ""
        links = [(site, n) for n in (2 * number + 1, 2 * number + 2) if n <= SITES[site]]
        if number == 3:
            links += [(other, 0) for other in SITES]
        body = "".join(f'<a href="http://{to}/{n}">{n}</a>' for to, n in links)
        return "200 OK", "", body


@asynccontextmanager
async def serving(sites: Sites):
    async with trio.open_nursery() as nursery:
        serve = partial(trio.serve_tcp, sites.handle, 0, host="127.0.0.1")
        (listener, *_) = await nursery.start(serve)
        yield listener.socket.getsockname()[1]
        nursery.cancel_scope.cancel()


# -- the crawler --------------------------------------------------------------------------


async def get(port: int, site: str, number: int) -> tuple[int, dict[str, str], str]:
    """A very small HTTP client."""
    async with await trio.open_tcp_stream("127.0.0.1", port) as stream:
        await stream.send_all(f"GET /{number} HTTP/1.0\r\nHost: {site}\r\n\r\n".encode())
        answer = b"".join([chunk async for chunk in stream]).decode()
    head, _, body = answer.partition("\r\n\r\n")
    status, *lines = head.split("\r\n")
    headers = dict(line.split(": ", 1) for line in lines)
    return int(status.split()[1]), headers, body


actions = Actions()


@actions.register(retry=RetryPolicy(max_retries=3, base=0.05))
async def fetch(args):
    """The pages that a page links to."""
    status, headers, body = await get(args["port"], args["site"], args["page"])
    if status == 429:
        raise RetryLater(float(headers["Retry-After"]))
    if status >= 500:
        raise ConnectionError(f"status {status}")
    if status != 200:
        raise NonRetryable(f"status {status}")
    return [[site, int(number)] for site, number in PAGE.findall(body)]


def graph_of(number: int, port: int, pages: list[tuple[str, int]]) -> TaskGraph:
    graph = TaskGraph(f"round-{number}", max_parallel=50)
    graph.add_tasks(
        {
            "task_id": f"{site}/{page}",
            "action_name": "fetch",
            "normalized_args": {"port": port, "site": site, "page": page},
            "resource_ids": [site],
            "task_timeout_ms": 300,
            "max_retries": 0 if page == 23 else None,  # it is known to be hopeless
        }
        for site, page in pages
    )
    return graph


async def crawl(port: int) -> tuple[Counter[str], list[str], int]:
    """Go round by round. Returns how many pages of each site are there, and what went wrong."""
    there: Counter[str] = Counter()
    wrong: list[str] = []
    retries = 0
    pages, seen = [("garden.test", 0)], {("garden.test", 0)}
    for number in range(ROUNDS):
        result = await run_graph(
            graph_of(number, port, pages),
            actions,
            resource_caps=dict.fromkeys(SITES, AT_ONCE),
            breaker=None,  # that single pages are missing says nothing of the site
        )
        retries += result.statistics["retry_tokens_used"]
        found: dict[tuple[str, int], None] = {}
        for (site, _page), task in zip(pages, result.results.values(), strict=True):
            if task.success:
                there[site] += 1
                found |= dict.fromkeys((to, page) for to, page in task.response)
            else:
                wrong.append(f"{task.task_id}: {task.error}")
        print(f"round {number + 1}: {len(pages):3} pages in {result.elapsed_ms:4.0f} ms")
        pages = [page for page in found if page not in seen]
        seen.update(pages)
        if not pages:
            break
    return there, wrong, retries


async def main() -> int:
    sites = Sites()
    async with serving(sites) as port:
        there, wrong, retries = await crawl(port)
    print()
    for site, size in SITES.items():
        print(f"{site:13} {there[site]:3} pages of {size:3}, {sites.most[site]} requests at once")
    print(f"{retries} retries; not there:")
    for line in wrong:
        print(f"  {line}")
    return 0 if max(sites.most.values()) <= AT_ONCE else 1


if __name__ == "__main__":
    sys.exit(trio.run(main))
