"""`python -m benchmarks.worker CASE`: makes one measurement and prints it as JSON.

The process is fresh, so no peer warms, fills or disturbs the memory of another. What libraries
print goes to standard error.
"""

from __future__ import annotations

import gc
import os
import sys
import traceback

import msgspec

from .cases import Case, Sample
from .measures import MEASURES
from .peers import Absent


def take(case: Case) -> Sample:
    """Measure; whatever goes wrong is part of the answer."""
    try:
        return MEASURES[case.measure](case)
    except Absent as absence:
        return Sample(title=case.name, absent=str(absence))
    except BaseException as error:  # the peers are other people's programs
        traceback.print_exc()
        return Sample(title=case.name, error=f"{type(error).__name__}: {error}"[:200])


def main() -> None:
    answer = os.dup(1)
    os.dup2(2, 1)
    case = msgspec.convert(msgspec.json.decode(sys.argv[1]), Case)
    gc.collect()
    sample = take(case)
    os.write(answer, msgspec.json.encode(sample))
    os.close(answer)


if __name__ == "__main__":
    main()
