"""A worker of the CPython executor. It speaks lines of JSON with the program on standard input and output, has steps run in processes
that are forked from it or from kept states, and never runs foreign code itself. What such a process sends is not trusted.
"""

import _thread
import importlib.util
import select
import shutil
import signal

OUTCOMES = {"ok", "error", "timeout", "memory", "output_limit", "unsupported"}
# How long a fork may take on a busy machine, in seconds.
GRACE = 10.0
# How long sympy may take to load.
LOAD = 50.0


class TooLong(Exception):
    """The steps are longer than a packet."""


class State:
    """A state process, by the number of the step that it ran last."""

    def __init__(self, pid, channel, symbolic):
        self.pid, self.channel, self.symbolic = pid, channel, symbolic

    def end(self):
        self.channel.close()
        kill(self.pid)


STATES = {}
# The process that has loaded sympy, once a step has asked for it.
SYMBOLIC = None
HAS_SYMPY = False
# Processes that are ready to run a first step: a fork takes longer than most of them.
SPARES = []
MOST_SPARES = 2
# The last number of a process that was looked at, and processes that were asked for since.
LAST = FORKS = 0


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
    while SPARES:
        SPARES.pop().end()
    end_symbolic()
    if SANDBOXED:
        try:
            # In the sandbox's own process namespace, of which this is the first process.
            os.kill(-1, signal.SIGKILL)
        except OSError:
            pass
    reap()


def next_pid():
    """The number that the kernel gives out next, taken by a thread; None when there are too many processes."""
    taken, numbers = _thread.allocate_lock(), []
    taken.acquire()

    def take():
        numbers.append(_thread.get_native_id())
        taken.release()

    try:
        _thread.start_new_thread(take, ())
    except RuntimeError:
        return None
    taken.acquire()
    return numbers[0]


def nothing_else_started():
    """Whether every process since this was last asked is one that was asked for: numbers are given out in order."""
    global LAST, FORKS
    number = next_pid()
    alone = number is not None and number == LAST + FORKS + 1
    LAST, FORKS = number or 0, 0
    return alone


def fork_here():
    global FORKS
    for _ in range(100):
        try:
            pid = fork_alike()
            FORKS += 1
            return pid
        except BlockingIOError:
            # Too many processes: ended ones that states have not asked after count too.
            kill_all()
            time.sleep(0.01)
    sys.exit("no process can be started")


def replenish():
    """Starts spares, while the program has other things to do."""
    while len(SPARES) < MOST_SPARES:
        ours, theirs = pair()
        pid = fork_here()
        if pid == 0:
            live(theirs.fileno())
        theirs.close()
        SPARES.append(State(pid, ours, False))


def pair():
    return socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)


def end_symbolic():
    global SYMBOLIC
    if SYMBOLIC:
        SYMBOLIC.end()
    SYMBOLIC = None


def symbolic():
    """The process that has loaded sympy; None where it cannot be started."""
    global SYMBOLIC
    if SYMBOLIC is None:
        ours, theirs = pair()
        if fork_here() == 0:
            live_symbolic(theirs.fileno())
        theirs.close()
        try:
            SYMBOLIC = State(hear(ours, LOAD).get("pid"), ours, True)
        except (OSError, ValueError, TimeoutError):
            ours.close()
    return SYMBOLIC


