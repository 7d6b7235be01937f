"""Writers that commit for so many seconds, each in a thread of its own; prints what they got done as JSON.

With `count` in the place of the number of writers it prints the rows that are there, which only another process can see for
sure: a writer that is still in a commit ends with its own.
"""

import json
import os
import threading
import time

ROWS = 10
#: A writer may still be in a commit when the time is over: it counts for nothing.
GRACE_SECONDS = 20


def run(count: int, seconds: float, writer) -> None:
    """`writer(number)` answers a function that commits the rows of its n-th commit and says whether it did. Ends the process."""
    commits = [writer(number) for number in range(count)]
    done, refused = [0] * count, [0] * count
    began = time.perf_counter()

    def work(number: int) -> None:
        while time.perf_counter() < began + seconds:
            if not commits[number](done[number]):
                refused[number] += 1
            elif time.perf_counter() < began + seconds:
                done[number] += 1

    threads = [threading.Thread(target=work, args=(number,), daemon=True) for number in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(max(0.0, began + seconds + GRACE_SECONDS - time.perf_counter()))
    print(json.dumps({"commits": sum(done), "refused": sum(refused)}), flush=True)
    os._exit(0)
