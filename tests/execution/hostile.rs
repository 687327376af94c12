//! Programs that mean harm. Each ends as an outcome within its limits, touches nothing outside, and the next step is answered.

use std::fs;
use std::io::ErrorKind;
use std::net::TcpListener;
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::time::Duration;

use espalier::execution::Outcome::{self, Error, Memory, Ok, OutputLimit, Timeout, Unsupported};
use espalier::execution::{CodeState, Executor, ExecutorConfig, ExecutorKind, start_with};

use super::{PROGRAM, cpython};

/// What is not to be found out.
const SECRET: &str = "the-secret-3141592653";
const ANY: &[Outcome] = &[Ok, Error, Timeout, Memory, OutputLimit, Unsupported];
/// Nothing of the system is there to be spoken to.
const NOT_THERE: &[Outcome] = &[Error, Unsupported];

/// A program and how it may end in CPython and in the embedded interpreter.
struct Program {
    name: &'static str,
    code: &'static str,
    cpython: &'static [Outcome],
    embedded: &'static [Outcome],
}

const fn program(
    name: &'static str,
    code: &'static str,
    cpython: &'static [Outcome],
    embedded: &'static [Outcome],
) -> Program {
    Program { name, code, cpython, embedded }
}

/// `OUTSIDE` stands for a folder that holds `secret`, `PORT` for a port that listens.
const PROGRAMS: &[Program] = &[
    program("endless loop", "while True: pass", &[Timeout], &[Timeout]),
    program(
        "endless loop that catches",
        "while True:\n try:\n  while True: pass\n except BaseException: pass",
        &[Timeout],
        &[Timeout],
    ),
    program(
        "endless loop that ignores signals",
        "import signal\nfor s in range(1, 65):\n try: signal.signal(s, signal.SIG_IGN)\n except Exception: pass\nwhile True: pass",
        &[Timeout],
        &[Unsupported],
    ),
    program("sleep", "import time\ntime.sleep(1000)", &[Timeout], &[Unsupported]),
    program(
        "one long operation",
        "x = 10**10**8\nprint(1)",
        &[Timeout, Memory],
        &[Timeout, Memory, Error],
    ),
    program("one long expression", "sum(x * x for x in range(10**12))", &[Timeout], &[Timeout]),
    program(
        "slow regular expression",
        "import re\nre.match('(a|a)*$', 'a' * 60 + 'b')\n1",
        &[Timeout],
        ANY,
    ),
    program("a great list", "x = [0] * 10**9", &[Memory], &[Memory, Timeout]),
    program("a great text", "x = 'a' * 10**11", &[Memory], &[Memory]),
    program(
        "a growing list",
        "x = []\nwhile True: x.append('a' * 10**6)",
        &[Memory],
        &[Memory, Timeout],
    ),
    program("a doubling text", "s = 'a'\nwhile True: s += s", &[Memory], &[Memory]),
    program(
        "memory that is caught",
        "x = []\nwhile True:\n try: x.append('a' * 10**7)\n except MemoryError: pass",
        &[Timeout, Memory],
        &[Memory, Timeout],
    ),
    program("recursion", "def f(n): return f(n + 1) + 1\nf(0)", &[Error], &[Error]),
    program(
        "recursion without its limit",
        "import sys\nsys.setrecursionlimit(10**9)\ndef f(n): return sorted([n], key=f)\nf(0)",
        &[Error, Memory, Timeout],
        &[Error, Unsupported],
    ),
    program("huge output", "while True: print('x' * 1000)", &[OutputLimit], &[OutputLimit]),
    program("huge line", "print('x' * 10**8)", &[OutputLimit], &[OutputLimit]),
    program(
        "huge output that is caught",
        "for i in range(5000):\n try: print('x' * 1000)\n except BaseException: pass",
        &[OutputLimit],
        &[OutputLimit],
    ),
    program("fork bomb", "import os\nwhile True: os.fork()", &[Error, Timeout], &[Unsupported]),
    program(
        "fork bomb that catches",
        "import os\nwhile True:\n try: os.fork()\n except OSError: pass",
        &[Timeout, Error],
        &[Unsupported],
    ),
    program(
        "a child that stays",
        "import os, time\nif os.fork() == 0:\n os.setsid()\n if os.fork() == 0:\n  while True: time.sleep(1)\n os._exit(0)\n1",
        &[Ok],
        &[Unsupported],
    ),
    program(
        "threads without end",
        "import threading, time\nwhile True: threading.Thread(target=time.sleep, args=(1000,)).start()",
        &[Error],
        &[Unsupported],
    ),
    program(
        "a thread that stays",
        "import threading\ndef spin():\n while True: pass\nthreading.Thread(target=spin, daemon=True).start()\n1",
        &[Ok],
        &[Unsupported],
    ),
    program(
        "a shell",
        "import os\nassert os.system('touch OUTSIDE/made; touch /tmp/made') == 0",
        &[Error],
        &[Unsupported],
    ),
    program(
        "a process",
        "import subprocess\nsubprocess.run(['/bin/cat', 'OUTSIDE/secret'], capture_output=True)",
        &[Error],
        &[Unsupported],
    ),
    program("reading a file", "print(open('OUTSIDE/secret').read())", &[Error], NOT_THERE),
    program(
        "reading the user's file",
        "import os\nprint(open(os.path.expanduser('~/.bashrc')).read())",
        &[Error],
        NOT_THERE,
    ),
    program("reading the system's file", "print(open('/etc/passwd').read())", &[Error], NOT_THERE),
    program(
        "a path object",
        "from pathlib import Path\nprint(Path('OUTSIDE/secret').read_text())",
        &[Error],
        NOT_THERE,
    ),
    program(
        "looking everywhere",
        "import os\nfor path, folders, files in os.walk('/'):\n folders[:] = [f for f in folders if f not in ('lib', 'lib64')]\n print(path, files)\n assert 'secret' not in files and 'shadow' not in files",
        &[Ok],
        NOT_THERE,
    ),
    program(
        "the home folder",
        "import os\nprint(os.listdir('/home'), os.listdir('/root'))",
        NOT_THERE,
        NOT_THERE,
    ),
    program("writing outside", "open('OUTSIDE/made', 'w').write('x')", &[Error], NOT_THERE),
    program("writing to /tmp", "open('/tmp/espalier-made', 'w').write('x')", &[Error], NOT_THERE),
    program("writing to the root", "open('/made', 'w').write('x')", &[Error], NOT_THERE),
    program(
        "writing to the library",
        "import os\nopen(os.path.join(os.path.dirname(os.__file__), 'made'), 'w')",
        &[Error],
        NOT_THERE,
    ),
    program("opening the library", "import os\nos.chmod(os.__file__, 0o777)", &[Error], NOT_THERE),
    program(
        "filling the scratch folder",
        "f = open('x', 'w')\nwhile True: f.write('x' * 10**6)",
        &[Error],
        NOT_THERE,
    ),
    program(
        "leaving a closed folder",
        "import os\nos.makedirs('a/b')\nopen('a/b/c', 'w').close()\nos.chmod('a/b', 0)\nos.chmod('a', 0)",
        &[Ok],
        &[Unsupported],
    ),
    program(
        "deep folders",
        "import os\nfor i in range(3000):\n os.mkdir('d')\n os.chdir('d')",
        &[Ok],
        &[Unsupported],
    ),
    program(
        "a link to a file",
        "import os\nos.symlink('OUTSIDE/secret', 'link')\nprint(open('link').read())",
        &[Error],
        &[Unsupported],
    ),
    program(
        "a link for the cleaner",
        "import os\nos.symlink('OUTSIDE', 'folder')\nos.symlink('/', 'root')\nos.mkdir('d')\nos.symlink('../..', 'd/up')",
        &[Ok],
        &[Unsupported],
    ),
    program(
        "climbing out",
        "print(open('../../../../OUTSIDE/secret').read())",
        &[Error],
        NOT_THERE,
    ),
    program(
        "climbing out by chroot",
        "import os\nos.mkdir('d')\nos.chroot('d')\nfor _ in range(99): os.chdir('..')\nos.chroot('.')\nprint(open('OUTSIDE/secret').read())",
        &[Error],
        &[Unsupported],
    ),
    program("its environment", "print(open('/proc/self/environ').read())", &[Error], NOT_THERE),
    program(
        "other processes",
        "import os\nprint(os.listdir('/proc'), open('/proc/1/cmdline').read())",
        &[Error],
        NOT_THERE,
    ),
    program(
        "other processes' folders",
        "import os\nprint(os.listdir('/proc/1/root'), os.readlink('/proc/1/cwd'))",
        &[Error],
        NOT_THERE,
    ),
    program(
        "the kernel's settings",
        "open('/proc/sys/kernel/hostname', 'w').write('x')",
        &[Error],
        NOT_THERE,
    ),
    program("memory of the machine", "print(open('/dev/mem', 'rb').read(9))", &[Error], NOT_THERE),
    program(
        "the environment",
        "import os\nprint(os.environ)\nassert 'SECRET' not in str(os.environ)",
        &[Ok],
        NOT_THERE,
    ),
    program(
        "a socket",
        "import socket\nsocket.create_connection(('127.0.0.1', PORT), timeout=1).send(b'x')",
        &[Error],
        &[Unsupported],
    ),
    program(
        "a socket in the file system",
        "import socket\ns = socket.socket(socket.AF_UNIX)\ns.connect('OUTSIDE/socket')",
        &[Error],
        &[Unsupported],
    ),
    program(
        "a raw socket",
        "import socket\nsocket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 0)",
        &[Error],
        &[Unsupported],
    ),
    program(
        "a web page",
        "import urllib.request\nurllib.request.urlopen('http://127.0.0.1:PORT/', timeout=1)",
        &[Error],
        &[Unsupported],
    ),
    program(
        "killing its parent",
        "import os, signal\nos.kill(os.getppid(), signal.SIGKILL)\nos.kill(1, signal.SIGKILL)",
        &[Ok, Error],
        &[Unsupported],
    ),
    program(
        "killing everybody",
        "import os, signal\nos.kill(-1, signal.SIGKILL)",
        &[Ok, Error],
        &[Unsupported],
    ),
    program(
        "killing the group",
        "import os, signal\nos.killpg(0, signal.SIGKILL)",
        &[Error],
        &[Unsupported],
    ),
    program(
        "stopping everybody",
        "import os, signal\ntry: os.kill(-1, signal.SIGSTOP)\nexcept OSError: pass\nos.kill(os.getpid(), signal.SIGSTOP)",
        &[Timeout],
        &[Unsupported],
    ),
    program(
        "signals to itself",
        "import os, signal\nos.kill(os.getpid(), signal.SIGTERM)",
        &[Error],
        &[Unsupported],
    ),
    program(
        "an alarm",
        "import signal\nsignal.alarm(1)\nwhile True: pass",
        &[Error, Timeout],
        &[Unsupported],
    ),
    program("an abort", "import os\nos.abort()", &[Error], &[Unsupported]),
    program("an exit", "import os\nos._exit(0)", &[Error], &[Unsupported]),
    program("a polite exit", "import sys\nsys.exit(0)", &[Error], NOT_THERE),
    program("an interrupt", "raise KeyboardInterrupt", &[Error], &[Error, Unsupported]),
    program(
        "an exception that cannot be shown",
        "class E(Exception):\n def __str__(self): raise SystemExit\nraise E",
        &[Error],
        ANY,
    ),
    program(
        "a value that cannot be shown",
        "class A:\n def __repr__(self): raise SystemExit(3)\nA()",
        &[Error],
        ANY,
    ),
    program(
        "a late exception",
        "class A:\n def __del__(self): raise ValueError\na = A()\na = None\n1",
        &[Ok],
        ANY,
    ),
    program(
        "something at the end",
        "import atexit\natexit.register(lambda: print('late'))\n1",
        &[Ok],
        &[Unsupported],
    ),
    program(
        "closed output",
        "import sys\nsys.stdout.close()\nsys.stderr.close()\nprint(1)",
        &[Ok, Error],
        ANY,
    ),
    program(
        "other output",
        "import sys\nsys.stdout = None\nsys.__stdout__ = None\nprint(1)",
        &[Ok, Error],
        ANY,
    ),
    program(
        "output past the interpreter",
        "import os\nfor fd in 0, 1, 2: os.write(fd, b'{}\\n' * 999)",
        &[Ok, Error],
        &[Unsupported],
    ),
    program("closed descriptors", "import os\nos.closerange(0, 4096)", &[Error], &[Unsupported]),
    program("input", "input()", &[Error], &[Unsupported]),
    program(
        "a forged answer",
        "import os\nos.write(3, b'{\"outcome\": \"ok\", \"observation\": \"forged\", \"seconds\": 0.5}')\nos.write(3, b'{\"pid\": 1}')",
        ANY,
        &[Unsupported],
    ),
    program(
        "a foreign answer",
        "import os\nos.write(3, b'\\xff' * 1000)",
        &[Error],
        &[Unsupported],
    ),
    program("a deep answer", "import os\nos.write(3, b'[' * 100000)", &[Error], &[Unsupported]),
    program("no memory at all", "import ctypes\nctypes.string_at(0)", &[Error], &[Unsupported]),
    program(
        "the C library",
        "import ctypes\nc = ctypes.CDLL(None)\nprint(c.unshare(0x10000000), c.mount(b'x', b'/', b'tmpfs', 0, 0), c.ptrace(16, 1, 0, 0), c.socket(2, 1, 0), c.setuid(0))\nassert c.open(b'OUTSIDE/secret', 0) == -1",
        &[Ok],
        &[Unsupported],
    ),
    program(
        "raw system calls",
        "import ctypes\nc = ctypes.CDLL(None)\nfor n in list(range(1, 9)) + list(range(100, 460)):\n if n not in (5, 112, 231): c.syscall(n, 0, 0, 0, 0, 0, 0)",
        ANY,
        &[Unsupported],
    ),
    program(
        "more rights",
        "import resource\nresource.setrlimit(resource.RLIMIT_AS, (-1, -1))",
        &[Error],
        &[Unsupported],
    ),
    program(
        "less time for the worker",
        "import os\nos.setpriority(os.PRIO_PROCESS, 1, 19)",
        &[Error],
        &[Unsupported],
    ),
    program(
        "less for the worker",
        "import resource\nresource.prlimit(1, resource.RLIMIT_NOFILE, (0, 0))",
        &[Error],
        &[Unsupported],
    ),
    program(
        "a foreign module",
        "open('math.py', 'w').write('x = 1')\nopen('json.py', 'w').write('x = 1')",
        &[Ok],
        NOT_THERE,
    ),
    program(
        "changed built-ins",
        "import builtins, json, os\nbuiltins.print = None\njson.dumps = None\nos.fork = None\nbuiltins.len = None\n1",
        ANY,
        ANY,
    ),
    program(
        "imports by name",
        "__import__('os').system('touch OUTSIDE/made')\n__import__('sys').modules.clear()",
        ANY,
        &[Unsupported],
    ),
    program(
        "the loader",
        "import importlib.util\ns = importlib.util.spec_from_file_location('m', 'OUTSIDE/module.py')\nm = importlib.util.module_from_spec(s)\ns.loader.exec_module(m)",
        &[Error],
        &[Unsupported],
    ),
    program(
        "pickle",
        "import pickle\npickle.loads(b'cos\\nsystem\\n(S\\'touch OUTSIDE/made\\'\\ntR.')",
        ANY,
        &[Unsupported],
    ),
    program(
        "frames",
        "import sys\nf = sys._getframe()\nwhile f.f_back: f = f.f_back\nf.f_globals['SETTINGS'] = None\nf.f_globals['tell'] = print\n1",
        ANY,
        NOT_THERE,
    ),
    program(
        "tracing",
        "import sys\nsys.settrace(lambda *a: 1 / 0)\nsys.setprofile(lambda *a: 1 / 0)\ndef f(): pass\nf()",
        ANY,
        NOT_THERE,
    ),
    program(
        "a garbled interpreter",
        "import sys, gc\nfor o in gc.get_objects():\n if isinstance(o, dict): o.clear()",
        ANY,
        ANY,
    ),
    program(
        "nested brackets",
        "eval('(' * 100000 + ')' * 100000)",
        &[Error, Memory],
        &[Unsupported],
    ),
    program("great integers", "int('9' * 10**7)", &[Error], ANY),
    program("a great power shown", "print(7 ** 10**6)", &[Error], ANY),
];