def fork(request, steps, needs_sympy):
    """Starts a process for the last of `steps`: the channel to it, its number, and how many steps it runs again."""
    for at in range(len(steps) - 1, 0, -1):
        state = STATES.get(steps[at - 1]["id"])
        # To load sympy takes longer than steps mostly do to run again.
        if state is None or (needs_sympy and not state.symbolic):
            continue
        try:
            return fork_from(state, request, steps, at)
        except TooLong:
            break
        except (OSError, ValueError, RecursionError, TimeoutError):
            # Lost, or no longer what it was: the step is run from an earlier state.
            STATES.pop(steps[at - 1]["id"]).end()
    if needs_sympy and SYMBOLIC:
        try:
            return fork_from(SYMBOLIC, request, steps, 0)
        except TooLong:
            pass
        except (OSError, ValueError, RecursionError, TimeoutError):
            end_symbolic()
    rest = what_is_left(request, steps, 0)
    packet = json.dumps(rest).encode()
    while SPARES and len(packet) <= LONGEST_PACKET:
        spare = SPARES.pop(0)
        try:
            spare.channel.send(packet, socket.MSG_DONTWAIT)
            return spare.channel, hear(spare.channel, GRACE).get("pid"), len(rest["path"])
        except (OSError, ValueError, RecursionError, TimeoutError):
            # Ended or stopped by a step before.
            spare.end()
    ours, theirs = pair()
    if fork_here() == 0:
        live(theirs.fileno(), rest)
    theirs.close()
    return ours, hear(ours, GRACE).get("pid"), len(rest["path"])


def fork_from(state, request, steps, at):
    """As `fork`, from a process that has run the first `at` of the steps."""
    global FORKS
    rest = what_is_left(request, steps, at)
    packet = json.dumps(rest).encode()
    if len(packet) > LONGEST_PACKET:
        raise TooLong
    ours, theirs = pair()
    try:
        socket.send_fds(state.channel, [packet], [theirs.fileno()], socket.MSG_DONTWAIT)
        theirs.close()
        FORKS += 1
        return ours, hear(ours, GRACE).get("pid"), len(rest["path"])
    except BaseException:
        ours.close()
        theirs.close()
        raise


def what_is_left(request, steps, at):
    path = [step["code"] for step in steps[at:-1]]
    return {"path": path, "code": request["code"], "timeout": request["timeout"]}


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
    needs_sympy = HAS_SYMPY and any("sympy" in step["code"] for step in steps)
    if needs_sympy:
        symbolic()
    channel = pid = None
    start = time.monotonic()
    try:
        channel, pid, replayed = fork(request, steps, needs_sympy)
        if replayed:
            hear(channel, timeout * replayed + GRACE)
        start = time.monotonic()
        answer = checked(hear(channel, timeout))
    except TimeoutError:
        answer = {"outcome": "timeout", "observation": f"TimeoutError: ran longer than {timeout:g} s"}
    except (OSError, ValueError, RecursionError):
        answer = {"outcome": "error", "observation": "InterpreterError: the interpreter ended"}
        answer["lost"] = True
    answer.setdefault("seconds", time.monotonic() - start)
    alone = not SANDBOXED or nothing_else_started()
    state = State(pid, channel, needs_sympy) if channel else None
    if not alone:
        if state:
            state.end()
        kill_all()
    elif answer["outcome"] in ("ok", "error", "unsupported") and "lost" not in answer and SETTINGS["live_states"]:
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
    """Loads what steps mostly import and takes little, so that a fork has it at once."""
    import collections, decimal, fractions, functools, itertools, math, re, statistics  # noqa: E401, F401
    import site

    # `exit`, `help` and their kin, which the start without `site` leaves out.
    site.setquit()
    site.sethelper()
    site.setcopyright()
    # What Python makes when it is first asked for, so that each step finds it made.
    streams = sys.stdout, sys.stderr, sys.stdin
    execute("import math\nx = [n / 2 for n in range(3)]\nprint(f'{x[0]:.2f}')\nx", {})
    sys.stdout, sys.stderr, sys.stdin = streams
    random.seed(0)


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
    global HAS_SYMPY
    HAS_SYMPY = importlib.util.find_spec("sympy") is not None
    warm()
    SETTINGS["address_space"] = measured_address_space()
    # What is here is here to stay: a collection in a fork need not touch it.
    gc.collect()
    gc.freeze()
    answer({"gap": gap() if SANDBOXED else None})
    if SANDBOXED:
        nothing_else_started()
    replenish()
    for line in sys.stdin.buffer:
        answer(run(json.loads(line)))
        replenish()
    for state in [*STATES.values(), *SPARES]:
        state.end()
    end_symbolic()


def answer(message):
    sys.stdout.buffer.write(json.dumps(message).encode() + b"\n")
    sys.stdout.buffer.flush()


main()
