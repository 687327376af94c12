//! A parcel's way into a repository, by the Hub's end points (<https://huggingface.co/docs/hub/api>): the Hub says which files are large and
//! which it has, the large ones go to its storage by Git LFS's batch interface, and one commit names all that is new.

use std::collections::BTreeMap;
use std::io::{self, Read, Write};

use anyhow::{Context, Result, anyhow, bail, ensure};
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use serde::Deserialize;
use serde_json::{Value, json};
use sha1::Sha1;
use sha2::{Digest, Sha256};
use ureq::http::Method;

use super::account::Account;
use super::client::{Answer, Body, Call, Client, LFS};
use super::parcel::{Item, Parcel};
use super::repository::Kind;
use super::{Sent, State, Target};
use crate::progress::Progress;
use crate::usage::UsageError;

/// Files that are asked after at once.
const AT_ONCE: usize = 256;
/// Bytes of a file's beginning by which the Hub tells text from other files.
const SAMPLE: u64 = 512;

/// The Hugging Face Hub, or a server that does what it does.
pub struct Hub {
    client: Client,
}

/// A file with what the Hub is told of it.
struct Prepared<'a> {
    item: &'a Item,
    sha256: String,
    mode: Mode,
    state: State,
}

/// How the Hub wants a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Mode {
    /// In the commit itself.
    Regular,
    /// In its storage.
    Lfs,
}

#[derive(Deserialize)]
struct Preupload {
    files: Vec<Preuploaded>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Preuploaded {
    path: String,
    upload_mode: Mode,
    #[serde(default)]
    should_ignore: bool,
    /// What the repository has under this name: the SHA-256 of a large file, git's own sum of another.
    oid: Option<String>,
}

#[derive(Deserialize)]
struct Batch {
    objects: Vec<Object>,
}

#[derive(Deserialize)]
struct Object {
    oid: String,
    /// Absent where the storage has the file.
    actions: Option<Actions>,
    error: Option<Value>,
}

#[derive(Deserialize)]
struct Actions {
    upload: Option<Action>,
    verify: Option<Action>,
}

#[derive(Deserialize)]
struct Action {
    href: String,
    #[serde(default)]
    header: BTreeMap<String, Value>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Committed {
    commit_url: String,
}

impl Hub {
    /// The Hub of `HF_ENDPOINT`, with the token of `HF_TOKEN` or of a login.
    ///
    /// # Errors
    /// When there is no token, or the endpoint is none.
    pub fn from_environment() -> Result<Self> {
        Ok(Self { client: Client::new(Account::from_environment()?) })
    }

    /// Brings a parcel into a repository, which is made where it is not there: what the repository lacks, in one commit.
    ///
    /// # Errors
    /// When the Hub is away or refuses, a file cannot be read, or is not what was written. The repository is as it was.
    pub fn send(&self, parcel: &Parcel, target: Target<'_>) -> Result<Sent> {
        let repository = Repository { client: &self.client, kind: parcel.kind, target };
        repository.make_ready()?;
        let mut prepared = Vec::new();
        for items in parcel.items.chunks(AT_ONCE) {
            prepared.extend(repository.prepare(items)?);
        }
        let new = |file: &&Prepared<'_>| file.state == State::Sent;
        let commit = if prepared.iter().any(|file| new(&file)) {
            let large = |file: &&Prepared<'_>| new(file) && file.mode == Mode::Lfs;
            let large: Vec<&Prepared<'_>> = prepared.iter().filter(large).collect();
            repository.upload(&large)?;
            Some(repository.commit(&parcel.summary, prepared.iter().filter(new))?)
        } else {
            None
        };
        let mut sent = Sent::new(parcel, target, |index| prepared[index].state);
        sent.url = Some(self.client.at(&format!("{}{}", parcel.kind.prefix(), target.name)));
        sent.commit = commit;
        Ok(sent)
    }
}

struct Repository<'a> {
    client: &'a Client,
    kind: Kind,
    target: Target<'a>,
}

impl Repository<'_> {
    /// An address of its part of the interface.
    fn api(&self, rest: &str) -> String {
        self.client.at(&format!("api/{}s/{}{rest}", self.kind, self.target.name))
    }