/// Folder, sockets and files that a program is not to reach.
struct Outside {
    folder: tempfile::TempDir,
    tcp: TcpListener,
    unix: UnixListener,
}

impl Outside {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("secret"), SECRET).unwrap();
        fs::write(folder.path().join("module.py"), format!("print('{SECRET}')")).unwrap();
        let tcp = TcpListener::bind("127.0.0.1:0").unwrap();
        let unix = UnixListener::bind(folder.path().join("socket")).unwrap();
        tcp.set_nonblocking(true).unwrap();
        unix.set_nonblocking(true).unwrap();
        Self { folder, tcp, unix }
    }

    fn code(&self, code: &str) -> String {
        let port = self.tcp.local_addr().unwrap().port().to_string();
        code.replace("OUTSIDE", self.folder.path().to_str().unwrap()).replace("PORT", &port)
    }

    fn is_untouched(&self) {
        let mut names: Vec<String> = fs::read_dir(self.folder.path())
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        assert_eq!(names, ["module.py", "secret", "socket"]);
        assert_eq!(fs::read_to_string(self.folder.path().join("secret")).unwrap(), SECRET);
        for made in ["/made", "/tmp/made", "/tmp/espalier-made"] {
            assert!(!Path::new(made).exists(), "{made}");
        }
        assert_eq!(self.tcp.accept().unwrap_err().kind(), ErrorKind::WouldBlock);
        assert_eq!(self.unix.accept().unwrap_err().kind(), ErrorKind::WouldBlock);
    }
}

