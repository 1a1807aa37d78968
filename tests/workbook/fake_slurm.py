"""Stands for sbatch, srun, sacct, scancel and scontrol in tests: jobs are processes here, their states are files.

Linked under those five names into a folder of the PATH; `FAKE_SLURM` names the folder of its files.
"""

import os
import re
import subprocess
import sys
from pathlib import Path

PLACE = Path(os.environ["FAKE_SLURM"])


def sbatch(script):
    """Start every job of an array at once, each in a session of its own, started again for as long as it requeues."""
    text = Path(script).read_text()
    number = 1000 + len(list(PLACE.glob("*.sh")))
    (PLACE / f"{number}.sh").write_text(text)
    found = re.search(r"--array=0-(\d+)", text)
    for task in range(int(found[1]) + 1) if found else [None]:
        name = f"{number}" if task is None else f"{number}_{task}"
        env = {**os.environ, "SLURM_JOB_ID": str(number), "SLURM_JOB_NAME": name}
        if task is not None:
            env |= {"SLURM_ARRAY_JOB_ID": str(number), "SLURM_ARRAY_TASK_ID": str(task)}
        shell = f"touch {PLACE}/{name}.again; while rm {PLACE}/{name}.again 2>/dev/null; do bash {script}; done; "
        shell += f"echo COMPLETED > {PLACE}/{name}.state"
        nowhere = {"stdin": subprocess.DEVNULL, "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        process = subprocess.Popen(["bash", "-c", shell], env=env, start_new_session=True, **nowhere)
        (PLACE / f"{name}.pid").write_text(str(process.pid))
        (PLACE / f"{name}.state").write_text("RUNNING")
    print(f"Submitted batch job {number}")


def srun(*arguments):
    """Run the command with its output where %A_%a and %j say."""
    options, command = list(arguments), []
    while options[0].startswith("-"):
        options = options[1:] if options[0] == "--unbuffered" else options[2:]
    command = [option.replace("%j", name()) for option in options]
    log = PLACE / f"{name()}.log"
    with open(log, "ab") as file:
        env = {**os.environ, "SLURM_PROCID": "0", "SLURM_LOCALID": "0", "SLURM_NODEID": "0", "SLURM_NTASKS": "1"}
        sys.exit(subprocess.run(command, stdout=file, stderr=file, env=env).returncode)


def name():
    return os.environ["SLURM_JOB_NAME"]


def sacct(*arguments):
    print("JobID|State|NodeList")
    for path in PLACE.glob("*.state"):
        print(f"{path.stem}|{path.read_text().strip()}|here")


def scancel(job, *_):
    os.killpg(int((PLACE / f"{job}.pid").read_text()), 9)


def scontrol(what, job):
    assert what == "requeue"
    (PLACE / f"{job}.again").touch()


if __name__ == "__main__":
    globals()[Path(sys.argv[0]).name](*sys.argv[1:])
