//! Which paths are allowed.
//!
//! So few characters that a path is the same text as a file name, as an S3 key and in a URL, and
//! cannot lead out of the store. A part that begins with a dot is no object: the local store names
//! its unfinished files so.

use crate::ObjectError;

/// Leaves room in a file name of 255 bytes for what an unfinished file adds.
const PART_BYTES_MAX: usize = 200;

/// An S3 key has at most 1,024 bytes; the rest is for the prefix of the store.
const PATH_BYTES_MAX: usize = 768;

/// An error if this cannot be the path of an object.
pub(crate) fn check_object(path: &str) -> Result<(), ObjectError> {
    let bad = |reason| Err(ObjectError::BadPath { path: path.to_owned(), reason });
    if path.len() > PATH_BYTES_MAX {
        return bad("it is longer than 768 bytes");
    }
    for part in path.split('/') {
        if part.is_empty() {
            return bad("a part of it is empty");
        }
        if part.starts_with('.') {
            return bad("a part of it begins with a dot");
        }
        if part.len() > PART_BYTES_MAX {
            return bad("a part of it is longer than 200 bytes");
        }
        if !part.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte)) {
            return bad("it has other characters than letters, digits, `.`, `_`, `-`");
        }
    }
    Ok(())
}

/// An error if this cannot be the name of a folder; `""` is the whole store.
pub(crate) fn check_folder(folder: &str) -> Result<(), ObjectError> {
    if folder.is_empty() { Ok(()) } else { check_object(folder) }
}

/// The folder that a path lies in; `""` is the whole store.
pub(crate) fn folder_of(path: &str) -> &str {
    path.rsplit_once('/').map_or("", |(folder, _)| folder)
}

/// The last part of a path.
pub(crate) fn name_of(path: &str) -> &str {
    path.rsplit_once('/').map_or(path, |(_, name)| name)
}

/// The path of a name in a folder.
pub(crate) fn join(folder: &str, name: &str) -> String {
    if folder.is_empty() { name.to_owned() } else { format!("{folder}/{name}") }
}
