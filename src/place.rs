//! Where a path leads, for files that may not be there yet.

use std::path::{Path, PathBuf};

/// The path in full, links followed as far as it is there.
#[must_use]
pub fn in_full(path: &Path) -> PathBuf {
    let absolute = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    let followed = absolute.ancestors().find_map(|there| {
        let rest = absolute.strip_prefix(there).ok()?;
        let there = there.canonicalize().ok()?;
        // Joining an empty rest would end the path with a slash.
        Some(if rest.as_os_str().is_empty() { there } else { there.join(rest) })
    });
    followed.unwrap_or(absolute)
}

/// The last name of a path in full: what a folder is called, however it is written.
#[must_use]
pub fn name_of(path: &Path) -> Option<String> {
    in_full(path).file_name().map(|name| name.to_string_lossy().into_owned())
}

#[cfg(test)]
mod tests {
    use super::in_full;

    #[test]
    fn links_are_followed_as_far_as_the_path_is_there() {
        let folder = tempfile::tempdir().unwrap();
        let place = folder.path().canonicalize().unwrap();
        std::fs::create_dir(place.join("real")).unwrap();
        std::os::unix::fs::symlink(place.join("real"), place.join("link")).unwrap();
        assert_eq!(in_full(&place.join("link")), place.join("real"));
        assert_eq!(in_full(&place.join("link/a/b")), place.join("real/a/b"));
        assert!(in_full("no/such".as_ref()).is_absolute());
    }
}
