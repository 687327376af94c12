"""A worker of the CPython executor. It speaks lines of JSON with the program on standard input and output, has steps run in processes
that are forked from it or from kept states, and never runs foreign code itself. What such a process sends is not trusted.
"""

import gc
import mmap
import select
import shutil
import signal
import threading

OUTCOMES = {"ok", "error", "timeout", "memory", "output_limit"}
# How long a fork may take on a busy machine, in seconds.
GRACE = 10.0


class State:
    """A state process, by the number of the step that it ran last."""

    def __init__(self, pid, channel):
        self.pid, self.channel = pid, channel

    def end(self):
        self.channel.close()
        kill(self.pid)


STATES = {}


def kill(pid):
    # A process says its own number; the worker's and negative ones are not for killing.
    if isinstance(pid, int) and pid > 1 and pid != os.getpid():
        try:
            os.kill(pid, signal.SIGKILL)
        except OSError:
            pass


def kill_all():
    """Ends every process of the sandbox but this one."""
    for state in STATES.values():
        state.end()
    STATES.clear()
    if SANDBOXED:
        try:
            # In the sandbox's own process namespace, of which this is the first process.
            os.kill(-1, signal.SIGKILL)
        except OSError:
            pass
    reap()


def next_pid():
    """The number that the kernel gives out next, taken by a thread; None when there are too many processes."""
    thread = threading.Thread(target=int)
    try:
        thread.start()
    except RuntimeError:
        return None
    thread.join()
    return thread.native_id


def fork_here():
    for _ in range(100):
        try:
            return fork_alike()
        except BlockingIOError:
            # Too many processes: ended ones that states have not asked after count too.
            kill_all()
            time.sleep(0.01)
    sys.exit("no process can be started")


def fork(request, steps):
    """Starts a process for the last of `steps`: the channel to it."""
    for at in range(len(steps) - 1, 0, -1):
        state = STATES.get(steps[at - 1]["id"])
        if state is None:
            continue
        rest = {"path": [step["code"] for step in steps[at:-1]]}
        rest.update(code=request["code"], timeout=request["timeout"])
        packet = json.dumps(rest).encode()
        if len(packet) > LONGEST_PACKET:
            break
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        try:
            socket.send_fds(state.channel, [packet], [theirs.fileno()], socket.MSG_DONTWAIT)
            theirs.close()
            pid = hear(ours, GRACE).get("pid")
            return ours, pid, len(rest["path"])
        except (OSError, ValueError, RecursionError, TimeoutError):
            # Lost, or no longer what it was: the step is run from an earlier state.
            ours.close()
            theirs.close()
            STATES.pop(steps[at - 1]["id"]).end()
    rest = {"path": [step["code"] for step in steps[:-1]]}
    rest.update(code=request["code"], timeout=request["timeout"])
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    if fork_here() == 0:
        live(theirs.fileno(), rest)
    theirs.close()
    return ours, hear(ours, GRACE).get("pid"), len(rest["path"])


def hear(channel, longest):
    """The next message of a state process. ValueError when it ends or sends none, TimeoutError when it is late."""
    deadline = time.monotonic() + longest
    while True:
        ready, _, _ = select.select([channel, 0], [], [], max(0.0, deadline - time.monotonic()))
        if 0 in ready:
            # Nothing is sent while a step runs: the program is gone.
            os._exit(0)
        if ready:
            packet = channel.recv(2 * LONGEST_PACKET)
            message = json.loads(packet) if packet else None
            if not isinstance(message, dict):
                raise ValueError("no message")
            return message
        if time.monotonic() >= deadline:
            raise TimeoutError


def checked(message):
    outcome, text, seconds = (message.get(key) for key in ("outcome", "observation", "seconds"))
    if not isinstance(outcome, str) or outcome not in OUTCOMES or not isinstance(text, str):
        raise ValueError("no answer")
    if not isinstance(seconds, float) or not 0.0 <= seconds < 1e6:
        raise ValueError("no time")
    # Half of a surrogate pair is no text.
    text = text.encode("utf-8", "replace").decode()
    return {"outcome": outcome, "observation": text, "seconds": seconds}


