//! What can go wrong where keys and plaintext meet.

use crate::sealed::SealedError;
use crate::store::StoreError;

/// A failure in the content layer.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ContentError {
    /// The sealed layer or the store failed.
    #[error(transparent)]
    Sealed(#[from] SealedError),
    /// A key file that does not serve.
    #[error("key {file}: {why}")]
    Key {
        /// The file's name, or what it was given as.
        file: String,
        /// What is wrong and what to do.
        why: String,
    },
    /// Sealed bytes that no key at hand opens.
    #[error("{object} cannot be opened: {why}")]
    Locked {
        /// The object's path, or what it is.
        object: String,
        /// Why, and which key would do.
        why: String,
    },
    /// Opened bytes that are not what they should be.
    #[error("{object} is damaged: {why}")]
    Damaged {
        /// The object, chunk or path.
        object: String,
        /// What is wrong with it.
        why: String,
    },
    /// A file on this machine that could not be read or written.
    #[error("cannot {action} {path}: {source}")]
    File {
        /// A verb, such as `read`.
        action: &'static str,
        /// The path.
        path: String,
        /// The system's reason.
        source: std::io::Error,
    },
    /// The run was asked to stop.
    #[error("stopped on request; what was stored stays, and the next run continues from it")]
    Cancelled,
    /// Something else, said in full.
    #[error("{0}")]
    Other(String),
}

impl ContentError {
    /// A [`ContentError::Damaged`].
    pub fn damaged(object: impl ToString, why: impl ToString) -> Self {
        Self::Damaged { object: object.to_string(), why: why.to_string() }
    }

    /// A [`ContentError::File`].
    pub fn file(action: &'static str, path: impl AsRef<std::path::Path>, source: std::io::Error) -> Self {
        Self::File { action, path: path.as_ref().display().to_string(), source }
    }
}

impl From<StoreError> for ContentError {
    fn from(error: StoreError) -> Self {
        Self::Sealed(error.into())
    }
}