    /// An address that names the branch.
    fn of_branch(&self, part: &str) -> String {
        self.api(&format!("/{part}/{}", self.target.branch.quoted()))
    }

    /// Makes the repository where it is not there.
    fn make_ready(&self) -> Result<()> {
        let Target { name, private, .. } = self.target;
        let answer = self.client.send(&Call::get(self.api("")))?;
        if answer.status != 404 {
            let about: Value = self.client.success(answer)?.json()?;
            ensure!(
                !private || about["private"] == true,
                UsageError(anyhow!(
                    "{} {name} is there and not private; make it so on the Hub, or leave --private out",
                    self.kind
                ))
            );
            return Ok(());
        }
        let mut asked = json!({
            "type": self.kind,
            "organization": name.owner,
            "name": name.name,
        });
        if private {
            asked["private"] = true.into();
            asked["visibility"] = "private".into();
        }
        let answer = self.client.post(self.client.at("api/repos/create"), &asked, false)?;
        if answer.status == 409 {
            bail!(
                "{} {name} is there, but not for the token of {}",
                self.kind,
                self.client.account.source
            );
        }
        let making = || format!("making the {} {name}", self.kind);
        self.client.success(answer).with_context(making)?;
        tracing::info!("made the {} {name}", self.kind);
        Ok(())
    }