def run(request):
    clean_scratch()
    reap()
    timeout = request["timeout"]
    steps = request["path"] + [{"id": request["id"], "code": request["code"]}]
    before = next_pid() if SANDBOXED else 0
    if before is None:
        kill_all()
    channel = pid = None
    start = time.monotonic()
    try:
        channel, pid, replayed = fork(request, steps)
        hear(channel, timeout * replayed + GRACE)
        start = time.monotonic()
        answer = checked(hear(channel, timeout))
    except TimeoutError:
        answer = {"outcome": "timeout", "observation": f"TimeoutError: ran longer than {timeout:g} s"}
    except (OSError, ValueError, RecursionError):
        answer = {"outcome": "error", "observation": "InterpreterError: the interpreter ended"}
        answer["lost"] = True
    answer.setdefault("seconds", time.monotonic() - start)
    # Numbers are given out in order: one more than the step's process, and something that it started may be left.
    alone = not SANDBOXED or (before is not None and next_pid() == before + 2)
    state = State(pid, channel) if channel else None
    if not alone:
        if state:
            state.end()
        kill_all()
    elif answer["outcome"] in ("ok", "error") and "lost" not in answer and SETTINGS["live_states"]:
        STATES[request["id"]] = state
        while len(STATES) > SETTINGS["live_states"]:
            STATES.pop(next(iter(STATES))).end()
    elif state:
        state.end()
    return answer


def clean_scratch():
    """Files last as long as the step that wrote them: siblings see each other's files as little as their variables."""
    left = os.listdir(".")
    while left:
        name = left.pop()
        if not is_folder(name):
            os.unlink(name)
            continue
        os.chmod(name, 0o700)
        for inner in os.listdir(name):
            inner, up = os.path.join(name, inner), os.urandom(8).hex()
            if is_folder(inner):
                os.chmod(inner, 0o700)
            # Up here, where no path is too long, however deep the folders lie.
            os.rename(inner, up)
            left.append(up)
        os.rmdir(name)


def is_folder(path):
    return os.path.isdir(path) and not os.path.islink(path)


def measured_address_space():
    """The bytes of address space that this process has, found by trying: the sandbox has no /proc."""
    low, high = 0, 1 << 46
    _, hard = resource.getrlimit(resource.RLIMIT_AS)
    while high - low > 1 << 20:
        middle = (low + high) // 2
        resource.setrlimit(resource.RLIMIT_AS, (middle, hard))
        try:
            mmap.mmap(-1, 4096).close()
            high = middle
        except (OSError, MemoryError):
            low = middle
    resource.setrlimit(resource.RLIMIT_AS, (hard, hard))
    return high


def gap():
    """What the sandbox lets through that it should not, or nothing."""
    if os.getpid() != 1:
        return "there is no process namespace of its own"
    if os.path.exists("/proc/self") or os.path.exists("/sys/kernel"):
        return "the system's own files are visible"
    for family in socket.AF_INET, socket.AF_UNIX:
        try:
            socket.socket(family, socket.SOCK_STREAM).close()
            return "sockets can be opened"
        except OSError:
            pass
    try:
        open("/probe", "w").close()
        return "the root folder can be written"
    except OSError:
        pass
    if resource.getrlimit(resource.RLIMIT_NPROC)[0] == resource.RLIM_INFINITY or os.getuid() == 0:
        return "the number of processes is not limited"
    return None


def warm():
    """Loads what steps mostly import, so that a fork has it at once."""
    import collections, decimal, fractions, functools, itertools, math, re, statistics  # noqa: E401, F401

    random.seed(0)
    try:
        import sympy
    except ImportError:
        return None
    x = sympy.symbols("x")
    sympy.solve(x**2 - 5 * x + 6, x)
    sympy.simplify((x**2 - 1) / (x - 1))
    sympy.integrate(x, x)
    return sympy.__version__


def main():
    # Of the first process of a namespace only what it handles reaches it.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    sys.path[:] = SETTINGS["path"]
    if not SANDBOXED:
        import atexit
        import tempfile

        folder = tempfile.mkdtemp(prefix="espalier-code-")
        os.chdir(folder)
        atexit.register(shutil.rmtree, folder, ignore_errors=True)
    sympy = warm()
    SETTINGS["address_space"] = measured_address_space()
    # What is here is here to stay: a collection in a fork need not touch it.
    gc.collect()
    gc.freeze()
    answer({"gap": gap() if SANDBOXED else None, "sympy": sympy})
    for line in sys.stdin.buffer:
        answer(run(json.loads(line)))
    for state in STATES.values():
        state.end()


def answer(message):
    sys.stdout.buffer.write(json.dumps(message).encode() + b"\n")
    sys.stdout.buffer.flush()


main()
