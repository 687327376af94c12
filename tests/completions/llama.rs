//! llama.cpp's own server with a small language model, where `make peers` has fetched both.

use std::fs::File;
use std::io::{BufRead, BufReader, Read, Seek};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError, mpsc};
use std::thread;
use std::time::Duration;

use espalier::search::testing::skipped;

/// How many sequences the server answers at once, and so the most samples of one request.
pub const SLOTS: usize = 4;

/// A running server. It ends when this process does, however that ends: its standard input closes.
pub struct Llama {
    url: String,
    /// Keeps that input open.
    _process: Child,
}

static SERVER: OnceLock<Mutex<Llama>> = OnceLock::new();

impl Llama {
    /// The server, started if there is none, for one test at a time: what is answered beside a request changes the rounding of
    /// its samples. `None`, said aloud, where the server was not fetched.
    pub fn get() -> Option<MutexGuard<'static, Self>> {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        if !root.join(".peers/ready").exists() {
            skipped("no llama.cpp server in .peers/ (`make peers` fetches it)");
            return None;
        }
        let server = SERVER.get_or_init(|| Mutex::new(Self::start(root)));
        Some(server.lock().unwrap_or_else(PoisonError::into_inner))
    }

    pub fn url(&self) -> &str {
        &self.url
    }

    fn start(root: &Path) -> Self {
        let mut log = tempfile::tempfile().unwrap();
        let mut process = Command::new(root.join(".peers/bin/python"))
            .arg(root.join("tests/llama_server.py"))
            .arg(SLOTS.to_string())
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
        if !address.starts_with("http://") {
            _ = process.kill();
            panic!("the server did not start: {}", all_of(&mut log));
        }
        Self { url: format!("{}/v1/completions", address.trim()), _process: process }
    }
}

fn all_of(log: &mut File) -> String {
    let mut text = String::new();
    _ = log.rewind();
    _ = log.read_to_string(&mut text);
    text
}
