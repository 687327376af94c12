//! A stand-in for the Hugging Face Hub on the loopback: the end points that a push uses, and a storage of large files by Git LFS. It keeps
//! what arrives, refuses what the Hub would, and notes what must not happen.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard};
use std::thread::JoinHandle;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use serde_json::{Value, json};
use sha1::Sha1;
use sha2::{Digest, Sha256};
use tiny_http::{Header, Method, Request, Response, Server};

pub const TOKEN: &str = "hf_a-token-that-nobody-may-read";
/// Larger files come in parts of this size.
const PART: usize = 40_000;
/// A header that the storage wants to see again.
const CHECK: [&str; 2] = ["x-check", "as the batch said"];

/// Files by path.
pub type Files = BTreeMap<String, Vec<u8>>;

/// An answer: status, headers, body.
pub type Reply = (u16, Vec<(String, String)>, String);

#[derive(Default)]
pub struct Repository {
    pub private: bool,
    pub branches: BTreeMap<String, Files>,
    /// Which files lie in the storage.
    large: BTreeMap<String, String>,
    /// The headers of all commits, with the paths of each.
    pub commits: Vec<(Value, Vec<String>)>,
}

#[derive(Default)]
pub struct State {
    /// By `models/OWNER/NAME` or `datasets/OWNER/NAME`.
    pub repositories: BTreeMap<String, Repository>,
    storage: BTreeMap<String, Vec<u8>>,
    parts: BTreeMap<(String, usize), Vec<u8>>,
    verified: Vec<String>,
    /// Method and path of every request.
    pub requests: Vec<String>,
    /// What a client must not do.
    pub faults: Vec<String>,
    /// Answers that come instead, each once, by the beginning of method and path.
    pub instead: Vec<(String, Reply)>,
}

/// The server, until it is dropped.
pub struct StandIn {
    http: Arc<Server>,
    state: Arc<Mutex<State>>,
    thread: Option<JoinHandle<()>>,
    pub endpoint: String,
}

impl StandIn {
    pub fn start() -> Self {
        let http = Arc::new(Server::http("127.0.0.1:0").unwrap());
        let endpoint = format!("http://{}", http.server_addr());
        let state = Arc::new(Mutex::new(State::default()));
        let (server, shared, address) = (Arc::clone(&http), Arc::clone(&state), endpoint.clone());
        let thread = std::thread::spawn(move || {
            for mut request in server.incoming_requests() {
                let mut body = Vec::new();
                request.as_reader().read_to_end(&mut body).unwrap();
                let mut state = shared.lock().unwrap();
                let (status, headers, body) = state.answer(&address, &request, &body);
                let mut response = Response::from_string(body).with_status_code(status);
                for (name, value) in headers {
                    response.add_header(Header::from_bytes(name, value).unwrap());
                }
                _ = request.respond(response);
            }
        });
        Self { http, state, thread: Some(thread), endpoint }
    }

    pub fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    /// Answers otherwise, once, what begins so.
    pub fn instead(&self, request: &str, status: u16, headers: &[(&str, &str)], body: &str) {
        let headers = headers.iter().map(|(name, value)| ((*name).into(), (*value).into()));
        let reply = (status, headers.collect(), body.to_owned());
        self.state().instead.push((request.to_owned(), reply));
    }

    /// The files of a branch.
    pub fn files(&self, repository: &str, branch: &str) -> Files {
        self.state().repositories[repository].branches[branch].clone()
    }

    /// The requests since the last call.
    pub fn requests(&self) -> Vec<String> {
        let mut state = self.state();
        assert!(state.faults.is_empty(), "{:#?}", state.faults);
        std::mem::take(&mut state.requests)
    }
}

impl Drop for StandIn {
    fn drop(&mut self) {
        self.http.unblock();
        if let Some(thread) = self.thread.take() {
            _ = thread.join();
        }
    }
}

fn header<'a>(request: &'a Request, name: &str) -> Option<&'a str> {
    let mut headers = request.headers().iter();
    let found = headers.find(|header| header.field.as_str().as_str().eq_ignore_ascii_case(name))?;
    Some(found.value.as_str())
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn sha256(bytes: &[u8]) -> String {
    hex(&Sha256::digest(bytes))
}

fn git_sum(bytes: &[u8]) -> String {
    hex(&Sha1::digest([format!("blob {}\0", bytes.len()).as_bytes(), bytes].concat()))
}

fn done(body: &Value) -> Reply {
    (200, Vec::new(), body.to_string())
}

