"""The process of a step. Forked from the worker or from the process of the step before it, it runs foreign code, tells what came of it,
and stays as the state that the step left, to be forked for the steps that build on it. The worker's file follows in the same program.
"""

import ast
import gc
import io
import json
import mmap
import os
import random
import resource
import socket
import sys
import time

SETTINGS = json.loads(sys.argv[1])
SANDBOXED = SETTINGS["sandboxed"]
# A step's process speaks with the worker over this descriptor; one packet is one message.
CHANNEL = 3
LONGEST_PACKET = 200_000
# Libraries that a right step may use: that this machine lacks one says nothing of the step.
LIBRARIES = {"matplotlib", "mpmath", "networkx", "numpy", "pandas", "scipy", "sympy"}
# What every step of a path sees.
NAMESPACE = {"__name__": "__main__", "__builtins__": __builtins__}


class OutputLimit(BaseException):
    pass


class Printed(io.TextIOBase):
    def __init__(self):
        self.parts, self.length = [], 0

    def writable(self):
        return True

    def write(self, text):
        text = str(text)
        self.length += len(text)
        if self.length > SETTINGS["print_limit"]:
            raise OutputLimit
        self.parts.append(text)
        return len(text)


class Discarded(io.TextIOBase):
    def write(self, text):
        return len(text)


def execute(code, namespace):
    """Runs a step: how it ended and what it showed."""
    printed = Printed()
    sys.stdout, sys.stderr, sys.stdin = printed, Discarded(), io.StringIO()
    try:
        tree = ast.parse(code, "<step>")
        last = tree.body.pop() if tree.body and isinstance(tree.body[-1], ast.Expr) else None
        exec(compile(tree, "<step>", "exec"), namespace)
        shown = ""
        if last is not None:
            value = eval(compile(ast.Expression(last.value), "<step>", "eval"), namespace)
            shown = "" if value is None else str(value)
        if printed.length > SETTINGS["print_limit"]:
            raise OutputLimit
        return "ok", "".join(printed.parts) + shown
    except OutputLimit:
        return "output_limit", "OutputLimitError: printed too much"
    except MemoryError:
        return "memory", "MemoryError"
    except BaseException as error:
        if printed.length > SETTINGS["print_limit"]:
            return "output_limit", "OutputLimitError: printed too much"
        return "unsupported" if is_lacking(error) else "error", described(error)


def is_lacking(error):
    """Whether it is the machine that lacks a library."""
    return isinstance(error, ModuleNotFoundError) and str(error.name).partition(".")[0] in LIBRARIES


def described(error):
    try:
        return f"{type(error).__name__}: {error}"
    except BaseException:
        return f"{type(error).__name__}: "


def settle(channel):
    """In a process that was just forked: holds the channel and no other."""
    os.dup2(channel, CHANNEL)
    # Channels of other states among them.
    os.closerange(CHANNEL + 1, 4096)


def begin(request):
    """Runs the steps that `request` names and tells what came of the last."""
    tell({"pid": os.getpid()})
    steps = len(request["path"]) + 1
    processor = int(request["timeout"] * steps) + 2
    resource.setrlimit(resource.RLIMIT_CPU, (processor, resource.RLIM_INFINITY))
    if request["path"]:
        for code in request["path"]:
            execute(code, NAMESPACE)
        tell({"begun": True})
    start = time.perf_counter()
    outcome, text = execute(request["code"], NAMESPACE)
    seconds = time.perf_counter() - start
    text = text.rstrip("\r\n")
    # The program cuts it to length; this is only to fit a packet.
    most = 4 * SETTINGS["max_output"]
    text = text if len(text) <= 2 * most else text[:most] + text[-most:]
    tell({"outcome": outcome, "observation": text, "seconds": seconds})


def tell(message):
    os.write(CHANNEL, json.dumps(message, ensure_ascii=False).encode("utf-8", "replace"))


def stay(prepare=lambda: None):
    """Waits to be forked, for each step that builds on this state, until the worker closes the channel."""
    while True:
        packet, channel = received()
        if channel is None:
            os._exit(0)
        reap()
        if fork_alike() == 0:
            settle(channel)
            prepare()
            prepare = lambda: None  # noqa: E731
            begin(json.loads(packet))
        else:
            os.close(channel)


def received():
    """The next packet, and the channel that came with it."""
    end = socket.socket(fileno=CHANNEL)
    packet, channels, _, _ = socket.recv_fds(end, LONGEST_PACKET, 1)
    end.detach()
    return packet, channels[0] if channels else None


def fork_alike():
    """Forks; `random` would seed itself anew in the child, where replay would go on."""
    state = random.getstate()
    pid = os.fork()
    if pid == 0:
        random.setstate(state)
    return pid


def live(channel, request=None):
    """All that a process forked from the worker does; without a request it waits for one."""
    try:
        shut_off()
        settle(channel)
        confine()
        if request is None:
            packet, _ = received()
            if not packet:
                os._exit(0)
            request = json.loads(packet)
        begin(request)
        stay()
    finally:
        os._exit(1)


def live_symbolic(channel):
    """A process that has loaded sympy and runs no step itself: those that use sympy are forked from it."""
    try:
        shut_off()
        settle(channel)
        load_sympy()
        SETTINGS["address_space"] = measured_address_space()
        random.seed(0)
        gc.collect()
        gc.freeze()
        tell({"pid": os.getpid()})
        stay(confine)
    finally:
        os._exit(1)


def shut_off():
    null = os.open("/dev/null", os.O_RDWR)
    for stream in 0, 1, 2:
        os.dup2(null, stream)
    if SANDBOXED:
        # The worker's group reaches out of the sandbox: its first process is in it.
        os.setpgid(0, 0)


def confine():
    limit(resource.RLIMIT_AS, SETTINGS["address_space"] + SETTINGS["memory"])
    limit(resource.RLIMIT_FSIZE, 16 << 20)
    limit(resource.RLIMIT_NOFILE, 64)
    limit(resource.RLIMIT_CORE, 0)


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


def load_sympy():
    import sympy

    # What steps mostly ask of it, so that a fork has it at once.
    x = sympy.symbols("x")
    sympy.solve(x**2 - 5 * x + 6, x)
    sympy.simplify((x**2 - 1) / (x - 1))
    sympy.integrate(x, x)


def limit(what, value):
    _, hard = resource.getrlimit(what)
    value = value if hard == resource.RLIM_INFINITY else min(value, hard)
    resource.setrlimit(what, (value, value))


def reap():
    try:
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass
    except ChildProcessError:
        pass