/// Runs every program: alone, and as a step whose state another has built on.
fn all_end_and_harm_nothing(
    executor: &dyn Executor,
    allowed: impl Fn(&Program) -> &'static [Outcome],
    check: impl Fn(&Program),
) {
    let outside = Outside::new();
    let (_, before) = executor.run(&CodeState::default(), "x = 6").unwrap();
    for program in PROGRAMS {
        let (execution, after) = executor.run(&before, &outside.code(program.code)).unwrap();
        let name = program.name;
        assert!(allowed(program).contains(&execution.outcome), "{name}: {execution:?}");
        assert!(!execution.observation.contains(SECRET), "{name}: {execution:?}");
        assert!(execution.observation.chars().count() <= 503, "{name}");
        // Siblings do not see it, and are right.
        let (sibling, _) = executor.run(&before, "x * 7").unwrap();
        assert_eq!((sibling.outcome, &*sibling.observation), (Ok, "42"), "after {name}");
        // What builds on a harmful step is answered, whatever it has become.
        executor.run(&after, "x").unwrap();
        outside.is_untouched();
        check(program);
    }
}

/// Processes whose command line holds `mark`.
fn processes(mark: &str) -> usize {
    let holds = |entry: &fs::DirEntry| {
        fs::read(entry.path().join("cmdline"))
            .is_ok_and(|line| String::from_utf8_lossy(&line).contains(mark))
    };
    fs::read_dir("/proc").unwrap().flatten().filter(holds).count()
}

