//! What can go wrong with a model's files, its tokenizer and its settings.

use std::path::{Path, PathBuf};

/// This crate's error. Every variant carries the values that a person needs to find the cause.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file or folder could not be read or written.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// The system's reason.
        source: std::io::Error,
    },
    /// A file is there but its content is not what it should be.
    #[error("{}: {message}", path.display())]
    Format {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        message: String,
    },
    /// A file's bytes differ from those that were written.
    #[error(
        "{}: SHA-256 is {found} but checksums.json says {expected}; the file is damaged", path.display()
    )]
    Checksum {
        /// The file.
        path: PathBuf,
        /// What `checksums.json` says.
        expected: String,
        /// What the bytes give.
        found: String,
    },
    /// A folder that would be overwritten holds something else than a checkpoint.
    #[error("{}: not a checkpoint (it has no config.json), so it is not overwritten", path.display())]
    NotACheckpoint {
        /// The folder.
        path: PathBuf,
    },
    /// A tensor that the configuration calls for is not there.
    #[error("tensor {name}: missing, expected shape {expected:?}")]
    MissingTensor {
        /// Hugging Face name.
        name: String,
        /// Shape that the configuration gives.
        expected: Vec<usize>,
    },
    /// A tensor that the configuration does not know.
    #[error("tensor {name}: not part of this model, shape {found:?}")]
    UnexpectedTensor {
        /// Name in the file.
        name: String,
        /// Shape in the file.
        found: Vec<usize>,
    },
    /// A tensor has another shape than the configuration gives.
    #[error("tensor {name}: expected shape {expected:?}, found {found:?}")]
    Shape {
        /// Hugging Face name.
        name: String,
        /// Shape that the configuration gives.
        expected: Vec<usize>,
        /// Shape in the file.
        found: Vec<usize>,
    },
    /// A tensor holds NaN or an infinity.
    #[error("tensor {name}: element {index} is {value}")]
    NotFinite {
        /// Hugging Face name.
        name: String,
        /// Position in row-major order.
        index: usize,
        /// The offending number.
        value: f32,
    },
    /// A number is too large for the element type that it is to be saved in.
    #[error("tensor {name}: element {index} is {value}, beyond the range of {dtype}")]
    OutOfRange {
        /// Hugging Face name.
        name: String,
        /// Position in row-major order.
        index: usize,
        /// The number.
        value: f32,
        /// The element type.
        dtype: &'static str,
    },
    /// A tensor of an adapter that cannot be used with this model.
    #[error("adapter, tensor {name}: {message}")]
    Adapter {
        /// PEFT's name.
        name: String,
        /// Why not.
        message: String,
    },
    /// A model configuration that this crate cannot run.
    #[error("model configuration: {field}: {message}")]
    Model {
        /// Field of `config.json`.
        field: &'static str,
        /// What is wrong with it.
        message: String,
    },
    /// A setting is outside its range.
    #[error("setting {field}: {message}")]
    Setting {
        /// Name of the setting.
        field: &'static str,
        /// What is wrong with it.
        message: String,
    },
    /// A character that the tokenizer has no token for.
    #[error("the tokenizer has no token for {character:?} at character {position}")]
    UnknownCharacter {
        /// The character.
        character: char,
        /// Its position in the text, counted in characters from 0.
        position: usize,
    },
    /// The `tokenizers` library refused.
    #[error("tokenizer: {0}")]
    Tokenizer(String),
    /// A chat template is broken, or refuses a conversation.
    #[error("chat template{}: {message}", line.map_or_else(String::new, |line| format!(", line {line}")))]
    ChatTemplate {
        /// Line of the template, counted from 1.
        line: Option<usize>,
        /// What is wrong, in the template's own words where it refuses.
        message: String,
    },
    /// The library that computes the net refused, as when a device's memory runs out.
    #[error("libtorch: {0}")]
    Torch(#[source] Box<dyn std::error::Error + Send + Sync>),
}

/// `Result` with this crate's [`Error`].
pub type Result<T, E = Error> = std::result::Result<T, E>;

impl Error {
    /// Wraps an I/O error with the path that it happened on.
    pub fn io(path: &Path) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.to_path_buf();
        move |source| Self::Io { path, source }
    }

    /// A content error of a file.
    #[expect(clippy::needless_pass_by_value, reason = "callers hand over errors that end here")]
    #[must_use]
    pub fn format(path: &Path, message: impl ToString) -> Self {
        Self::Format { path: path.to_path_buf(), message: message.to_string() }
    }
}
