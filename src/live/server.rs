//! The page's server.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread::JoinHandle;

use anyhow::{Context, Result, anyhow};
use serde_json::json;
use tiny_http::{Header, Method, Request, Response, StatusCode};

use super::files;

/// A server of one run's page, until it is dropped. Its address holds a token that nobody can guess: on a shared machine the loopback is
/// everybody's.
pub struct Server {
    http: Arc<tiny_http::Server>,
    thread: Option<JoinHandle<()>>,
    address: String,
}

impl Server {
    /// Begins to answer at an address; port 0 takes a free one.
    ///
    /// # Errors
    /// When the address cannot be taken.
    pub fn begin(run: &Path, listen: SocketAddr) -> Result<Self> {
        let http = tiny_http::Server::http(listen)
            .map_err(|error| anyhow!("{error}"))
            .with_context(|| format!("cannot listen at {listen}"))?;
        let http = Arc::new(http);
        let mut token = [0; 16];
        getrandom::fill(&mut token).context("the system gives no random token")?;
        let token = format!("{:032x}", u128::from_ne_bytes(token));
        let listening = http.server_addr().to_ip().unwrap_or(listen);
        let address = format!("http://{listening}/{token}/");
        let answers = Answers { run: run.to_owned(), token };
        let server = Arc::clone(&http);
        let thread = std::thread::spawn(move || {
            for request in server.incoming_requests() {
                answers.answer(request);
            }
        });
        Ok(Self { http, thread: Some(thread), address })
    }

    /// Where a browser finds the page.
    #[must_use]
    pub fn address(&self) -> &str {
        &self.address
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.http.unblock();
        if let Some(thread) = self.thread.take() {
            _ = thread.join();
        }
    }
}

struct Answers {
    run: PathBuf,
    token: String,
}

impl Answers {
    fn answer(&self, request: Request) {
        let (status, kind, body) = self.found(request.method(), request.url());
        let mut response = Response::from_data(body).with_status_code(StatusCode(status));
        for (name, value) in [
            ("Content-Type", kind),
            ("Cache-Control", "no-store"),
            ("Referrer-Policy", "no-referrer"),
            ("X-Content-Type-Options", "nosniff"),
        ] {
            if let Ok(header) = Header::from_bytes(name, value) {
                response.add_header(header);
            }
        }
        // A browser that went away.
        _ = request.respond(response);
    }

    fn found(&self, method: &Method, url: &str) -> (u16, &'static str, Vec<u8>) {
        let absent = (
            404,
            "text/plain",
            b"not here; the address is printed where the page was begun".to_vec(),
        );
        let (path, query) = url.split_once('?').unwrap_or((url, ""));
        let asked = path.strip_prefix('/').and_then(|path| path.strip_prefix(&*self.token));
        let Some(asked) = asked.and_then(|path| path.strip_prefix('/')) else { return absent };
        if *method != Method::Get {
            return (405, "text/plain", b"the page is only read".to_vec());
        }
        let json = |value: Result<serde_json::Value>| {
            value
                .and_then(|value| Ok(serde_json::to_vec(&value)?))
                .map(|body| ("application/json", body))
        };
        let answered = match asked {
            "" => files::page(&self.run)
                .and_then(|page| page.live_html())
                .map(|html| ("text/html; charset=utf-8", html.into_bytes())),
            "page.json" => {
                json(files::page(&self.run).and_then(|page| Ok(serde_json::to_value(page)?)))
            }
            "status.json" => json(files::status(&self.run)),
            "tree.json" => json(files::last_tree(&self.run)),
            "files.json" => json(Ok(json!(files::tree_files(&self.run)))),
            "trees.json" => {
                let value = |name: &str| {
                    query.split('&').find_map(|pair| pair.strip_prefix(name)?.strip_prefix('='))
                };
                let from = value("from").and_then(|from| from.parse().ok()).unwrap_or(0);
                json(files::trees(&self.run, value("file").unwrap_or(""), from))
            }
            _ => return absent,
        };
        match answered {
            Ok((kind, body)) => (200, kind, body),
            Err(error) => (500, "text/plain; charset=utf-8", format!("{error:#}").into_bytes()),
        }
    }
}