    /// Asks which of the files are new, and how they are to come.
    fn prepare<'i>(&self, items: &'i [Item]) -> Result<Vec<Prepared<'i>>> {
        let mut files = Vec::new();
        let mut sums = Vec::new();
        for item in items {
            let mut sample = Vec::new();
            let cannot = || format!("cannot read {}", item.shown());
            let mut beginning = item.part(0, SAMPLE).with_context(cannot)?;
            beginning.read_to_end(&mut sample).with_context(cannot)?;
            let sha256 = digest::<Sha256>(item, "")?;
            ensure!(
                item.known.as_ref().is_none_or(|known| *known == sha256),
                "{} is damaged: its SHA-256 is another one than in checksums.json",
                item.shown()
            );
            sums.push(sha256);
            let sample = BASE64_STANDARD.encode(sample);
            files.push(json!({"path": item.path, "size": item.size(), "sample": sample}));
        }
        let Preupload { files: answered } = self.preupload(&json!({"files": files}))?.json()?;
        let prepare = |(item, sha256): (&'i Item, String)| {
            let told = answered.iter().find(|told| told.path == item.path);
            let told = told.with_context(|| format!("the Hub says nothing of {}", item.path))?;
            // Its storage takes no empty file.
            let mode = if item.size() == 0 { Mode::Regular } else { told.upload_mode };
            let state = if told.should_ignore {
                tracing::warn!("{} stays out, by the repository's .gitignore", item.path);
                State::Ignored
            } else if let Some(there) = &told.oid
                && *there == sum_of(item, mode, &sha256)?
            {
                State::Unchanged
            } else {
                State::Sent
            };
            Ok(Prepared { item, sha256, mode, state })
        };
        items.iter().zip(sums).map(prepare).collect()
    }

    fn preupload(&self, files: &Value) -> Result<Answer> {
        let ask = || self.client.post(self.of_branch("preupload"), files, true);
        let answer = ask()?;
        if answer.status == 404 && answer.header("x-error-code") == Some("RevisionNotFound") {
            let made = self.client.post(self.of_branch("branch"), &json!({}), false)?;
            let making = || format!("making the branch {}", self.target.branch);
            self.client.success(made).with_context(making)?;
            return self.client.success(ask()?);
        }
        self.client.success(answer)
    }

    /// Brings large files into the storage, but for those that it has.
    fn upload(&self, files: &[&Prepared<'_>]) -> Result<()> {
        let Target { name, branch, .. } = self.target;
        let url = format!("{}{name}.git/info/lfs/objects/batch", self.kind.prefix());
        for files in files.chunks(AT_ONCE) {
            let object =
                |file: &&Prepared<'_>| json!({"oid": file.sha256, "size": file.item.size()});
            let asked = json!({
                "operation": "upload",
                "transfers": ["basic", "multipart"],
                "objects": files.iter().map(object).collect::<Vec<_>>(),
                "hash_algo": "sha256",
                "ref": {"name": branch.to_string()},
            });
            let body = serde_json::to_vec(&asked)?;
            let call = Call { form: LFS, again: true, ..Call::post(self.client.at(&url), &body) };
            let Batch { objects } = self.client.success(self.client.send(&call)?)?.json()?;
            let mut uploads = Vec::new();
            for file in files {
                let object = objects.iter().find(|object| object.oid == file.sha256);
                let object = object
                    .with_context(|| format!("the storage says nothing of {}", file.item.path))?;
                if let Some(error) = &object.error {
                    let said = self.client.account.hide(&error.to_string());
                    bail!("the storage refuses {}: {said}", file.item.path);
                }
                if let Some(actions) = &object.actions {
                    uploads.push(Upload::new(self.client, file, actions)?);
                }
            }
            let parts = uploads.iter().map(|upload| upload.parts.len()).sum();
            let progress = Progress::new("sending", parts, 0);
            uploads.iter().try_for_each(|upload| {
                upload.send(&progress).with_context(|| format!("sending {}", upload.file.item.path))
            })?;
        }
        Ok(())
    }

    /// Commits files; returns the commit's page.
    fn commit<'p>(
        &self,
        summary: &str,
        files: impl Iterator<Item = &'p Prepared<'p>>,
    ) -> Result<String> {
        let mut lines = Vec::new();
        let mut line = |key: &str, value: Value| -> Result<()> {
            serde_json::to_writer(&mut lines, &json!({"key": key, "value": value}))?;
            lines.push(b'\n');
            Ok(())
        };
        line("header", json!({"summary": summary, "description": ""}))?;
        for Prepared { item, sha256, mode, .. } in files {
            let (path, size) = (&item.path, item.size());
            match mode {
                Mode::Lfs => line(
                    "lfsFile",
                    json!({"path": path, "algo": "sha256", "oid": sha256, "size": size}),
                )?,
                Mode::Regular => {
                    let mut bytes = Vec::new();
                    let read = item.part(0, size).and_then(|mut part| part.read_to_end(&mut bytes));
                    read.with_context(|| format!("cannot read {}", item.shown()))?;
                    let content = BASE64_STANDARD.encode(bytes);
                    line("file", json!({"path": path, "encoding": "base64", "content": content}))?;
                }
            }
        }
        let url = self.of_branch("commit");
        let call = Call { form: "application/x-ndjson", ..Call::post(url, &lines) };
        let Committed { commit_url } = self.client.success(self.client.send(&call)?)?.json()?;
        Ok(commit_url)
    }
}

/// A large file's way into the storage.
struct Upload<'a> {
    client: &'a Client,
    file: &'a Prepared<'a>,
    actions: &'a Actions,
    /// Addresses, each of a part of the file: from where on, and how many bytes.
    parts: Vec<(&'a str, u64, u64)>,
    /// Whether the parts are put together by a request of their own.
    several: bool,
}