/// Waits until there are at most `most`: a killed process takes a moment to be gone.
fn settle(mark: &str, most: usize) -> usize {
    for _ in 0..200 {
        if processes(mark) <= most {
            break;
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    processes(mark)
}

fn config(memory_megabytes: u64) -> ExecutorConfig {
    let live_states = 4;
    ExecutorConfig {
        timeout_seconds: 2.0,
        memory_megabytes,
        workers: 1,
        live_states,
        ..ExecutorConfig::default()
    }
}

#[test]
fn programs_in_the_embedded_interpreter() {
    // A folder of its own tells its processes from those of other tests.
    let folder = tempfile::tempdir_in(Path::new(PROGRAM).parent().unwrap()).unwrap();
    let own = folder.path().join("espalier");
    fs::hard_link(PROGRAM, &own).unwrap();
    let mark = own.to_str().unwrap();
    let config = ExecutorConfig { kind: ExecutorKind::Embedded, ..config(256) };
    let executor = start_with(&config, &own).unwrap();
    all_end_and_harm_nothing(
        &*executor,
        |program| program.embedded,
        |program| assert!(settle(mark, 1) <= 1, "{}", program.name),
    );
    drop(executor);
    assert_eq!(settle(mark, 0), 0);
}

#[test]
fn programs_in_python() {
    // This much memory is in the command line of every process of this executor, and of no other test's.
    let config = config(257);
    let mark = format!("\"memory\":{}", 257_u64 << 20);
    // As the outer process's argument holds it, quoted.
    let quoted = mark.replace('"', "\\\"");
    let Some(executor) = cpython(&config) else { return };
    let count = |most: usize| settle(&mark, most) + settle(&quoted, 1);
    all_end_and_harm_nothing(
        &*executor,
        |program| program.cpython,
        |program| {
            let left = count(1 + config.live_states);
            assert!(left <= 2 + config.live_states, "{}: {left} processes", program.name);
        },
    );
    assert!(count(1 + config.live_states) >= 2);
    drop(executor);
    assert_eq!(settle(&mark, 0) + settle(&quoted, 0), 0);
}
