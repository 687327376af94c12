//! Worker processes that may hang or die, and the messages they exchange: a line of JSON, then as many bytes as it announces.
#![forbid(unsafe_code)]

use std::io::{self, BufRead, BufReader, Read, Write};
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::time::Duration;

use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

/// Longest line of a message, in bytes. Workers have run foreign code: nothing that they send is trusted.
const LONGEST_LINE: u64 = 8 << 20;
/// Longest blob of a message, in bytes.
pub const LONGEST_BLOB: usize = 1 << 20;
/// How much is kept of what a worker writes to standard error, in bytes.
const COMPLAINT: u64 = 16 << 10;

/// Why an answer did not come. The worker is lost in every case.
#[derive(Debug)]
pub enum Fault {
    /// Not in time.
    Late,
    /// The process ended, and what it wrote to standard error.
    Ended(Option<ExitStatus>, String),
    /// It sent what is no answer.
    Unreadable(String),
}

/// A message: a line and a blob.
pub type Message = (Vec<u8>, Vec<u8>);

/// A running worker. It is killed, with its process group if it leads one, when dropped.
#[derive(Debug)]
pub struct Worker {
    process: Child,
    input: Option<ChildStdin>,
    messages: Receiver<io::Result<Message>>,
    complaint: Receiver<String>,
}

impl Worker {
    /// Starts `command`. Its descendants are killed with it where it leads a process group of its own.
    ///
    /// # Errors
    /// When the process cannot be started.
    pub fn start(mut command: Command) -> io::Result<Self> {
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut process = command.spawn()?;
        let input = process.stdin.take();
        let (sender, messages) = mpsc::channel();
        if let Some(output) = process.stdout.take() {
            std::thread::spawn(move || {
                let mut output = BufReader::new(output);
                loop {
                    let message = read_message(&mut output);
                    let last = message.is_err();
                    if sender.send(message).is_err() || last {
                        return;
                    }
                }
            });
        }
        let (sender, complaint) = mpsc::channel();
        if let Some(mut errors) = process.stderr.take() {
            std::thread::spawn(move || {
                let mut text = Vec::new();
                _ = errors.by_ref().take(COMPLAINT).read_to_end(&mut text);
                _ = sender.send(String::from_utf8_lossy(&text).trim().to_owned());
                _ = io::copy(&mut errors, &mut io::sink());
            });
        }
        Ok(Self { process, input, messages, complaint })
    }

    /// Waits for a message that the worker sends unasked.
    ///
    /// # Errors
    /// When none comes in time, the worker ends, or the message is malformed; the worker is killed in every case.
    pub fn receive(&mut self, longest: Duration) -> Result<Message, Fault> {
        match self.messages.recv_timeout(longest) {
            Ok(Ok(message)) => Ok(message),
            Err(RecvTimeoutError::Timeout) => {
                self.kill();
                Err(Fault::Late)
            }
            Ok(Err(error)) if error.kind() == io::ErrorKind::InvalidData => {
                self.kill();
                Err(Fault::Unreadable(error.to_string()))
            }
            Ok(Err(_)) | Err(RecvTimeoutError::Disconnected) => Err(self.ended()),
        }
    }

    /// Sends a request and waits for its answer.
    ///
    /// # Errors
    /// As [`Worker::receive`].
    pub fn ask<T: DeserializeOwned>(
        &mut self,
        request: &impl Serialize,
        blob: &[u8],
        longest: Duration,
    ) -> Result<(T, Vec<u8>), Fault> {
        if self.send(request, blob).is_err() {
            return Err(self.ended());
        }
        let (line, blob) = self.receive(longest)?;
        match serde_json::from_slice(&line) {
            Ok(answer) => Ok((answer, blob)),
            Err(error) => {
                self.kill();
                Err(Fault::Unreadable(error.to_string()))
            }
        }
    }

    fn send(&mut self, request: &impl Serialize, blob: &[u8]) -> io::Result<()> {
        let input = self.input.as_mut().ok_or(io::ErrorKind::BrokenPipe)?;
        write_message(input, request, blob)
    }

    /// Why the worker has ended, as far as its exit status and its error output say.
    fn ended(&mut self) -> Fault {
        // Its output is closed, so it is ending; a moment for its own exit status.
        let mut status = None;
        for _ in 0..200 {
            status = self.process.try_wait().ok().flatten();
            if status.is_some() {
                break;
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        self.kill();
        let complaint = self.complaint.recv_timeout(Duration::from_secs(1)).unwrap_or_default();
        Fault::Ended(status, complaint)
    }

    fn kill(&mut self) {
        self.input = None;
        // The group outlives its leader: what the worker started is in it. Where the worker leads none, nobody has its number.
        if let Ok(pid) = i32::try_from(self.process.id()) {
            _ = killpg(Pid::from_raw(pid), Signal::SIGKILL);
        }
        _ = self.process.kill();
        _ = self.process.wait();
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Writes a line of JSON and a blob.
///
/// # Errors
/// When the header is no JSON or the output is closed.
pub fn write_message(
    output: &mut impl Write,
    header: &impl Serialize,
    blob: &[u8],
) -> io::Result<()> {
    let mut message = serde_json::to_vec(header)?;
    message.push(b'\n');
    message.extend_from_slice(blob);
    output.write_all(&message)?;
    output.flush()
}

/// Reads a line of JSON and the blob whose length it announces.
///
/// # Errors
/// At the end of the input, and when the message is malformed or too long.
pub fn read_message(input: &mut impl BufRead) -> io::Result<Message> {
    #[derive(Deserialize)]
    struct Announced {
        #[serde(default)]
        blob: usize,
    }
    let mut line = Vec::new();
    input.by_ref().take(LONGEST_LINE).read_until(b'\n', &mut line)?;
    if line.is_empty() {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    let Announced { blob: length } = serde_json::from_slice(&line)
        .map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))?;
    if length > LONGEST_BLOB {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "too long a message"));
    }
    let mut blob = vec![0; length];
    input.read_exact(&mut blob)?;
    Ok((line, blob))
}
