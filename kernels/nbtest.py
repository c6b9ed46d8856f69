#!/usr/bin/env python3
"""Execute notebooks with the kernel that each of them names; say which cell failed, and why.

    nbtest.py [-o DIR] [-t SECONDS] [--pictures N] NOTEBOOK...

Each executed copy is written to DIR, also when a cell failed, with the kernel's log beside it.  Where DIR is the
notebook's own folder a good run replaces the notebook, and a bad one is written beside it as NAME.failed.ipynb.
The copies hold no times, so that two runs of an unchanged notebook differ only where their results do.

A shell line that fails and an unknown %command count as failures, although GoNB reports both as success.

Exit status: 0; 1 if a notebook failed; 128+N when stopped by signal N.
Lies in kernels/, from where it shows the project's kernel to Jupyter.  Needs nbclient (kernels/requirements.txt).
"""

import argparse
import asyncio
import base64
import os
import re
import signal
import sys
import time
from pathlib import Path

import nbformat
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError, CellTimeoutError, DeadKernelError

# What GoNB writes to stderr of a cell that it then calls a success.
FAILED_SILENTLY = re.compile(r"^(exit status \d+|signal: .*)$|unknown or not implemented yet", re.MULTILINE)
PNG = b"\x89PNG\r\n\x1a\n"


class Execution:
    """One notebook being executed."""

    def __init__(self, path, timeout):
        self.path = path
        self.notebook = nbformat.read(path, as_version=4)
        self.timeout = timeout  # seconds for each cell
        self.cell = None  # number of the cell that runs or ran last
        self.signal = None  # the signal that stopped it

    def run(self, log):
        """Execute all cells and return what went wrong, or ""."""
        for cell in self.notebook.cells:
            if cell.cell_type == "code":
                cell.outputs, cell.execution_count = [], None
        client = NotebookClient(
            self.notebook,
            timeout=self.timeout,
            record_timing=False,
            coalesce_streams=True,
            on_cell_start=self.cell_started,
            resources={"metadata": {"path": str(self.path.resolve().parent)}},
        )
        problem = ""
        try:
            client.execute(stderr=log)
        except CellTimeoutError as error:
            problem = "timeout: " + first_line(error)
        except (CellExecutionError, DeadKernelError) as error:
            problem = f"{type(error).__name__}: {last_line(error)}"
        if self.signal:
            return "stopped by " + signal.Signals(self.signal).name
        return self.failed_cell(problem)

    def cell_started(self, cell, cell_index):
        # nbclient's own signal handlers end the kernel but not this program, so put ours in their place.  They can be
        # set only from within its loop, hence here.
        if self.cell is None:
            loop, task = asyncio.get_running_loop(), asyncio.current_task()
            for number in (signal.SIGINT, signal.SIGTERM):
                loop.add_signal_handler(number, self.stop, number, task)
        self.cell = cell_index

    def stop(self, number, task):
        self.signal = number
        task.cancel()

    def failed_cell(self, problem):
        """Return problem with the output of the first cell that failed, if one did."""
        for index, cell in enumerate(self.notebook.cells):
            outputs = cell.get("outputs", [])
            stderr = "".join(o.text for o in outputs if o.output_type == "stream" and o.name == "stderr")
            errors = [o.evalue for o in outputs if o.output_type == "error"]
            if errors or FAILED_SILENTLY.search(stderr):
                self.cell = index
                problem = problem or "failed, but the kernel called it a success"
                return "\n".join([problem, stderr.rstrip(), *errors])
        return problem

    def pictures(self):
        """Count the PNG pictures among the outputs."""
        outputs = (o for cell in self.notebook.cells for o in cell.get("outputs", []))
        images = (o.get("data", {}).get("image/png") for o in outputs)
        return sum(1 for image in images if image and base64.b64decode(image).startswith(PNG))

    def write(self, path):
        """Write the notebook; path never holds a part of it."""
        scratch = path.with_name(path.name + ".tmp")
        nbformat.write(self.notebook, scratch)
        os.replace(scratch, path)


def first_line(error):
    return (str(error).strip().splitlines() or [""])[0]


def last_line(error):
    return (str(error).strip().splitlines() or [""])[-1]


def execute(path, folder, timeout, pictures):
    """Execute the notebook at path and report on it; return whether it is good, and the signal that stopped it."""
    start = time.monotonic()
    execution = Execution(path, timeout)
    folder.mkdir(parents=True, exist_ok=True)
    with open(folder / f"{path.stem}.log", "w") as log:
        problem = execution.run(log)
    where = f"cell {execution.cell}: " if problem else ""
    if not problem and execution.pictures() < pictures:
        problem = f"has {execution.pictures()} pictures, not {pictures} or more"
    in_place = folder.resolve() == path.resolve().parent
    execution.write(folder / f"{path.stem}{'.failed' if problem and in_place else ''}.ipynb")
    if problem:
        print(f"{path}: {where}{problem}")
    print(f"{'FAIL' if problem else 'ok  '} {path} {time.monotonic() - start:.1f}s", flush=True)
    return not problem, execution.signal


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("-o", default="executed", type=Path, metavar="DIR", help="where executed copies go (executed)")
    parser.add_argument("-t", default=120, type=int, metavar="SECONDS", help="limit for each cell (120)")
    parser.add_argument("--pictures", default=0, type=int, metavar="N", help="fewer than N pictures is a failure (0)")
    parser.add_argument("notebooks", nargs="+", type=Path, metavar="NOTEBOOK")
    args = parser.parse_args()
    for path in args.notebooks:
        if not path.is_file():
            parser.error(f"there is no notebook {path}")

    root = Path(__file__).resolve().parent.parent
    os.environ["JUPYTER_PATH"] = os.pathsep.join(filter(None, [str(root), os.environ.get("JUPYTER_PATH")]))
    good = True
    for path in args.notebooks:
        ok, stopped = execute(path, args.o, args.t, args.pictures)
        good = good and ok
        if stopped:
            return 128 + stopped
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
