//! Two programs in one run directory.

use std::process::Stdio;
use std::time::{Duration, Instant};

use super::subject::{Subject, assert_alike};

#[test]
fn a_second_program_in_a_run_directory_is_refused_and_told_of_the_first() {
    let folder = tempfile::tempdir().unwrap();
    let [whole, run] = ["whole", "run"].map(|name| folder.path().join(name));
    let subject = Subject::countdown();
    subject.finish(&whole);
    let mut first =
        subject.command(&run).stderr(Stdio::null()).stdout(Stdio::null()).spawn().unwrap();
    let begun = Instant::now();
    while !run.join("recipe.toml").exists() {
        assert!(begun.elapsed() < Duration::from_secs(60), "the first does not begin");
        std::thread::sleep(Duration::from_millis(1));
    }
    let mut refused = 0;
    while first.try_wait().unwrap().is_none() {
        let second = subject.command(&run).output().unwrap();
        let errors = String::from_utf8_lossy(&second.stderr);
        if second.status.success() {
            // The first ended meanwhile.
            break;
        }
        let holder = format!("in use by another espalier program (process {})", first.id());
        assert!(errors.contains(&holder) && second.status.code() == Some(3), "{errors}");
        refused += 1;
    }
    assert!(first.wait().unwrap().success());
    assert!(refused > 0);
    subject.finish(&run);
    assert_alike(&whole, &run, "two programs");
    println!("chaos: a second program was refused {refused} times");
}