fn refused(status: u16, code: &str) -> Reply {
    let headers = vec![("X-Error-Code".to_owned(), code.to_owned())];
    (status, headers, json!({"error": format!("refused: {code}")}).to_string())
}

impl State {
    fn answer(&mut self, endpoint: &str, request: &Request, body: &[u8]) -> Reply {
        let (path, query) = request.url().split_once('?').unwrap_or((request.url(), ""));
        let asked = format!("{} {path}", request.method());
        self.requests.push(asked.clone());
        let (is_storage, token) = (path.starts_with("/storage/"), header(request, "authorization"));
        if is_storage && token.is_some() {
            self.faults.push(format!("{asked}: the token goes to the storage"));
        }
        if let Some(index) = self.instead.iter().position(|(begin, _)| asked.starts_with(begin)) {
            return self.instead.remove(index).1;
        }
        if !is_storage && token != Some(&format!("Bearer {TOKEN}")) {
            return refused(401, "Unauthorized");
        }
        let parts: Vec<&str> = path.trim_start_matches('/').split('/').collect();
        let json = || serde_json::from_slice::<Value>(body).unwrap_or_default();
        match (request.method(), &*parts) {
            (Method::Get, ["api", kind, owner, name]) => {
                match self.repositories.get(&format!("{kind}/{owner}/{name}")) {
                    Some(there) => done(&json!({"id": name, "private": there.private})),
                    None => refused(404, "RepoNotFound"),
                }
            }
            (Method::Post, ["api", "repos", "create"]) => self.create(endpoint, &json()),
            (Method::Post, ["api", kind, owner, name, action, branch]) => {
                let key = format!("{kind}/{owner}/{name}");
                let branch = branch.replace("%2F", "/");
                match (*action, self.repositories.get_mut(&key)) {
                    (_, None) => refused(404, "RepoNotFound"),
                    ("branch", Some(repository)) => {
                        let main = repository.branches["main"].clone();
                        repository.branches.insert(branch, main);
                        done(&json!({}))
                    }
                    (_, Some(repository)) if !repository.branches.contains_key(&branch) => {
                        refused(404, "RevisionNotFound")
                    }
                    ("preupload", Some(repository)) => repository.preupload(&branch, &json()),
                    ("commit", Some(_)) => self.commit(&key, &branch, request, body),
                    _ => refused(404, "NoSuchAction"),
                }
            }
            (Method::Post, [.., "info", "lfs", "objects", "batch"]) => {
                self.batch(endpoint, request, &json())
            }
            (Method::Put, ["storage", oid]) => {
                if header(request, CHECK[0]) != Some(CHECK[1]) || query != "key=secret" {
                    self.faults.push(format!("{asked}: not as the batch said"));
                }
                if header(request, "transfer-encoding").is_some() {
                    // As S3 does.
                    return refused(501, "NotImplemented");
                }
                self.store(oid, body.to_vec())
            }
            (Method::Put, ["storage", oid, part]) => {
                self.parts.insert(((*oid).to_owned(), part.parse().unwrap()), body.to_vec());
                (200, vec![("ETag".to_owned(), format!("\"{}\"", sha256(body)))], String::new())
            }
            (Method::Post, ["storage", oid, "complete"]) => self.complete(oid, &json()),
            (Method::Post, ["verify"]) => {
                if token.is_none() {
                    self.faults.push("verified without the token".to_owned());
                }
                let (oid, size) = (json()["oid"].as_str().unwrap().to_owned(), &json()["size"]);
                let there = self.storage.get(&oid).is_some_and(|file| json!(file.len()) == *size);
                self.verified.push(oid);
                if there { done(&json!({})) } else { refused(422, "NotStored") }
            }
            _ => refused(404, "NoSuchPath"),
        }
    }

    fn create(&mut self, endpoint: &str, asked: &Value) -> Reply {
        let text = |key: &str| asked[key].as_str().unwrap_or_default();
        let kind = asked["type"].as_str().unwrap_or("model");
        if text("organization") != "me" {
            return refused(403, "Forbidden");
        }
        let key = format!("{kind}s/{}/{}", text("organization"), text("name"));
        if self.repositories.contains_key(&key) {
            return refused(409, "Conflict");
        }
        let private = asked["private"] == true || asked["visibility"] == "private";
        let first = Files::from([(".gitattributes".to_owned(), b"* lfs\n".to_vec())]);
        let branches = BTreeMap::from([("main".to_owned(), first)]);
        let repository = Repository { private, branches, ..Repository::default() };
        self.repositories.insert(key, repository);
        done(&json!({"url": format!("{endpoint}/{}/{}", text("organization"), text("name"))}))
    }

