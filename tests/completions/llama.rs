//! llama.cpp's own server with a small language model, where `make peers` has fetched both.

use std::fs::File;
use std::io::{BufRead, BufReader, Read, Seek, Write};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError, Weak, mpsc};
use std::thread;
use std::time::Duration;

/// What `tests/llama_server.py` gives the server.
pub const SLOTS: usize = 4;

/// A running server; it is killed when the last test that uses it ends, however that ends.
pub struct Llama {
    process: Child,
    url: String,
}

static RUNNING: Mutex<Weak<Llama>> = Mutex::new(Weak::new());

impl Llama {
    /// The running server, started if there is none; `None`, said aloud, where it was not fetched.
    pub fn get() -> Option<Arc<Self>> {
        let root = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
        let python = root.join(".peers/bin/python");
        if !root.join(".peers/ready").exists() {
            // Past the test harness, which shows no output of a test that passes.
            let message = "SKIPPED: no llama.cpp server in .peers/ (`make peers` fetches it)\n";
            _ = std::io::stderr().write_all(message.as_bytes());
            return None;
        }
        let mut running = RUNNING.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(server) = running.upgrade() {
            return Some(server);
        }
        let server = Arc::new(Self::start(&python, &root.join("tests/llama_server.py")));
        *running = Arc::downgrade(&server);
        Some(server)
    }

    pub fn url(&self) -> &str {
        &self.url
    }

    fn start(python: &PathBuf, script: &PathBuf) -> Self {
        let mut log = tempfile::tempfile().unwrap();
        let mut process = Command::new(python)
            .arg(script)
            .arg(SLOTS.to_string())
            // Held open: the server ends with this process, should it be killed.
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(log.try_clone().unwrap())
            .spawn()
            .unwrap();
        let mut output = BufReader::new(process.stdout.take().unwrap());
        let (sender, line) = mpsc::channel();
        thread::spawn(move || {
            let mut line = String::new();
            _ = output.read_line(&mut line);
            _ = sender.send(line);
        });
        let address = line.recv_timeout(Duration::from_secs(120)).unwrap_or_default();
        let mut server = Self { process, url: format!("{}/v1/completions", address.trim()) };
        if !address.starts_with("http://") {
            _ = server.process.kill();
            panic!("the server did not start: {}", all_of(&mut log));
        }
        server
    }
}

fn all_of(log: &mut File) -> String {
    let mut text = String::new();
    _ = log.rewind();
    _ = log.read_to_string(&mut text);
    text
}

impl Drop for Llama {
    fn drop(&mut self) {
        _ = self.process.kill();
        _ = self.process.wait();
    }
}