impl<'a> Upload<'a> {
    fn new(client: &'a Client, file: &'a Prepared<'a>, actions: &'a Actions) -> Result<Self> {
        let size = file.item.size();
        let mut upload = Self { client, file, actions, parts: Vec::new(), several: false };
        let Some(Action { href, header }) = &actions.upload else { return Ok(upload) };
        let Some(length) = header.get("chunk_size") else {
            upload.parts.push((href, 0, size));
            return Ok(upload);
        };
        let length = length.as_u64().or_else(|| length.as_str()?.parse().ok());
        let mut addresses: Vec<(u64, &str)> = header
            .iter()
            .filter_map(|(number, address)| Some((number.parse().ok()?, address.as_str()?)))
            .collect();
        addresses.sort_unstable();
        let length =
            length.filter(|&length| length > 0 && size.div_ceil(length) == addresses.len() as u64);
        let length = length.with_context(|| {
            format!(
                "the storage names {} parts for the {size} bytes of {}",
                addresses.len(),
                file.item.path
            )
        })?;
        let part = |(index, (_, address)): (usize, (u64, &'a str))| {
            let from = index as u64 * length;
            (address, from, length.min(size - from))
        };
        upload.parts = addresses.into_iter().enumerate().map(part).collect();
        upload.several = true;
        Ok(upload)
    }

    fn send(&self, progress: &Progress) -> Result<()> {
        let Self { client, file, actions, parts, several } = self;
        let item = file.item;
        let mut tags = Vec::new();
        for &(url, from, length) in parts {
            let call = Call {
                method: Method::PUT,
                headers: if *several { Vec::new() } else { headers(actions.upload.as_ref()) },
                body: Body::Part { item, from, length },
                // The address itself is the permission.
                token: false,
                again: true,
                ..Call::get(url.to_owned())
            };
            let answer = client.success(client.send(&call)?)?;
            if *several {
                let tag = answer.header("etag").context("the storage gives a part no tag")?;
                tags.push(json!({"partNumber": tags.len() + 1, "etag": tag}));
            }
            progress.advance(|| format!("parts, {}", item.path));
        }
        if *several && let Some(Action { href, .. }) = &actions.upload {
            let body = serde_json::to_vec(&json!({"oid": file.sha256, "parts": tags}))?;
            let post = Call::post(href.clone(), &body);
            let call = Call { form: LFS, token: false, again: true, ..post };
            client.success(client.send(&call)?)?;
        }
        if let Some(verify) = &actions.verify {
            let body = serde_json::to_vec(&json!({"oid": file.sha256, "size": item.size()}))?;
            let headers = headers(Some(verify));
            let call = Call { headers, again: true, ..Call::post(verify.href.clone(), &body) };
            client.success(client.send(&call)?)?;
        }
        Ok(())
    }
}

/// What an action wants to be sent with it.
fn headers(action: Option<&Action>) -> Vec<(String, String)> {
    let header = action.iter().flat_map(|action| &action.header);
    header.filter_map(|(name, value)| Some((name.clone(), value.as_str()?.to_owned()))).collect()
}

/// The sum by which a repository names a file.
fn sum_of(item: &Item, mode: Mode, sha256: &str) -> Result<String> {
    match mode {
        Mode::Lfs => Ok(sha256.to_owned()),
        Mode::Regular => digest::<Sha1>(item, &format!("blob {}\0", item.size())),
    }
}

/// The digest of a file behind a head, in hexadecimals.
fn digest<D: Digest>(item: &Item, head: &str) -> Result<String> {
    struct Into<D>(D);
    impl<D: Digest> Write for Into<D> {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.update(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
    let mut into = Into(D::new());
    into.0.update(head.as_bytes());
    let read = item.part(0, item.size()).and_then(|mut part| io::copy(&mut part, &mut into));
    let read = read.with_context(|| format!("cannot read {}", item.shown()))?;
    ensure!(read == item.size(), "{} changes while it is read", item.shown());
    Ok(into.0.finalize().iter().map(|byte| format!("{byte:02x}")).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_has_gits_own_sum() {
        // `printf 'hello\n' | git hash-object --stdin`
        let item = Item::bytes("a", "hello\n");
        let sum = sum_of(&item, Mode::Regular, "").unwrap();
        assert_eq!(sum, "ce013625030ba8dba906f756967f9e9ca394464a");
        assert_eq!(sum_of(&item, Mode::Lfs, "abc").unwrap(), "abc");
    }
}
