"""Run one command and report what it used; started by `measure.run`.

    python3 -I -S child.py FD PROGRAM [ARGUMENT...]

The kernel counts the resident size of a forking process as its child's, so the
fork happens here, in an interpreter that has loaded next to nothing. Writes
`exit-code wall user system peak-KiB` to the file descriptor FD.
"""

import os
import sys
import time

result, argv = int(sys.argv[1]), sys.argv[2:]
os.set_inheritable(result, False)
start = time.perf_counter()
try:
    pid = os.posix_spawnp(argv[0], argv, os.environ)
except OSError as error:
    sys.exit(f"{argv[0]}: {error}")
_, status, usage = os.wait4(pid, 0)
wall = time.perf_counter() - start
code = os.waitstatus_to_exitcode(status)
os.write(result, f"{code} {wall} {usage.ru_utime} {usage.ru_stime} {usage.ru_maxrss}".encode())
