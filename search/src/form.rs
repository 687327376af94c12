//! The versions of the forms in which records are written.

use serde::{Deserialize, Deserializer};

/// A form by its name and version, as in `espalier.tree/2`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Form {
    /// As it is written.
    pub schema: &'static str,
    /// The oldest version that is read.
    pub oldest: u32,
}

impl Form {
    /// The name without the version, and the version.
    fn parts(schema: &str) -> Option<(&str, u32)> {
        let (name, version) = schema.rsplit_once('/')?;
        Some((name, version.parse().ok()?))
    }

    /// Checks that a schema is of this form and of a version that is read.
    ///
    /// # Errors
    /// Naming both, and whether the one that was found is too new, too old or of another kind.
    pub fn check(&self, found: &str) -> Result<(), String> {
        let Self { schema, oldest } = self;
        match (Self::parts(found), Self::parts(schema)) {
            (Some((name, version)), Some((own, newest))) if name == own => {
                if version > newest {
                    Err(format!(
                        "{found:?} is a newer form than {schema:?}, the newest that this version reads"
                    ))
                } else if version < *oldest {
                    Err(format!(
                        "{found:?} is older than the oldest form that is read, {own}/{oldest}; `espalier upgrade` converts it"
                    ))
                } else {
                    Ok(())
                }
            }
            _ => Err(format!("schema {found:?} where {schema:?} is read")),
        }
    }

    /// Reads a schema, checks it and gives the one that is written.
    ///
    /// # Errors
    /// As [`Self::check`].
    pub fn read<'de, D: Deserializer<'de>>(&self, deserializer: D) -> Result<String, D::Error> {
        let found = String::deserialize(deserializer)?;
        self.check(&found).map_err(serde::de::Error::custom)?;
        Ok(self.schema.to_owned())
    }
}

#[cfg(all(test, not(espalier_loom)))]
mod tests {
    use super::*;

    #[test]
    fn other_forms_are_refused_by_name() {
        let form = Form { schema: "espalier.tree/3", oldest: 2 };
        assert_eq!(
            (form.check("espalier.tree/3"), form.check("espalier.tree/2")),
            (Ok(()), Ok(()))
        );
        for (found, cause) in [
            ("espalier.tree/4", "newer form than \"espalier.tree/3\""),
            ("espalier.tree/1", "espalier upgrade"),
            ("espalier.solution/3", "where \"espalier.tree/3\" is read"),
            ("tree", "where \"espalier.tree/3\" is read"),
        ] {
            let error = form.check(found).unwrap_err();
            assert!(error.contains(cause) && error.contains(&format!("{found:?}")), "{error}");
        }
    }
}
