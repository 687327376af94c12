//! A real Chromium, told what to do by its DevTools protocol.

use std::net::TcpStream;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use data_encoding::BASE64;
use serde_json::{Value, json};
use tempfile::TempDir;
use tungstenite::{Message, WebSocket};

use espalier::search::testing::skipped;

/// A page of a browser of its own. A word of a warning on its console, a script's error and a request to another machine are failures.
pub struct Browser {
    child: Child,
    socket: WebSocket<TcpStream>,
    /// Of the page; empty before there is one.
    session: String,
    asked: u64,
    loaded: bool,
    /// Holds its profile.
    _folder: TempDir,
}

impl Browser {
    /// Debian's package `chromium`, or another that is installed; `None` where there is none.
    pub fn start() -> Option<Self> {
        let path = std::env::var_os("PATH").unwrap_or_default();
        let names = ["chromium", "chromium-browser", "google-chrome"];
        let found: Option<PathBuf> = std::env::split_paths(&path)
            .flat_map(|folder| names.map(|name| folder.join(name)))
            .find(|program| program.exists());
        let Some(program) = found else {
            skipped("no Chromium (Debian's package `chromium`)");
            return None;
        };
        let folder = tempfile::tempdir().unwrap();
        let child = Command::new(program)
            .args(["--headless", "--no-sandbox", "--disable-gpu", "--remote-debugging-port=0"])
            .args(["--window-size=1400,1000", "--no-first-run", "--disable-background-networking"])
            .arg(format!("--user-data-dir={}", folder.path().display()))
            // What it would leave there when it is killed.
            .env("TMPDIR", folder.path())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let port = folder.path().join("DevToolsActivePort");
        // The port, and the path of the browser's own socket.
        let (port, path) = until(|| {
            let text = std::fs::read_to_string(&port).ok()?;
            let (port, path) = text.split_once('\n')?;
            Some((port.parse::<u16>().ok()?, path.trim().to_owned()))
        });
        let stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(90))).unwrap();
        let (socket, _) =
            tungstenite::client(format!("ws://127.0.0.1:{port}{path}"), stream).unwrap();
        let session = String::new();
        let mut browser = Self { child, socket, session, asked: 0, loaded: false, _folder: folder };
        let page = browser.ask("Target.createTarget", &json!({ "url": "about:blank" }));
        let to = json!({ "targetId": page["targetId"], "flatten": true });
        let attached = browser.ask("Target.attachToTarget", &to);
        browser.session = attached["sessionId"].as_str().unwrap().to_owned();
        for domain in ["Runtime", "Log", "Network", "Page"] {
            browser.ask(&format!("{domain}.enable"), &json!({}));
        }
        Some(browser)
    }

    /// Goes to an address, and waits until the page has begun.
    pub fn open(&mut self, address: &str) {
        self.loaded = false;
        let answer = self.ask("Page.navigate", &json!({ "url": address }));
        assert!(answer.get("errorText").is_none(), "{answer}");
        while !self.loaded {
            let event = self.read();
            self.hear(&event);
        }
        self.run("await rest();");
    }

    /// Runs a script in the page and gives what it returns. `await rest()` waits until what a click asked for is drawn.
    pub fn run(&mut self, script: &str) -> Value {
        let rest = "const frame = () => new Promise((done) => requestAnimationFrame(done)), rest = async () => { await frame(); await frame(); };";
        let expression = format!("(async () => {{ {rest} {script} }})()");
        let answer = self.ask(
            "Runtime.evaluate",
            &json!({ "expression": expression, "awaitPromise": true, "returnByValue": true }),
        );
        assert!(answer.get("exceptionDetails").is_none(), "{answer}");
        answer["result"]["value"].clone()
    }

    /// What a page of so many points shows, as PNG.
    pub fn picture(&mut self, width: u32, height: u32) -> Vec<u8> {
        self.ask(
            "Emulation.setDeviceMetricsOverride",
            &json!({ "width": width, "height": height, "deviceScaleFactor": 1, "mobile": false }),
        );
        self.run("await rest();");
        let answer = self.ask("Page.captureScreenshot", &json!({ "format": "png" }));
        BASE64.decode(answer["data"].as_str().unwrap().as_bytes()).unwrap()
    }

    /// Asks the protocol.
    pub fn ask(&mut self, method: &str, parameters: &Value) -> Value {
        self.asked += 1;
        let mut message = json!({ "id": self.asked, "method": method, "params": parameters });
        if !self.session.is_empty() {
            message["sessionId"] = self.session.clone().into();
        }
        self.socket.send(Message::text(message.to_string())).unwrap();
        loop {
            let answer = self.read();
            if answer["id"] == self.asked {
                assert!(answer.get("error").is_none(), "{method}: {answer}");
                return answer["result"].clone();
            }
            self.hear(&answer);
        }
    }

    fn read(&mut self) -> Value {
        loop {
            if let Message::Text(text) = self.socket.read().unwrap() {
                return serde_json::from_str(&text).unwrap();
            }
        }
    }

    /// What the browser tells by itself.
    fn hear(&mut self, event: &Value) {
        let told = &event["params"];
        let bad = match event["method"].as_str().unwrap_or_default() {
            "Page.loadEventFired" => {
                self.loaded = true;
                false
            }
            "Runtime.exceptionThrown" => true,
            "Runtime.consoleAPICalled" => told["type"] == "error" || told["type"] == "warning",
            "Log.entryAdded" => told["entry"]["level"] == "error",
            "Network.requestWillBeSent" => {
                let address = told["request"]["url"].as_str().unwrap();
                let home = ["file:", "data:", "about:", "http://127.0.0.1:"];
                !home.iter().any(|own| address.starts_with(own))
            }
            _ => false,
        };
        assert!(!bad, "{event}");
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        _ = self.child.kill();
        _ = self.child.wait();
    }
}

fn until<T>(mut found: impl FnMut() -> Option<T>) -> T {
    for _ in 0..600 {
        if let Some(found) = found() {
            return found;
        }
        std::thread::sleep(Duration::from_millis(100));
    }
    panic!("the browser did not begin within a minute");
}