    fn batch(&self, endpoint: &str, request: &Request, asked: &Value) -> Reply {
        let form = "application/vnd.git-lfs+json";
        if ["accept", "content-type"].iter().any(|name| header(request, name) != Some(form)) {
            return refused(406, "NotLfs");
        }
        let object = |object: &Value| {
            let (oid, size) = (object["oid"].as_str().unwrap(), object["size"].as_u64().unwrap());
            let mut answer = json!({"oid": oid, "size": size});
            if self.storage.contains_key(oid) {
                return answer;
            }
            let mut upload = json!({"href": format!("{endpoint}/storage/{oid}?key=secret")});
            upload["header"] = json!({CHECK[0]: CHECK[1]});
            if size as usize > PART {
                upload["href"] = format!("{endpoint}/storage/{oid}/complete").into();
                upload["header"] = json!({"chunk_size": PART.to_string()});
                for part in 1..=(size as usize).div_ceil(PART) {
                    let address = format!("{endpoint}/storage/{oid}/{part}");
                    upload["header"][format!("{part:05}")] = address.into();
                }
            }
            let verify = json!({"href": format!("{endpoint}/verify"), "header": {}});
            answer["actions"] = json!({"upload": upload, "verify": verify});
            answer
        };
        let objects = asked["objects"].as_array().unwrap().iter().map(object).collect::<Vec<_>>();
        done(&json!({"transfer": "basic", "objects": objects}))
    }

    fn store(&mut self, oid: &str, bytes: Vec<u8>) -> Reply {
        if sha256(&bytes) != oid {
            return refused(400, "BadDigest");
        }
        self.storage.insert(oid.to_owned(), bytes);
        done(&json!({}))
    }

    fn complete(&mut self, oid: &str, asked: &Value) -> Reply {
        let mut file = Vec::new();
        for (index, part) in asked["parts"].as_array().unwrap().iter().enumerate() {
            let bytes = self.parts.remove(&(oid.to_owned(), index + 1)).unwrap_or_default();
            if part["partNumber"] != json!(index + 1)
                || part["etag"] != json!(format!("\"{}\"", sha256(&bytes)))
            {
                return refused(400, "InvalidPart");
            }
            file.extend(bytes);
        }
        self.store(oid, file)
    }

    fn commit(&mut self, key: &str, branch: &str, request: &Request, body: &[u8]) -> Reply {
        if header(request, "content-type") != Some("application/x-ndjson") {
            return refused(415, "NotNdjson");
        }
        let lines = String::from_utf8(body.to_vec()).unwrap();
        let mut lines = lines.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
        let head = lines.next().unwrap();
        let repository = self.repositories.get_mut(key).unwrap();
        let files = repository.branches.get_mut(branch).unwrap();
        let mut paths = Vec::new();
        for line in lines {
            let value = &line["value"];
            let path = value["path"].as_str().unwrap().to_owned();
            let bytes = if line["key"] == "lfsFile" {
                let oid = value["oid"].as_str().unwrap();
                let Some(bytes) = self.storage.get(oid) else { return refused(400, "NotStored") };
                if !self.verified.iter().any(|verified| verified == oid) {
                    self.faults.push(format!("{path} was not verified"));
                }
                repository.large.insert(path.clone(), oid.to_owned());
                bytes.clone()
            } else {
                BASE64_STANDARD.decode(value["content"].as_str().unwrap()).unwrap()
            };
            paths.push(path.clone());
            files.insert(path, bytes);
        }
        repository.commits.push((head, paths));
        let number = repository.commits.len();
        done(
            &json!({"success": true, "commitOid": "c", "commitUrl": format!("{key}/commit/{number}")}),
        )
    }
}

impl Repository {
    fn preupload(&self, branch: &str, asked: &Value) -> Reply {
        let file = |file: &Value| {
            let path = file["path"].as_str().unwrap();
            let sample = BASE64_STANDARD.decode(file["sample"].as_str().unwrap()).unwrap();
            assert_eq!(sample.len() as u64, file["size"].as_u64().unwrap().min(512));
            let is_large = path.ends_with(".safetensors") || file["size"].as_u64() > Some(100_000);
            let there = self.branches[branch].get(path);
            let oid = there.map(|bytes| match self.large.get(path) {
                Some(oid) => oid.clone(),
                None => git_sum(bytes),
            });
            json!({"path": path, "uploadMode": if is_large { "lfs" } else { "regular" },
                "shouldIgnore": path.ends_with(".ignored"), "oid": oid})
        };
        let files = asked["files"].as_array().unwrap().iter().map(file).collect::<Vec<_>>();
        done(&json!({"files": files}))
    }
}
