//! A server that answers as a test tells it to: enough of HTTP/1.1 for one client.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use serde_json::{Value, json};

/// A request as it came in.
#[derive(Debug, Clone)]
pub struct Received {
    /// Requests before it.
    pub number: usize,
    /// Which connection it came on.
    pub connection: usize,
    /// Its first line and headers, in lower case.
    pub head: String,
    pub body: Value,
}

/// What is sent back.
pub enum Reply {
    /// Status, more headers, body.
    Http(u16, &'static [(&'static str, &'static str)], String),
    /// The first half of a good answer, and the connection is cut.
    Half(String),
    /// Nothing, until the server ends.
    Silence,
    /// Nothing, until the client cuts the connection, which is noted.
    UntilCut(Arc<AtomicBool>),
}

pub struct Stub {
    url: String,
    received: Arc<Mutex<Vec<Received>>>,
    ended: Arc<AtomicBool>,
}

impl Stub {
    pub fn start(reply: impl Fn(&Received) -> Reply + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}/v1/completions", listener.local_addr().unwrap());
        let received = Arc::new(Mutex::new(Vec::new()));
        let ended = Arc::new(AtomicBool::new(false));
        let shared = (Arc::new(reply), Arc::clone(&received), Arc::clone(&ended));
        thread::spawn(move || {
            for (connection, stream) in listener.incoming().enumerate() {
                let (reply, received, ended) = shared.clone();
                if ended.load(Ordering::SeqCst) {
                    break;
                }
                // A connection that breaks is the client's to notice.
                thread::spawn(move || {
                    _ = serve(stream?, connection, &*reply, &received, &ended);
                    std::io::Result::Ok(())
                });
            }
        });
        Self { url, received, ended }
    }

    pub fn url(&self) -> &str {
        &self.url
    }

    pub fn received(&self) -> Vec<Received> {
        self.received.lock().unwrap().clone()
    }
}

impl Drop for Stub {
    fn drop(&mut self) {
        self.ended.store(true, Ordering::SeqCst);
        let address = self.url.trim_start_matches("http://").split('/').next().unwrap();
        // Wakes the listener; it may have ended already.
        _ = TcpStream::connect(address);
    }
}

fn serve(
    stream: TcpStream,
    connection: usize,
    reply: &(dyn Fn(&Received) -> Reply + Send + Sync),
    received: &Mutex<Vec<Received>>,
    ended: &AtomicBool,
) -> std::io::Result<()> {
    stream.set_nodelay(true)?;
    let mut reader = BufReader::new(stream.try_clone()?);
    let mut writer = stream;
    loop {
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            if reader.read_line(&mut head)? == 0 {
                return Ok(());
            }
        }
        let head = head.to_lowercase();
        let length = head.split("content-length:").nth(1).and_then(|rest| rest.lines().next());
        let mut body = vec![0; length.map_or(0, |length| length.trim().parse().unwrap())];
        reader.read_exact(&mut body)?;
        let request = {
            let mut received = received.lock().unwrap();
            let body = serde_json::from_slice(&body).unwrap();
            let request = Received { number: received.len(), connection, head, body };
            received.push(request.clone());
            request
        };
        match reply(&request) {
            Reply::Http(status, headers, body) => {
                let headers: String =
                    headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
                let length = body.len();
                let head =
                    format!("HTTP/1.1 {status} x\r\ncontent-length: {length}\r\n{headers}\r\n");
                writer.write_all(&[head.as_bytes(), body.as_bytes()].concat())?;
            }
            Reply::Half(body) => {
                let length = body.len();
                let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {length}\r\n\r\n");
                let half = &body.as_bytes()[..length / 2];
                writer.write_all(&[head.as_bytes(), half].concat())?;
                return writer.shutdown(std::net::Shutdown::Both);
            }
            Reply::UntilCut(cut) => {
                let left = reader.read(&mut [0]);
                cut.store(matches!(left, Ok(0) | Err(_)), Ordering::SeqCst);
                return Ok(());
            }
            Reply::Silence => {
                while !ended.load(Ordering::SeqCst) {
                    thread::sleep(Duration::from_millis(5));
                }
                return Ok(());
            }
        }
    }
}

/// vLLM's answer to a request: every sample is the step `7*3`, of two tokens.
fn completion(request: &Received) -> String {
    let n = request.body["n"].as_u64().unwrap();
    let choice = |index| {
        json!({
            "index": index,
            "text": "7*3",
            "finish_reason": "stop",
            "logprobs": { "tokens": ["7*3", "\n"], "token_logprobs": [-0.5, -0.25] },
        })
    };
    json!({ "object": "text_completion", "choices": (0..n).map(choice).collect::<Vec<_>>() })
        .to_string()
}

pub fn good(request: &Received) -> Reply {
    Reply::Http(200, &[], completion(request))
}
