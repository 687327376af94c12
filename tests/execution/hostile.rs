//! Programs that mean harm. Each ends as an outcome within its limits, touches nothing outside, and the next step is answered.

use std::fs;
use std::io::ErrorKind;
use std::net::TcpListener;
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::time::Duration;

use espalier::execution::{CodeState, Executor, ExecutorConfig, Outcome, start_unchecked};

use super::programs::{PROGRAMS, Program};
use super::{PROGRAM, cpython};

/// What is not to be found out.
const SECRET: &str = "the-secret-3141592653";

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
        assert_eq!((sibling.outcome, &*sibling.observation), (Outcome::Ok, "42"), "after {name}");
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
    // Not read before, so that they are run.
    let executor = start_unchecked(&config(256), &own).unwrap();
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
    // The worker, its states, two spares and the process that has loaded sympy.
    let most = 1 + config.live_states + 3;
    let count = |most: usize| settle(&mark, most) + settle(&quoted, 1);
    all_end_and_harm_nothing(
        &*executor,
        |program| program.cpython,
        |program| {
            let left = count(most);
            assert!(left <= 1 + most, "{}: {left} processes", program.name);
        },
    );
    assert!(count(most) >= 2);
    drop(executor);
    assert_eq!(settle(&mark, 0) + settle(&quoted, 0), 0);
}
