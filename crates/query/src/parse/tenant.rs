//! Statements about tenants: `CREATE TENANT`, `ALTER TENANT`, `DROP TENANT`.

use cenote_vocab::ErrorKind;

use super::command::unsupported;
use super::pipeline::options;
use super::words::Words;
use crate::Error;

/// Tenants change.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum TenantStatement {
    Create { name: String, if_not_exists: bool, storage_root: Option<String>, description: Option<String> },
    Alter { name: String, change: TenantAlter },
    Drop { name: String, if_exists: bool, cascade: bool },
}

/// What `ALTER TENANT` does.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum TenantAlter {
    Suspend,
    Resume,
    /// `SET (description = …)`; the empty text takes it away.
    Describe(String),
}

impl TenantStatement {
    /// First words of its tag.
    pub(crate) fn command(&self) -> &'static str {
        match self {
            Self::Create { .. } => "CREATE TENANT",
            Self::Alter { .. } => "ALTER TENANT",
            Self::Drop { .. } => "DROP TENANT",
        }
    }
}

/// The statement, if it is one of these.
pub(super) fn tenant(words: &mut Words<'_>) -> Result<Option<TenantStatement>, Error> {
    Ok(Some(match () {
        () if words.take(&["CREATE", "TENANT"]) => create(words)?,
        () if words.take(&["ALTER", "TENANT"]) => {
            let name = words.name()?;
            TenantStatement::Alter { name, change: alter(words)? }
        }
        () if words.take(&["DROP", "TENANT"]) => {
            let if_exists = words.take(&["IF", "EXISTS"]);
            let name = words.name()?;
            let cascade = words.take(&["CASCADE"]);
            if !cascade {
                let _ = words.take(&["RESTRICT"]);
            }
            TenantStatement::Drop { name, if_exists, cascade }
        }
        () => return Ok(None),
    }))
}

fn create(words: &mut Words<'_>) -> Result<TenantStatement, Error> {
    let before = words.take(&["IF", "NOT", "EXISTS"]);
    let name = words.name()?;
    let if_not_exists = before || words.take(&["IF", "NOT", "EXISTS"]);
    let mut options = if words.take(&["WITH"]) { options(words)? } else { Default::default() };
    let (storage_root, description) = (options.remove("storage_root"), options.remove("description"));
    if let Some(unknown) = options.keys().next() {
        return Err(unknown_option(unknown));
    }
    Ok(TenantStatement::Create { name, if_not_exists, storage_root, description })
}

fn alter(words: &mut Words<'_>) -> Result<TenantAlter, Error> {
    Ok(match () {
        () if words.take(&["SUSPEND"]) => TenantAlter::Suspend,
        () if words.take(&["RESUME"]) => TenantAlter::Resume,
        () if words.take(&["SET"]) => {
            let mut options = options(words)?;
            if options.contains_key("storage_root") {
                return Err(unsupported("ALTER TENANT … SET (storage_root)")
                    .with_hint("files do not move: make another tenant"));
            }
            let description = options.remove("description");
            match (options.keys().next(), description) {
                (Some(unknown), _) => return Err(unknown_option(unknown)),
                (None, Some(description)) => TenantAlter::Describe(description),
                (None, None) => return Err(words.unexpected("an option")),
            }
        }
        () if words.take(&["RENAME"]) => return Err(unsupported("ALTER TENANT … RENAME")),
        () => return Err(words.unexpected("SUSPEND, RESUME or SET")),
    })
}

fn unknown_option(name: &str) -> Error {
    let text = format!("a tenant has no option \"{name}\": it has storage_root and description");
    Error::new(ErrorKind::Invalid, text).with_sqlstate("22023")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::parse::tokens::tokenize;

    fn read(sql: &str) -> Result<Option<TenantStatement>, Error> {
        let tokens = tokenize(sql)?;
        let mut words = Words::new(sql, &tokens);
        let read = tenant(&mut words)?;
        words.end()?;
        Ok(read)
    }

    #[test]
    fn each_form_is_read() {
        let create = |if_not_exists, root: Option<&str>| TenantStatement::Create {
            name: "acme".into(),
            if_not_exists,
            storage_root: root.map(str::to_owned),
            description: None,
        };
        for (sql, wanted) in [
            ("CREATE TENANT Acme", create(false, None)),
            ("create tenant if not exists 'acme'", create(true, None)),
            (
                "CREATE TENANT acme IF NOT EXISTS WITH (storage_root = 's3://b/p')",
                create(true, Some("s3://b/p")),
            ),
            (
                "ALTER TENANT \"a-b\" SUSPEND",
                TenantStatement::Alter { name: "a-b".into(), change: TenantAlter::Suspend },
            ),
            (
                "ALTER TENANT acme SET (description = 'the first')",
                TenantStatement::Alter {
                    name: "acme".into(),
                    change: TenantAlter::Describe("the first".into()),
                },
            ),
            (
                "DROP TENANT IF EXISTS acme CASCADE",
                TenantStatement::Drop { name: "acme".into(), if_exists: true, cascade: true },
            ),
            (
                "DROP TENANT acme RESTRICT",
                TenantStatement::Drop { name: "acme".into(), if_exists: false, cascade: false },
            ),
        ] {
            assert_eq!(read(sql).unwrap(), Some(wanted), "{sql}");
        }
        let other = "CREATE TABLE tenant (n BIGINT)";
        assert_eq!(tenant(&mut Words::new(other, &tokenize(other).unwrap())).unwrap(), None);
    }

    #[test]
    fn what_means_nothing_is_refused() {
        for (sql, said) in [
            ("CREATE TENANT acme WITH (color = 'red')", "no option \"color\""),
            ("ALTER TENANT acme SET (storage_root = '/x')", "not supported yet"),
            ("ALTER TENANT acme RENAME TO b", "not supported yet"),
            ("ALTER TENANT acme", "SUSPEND, RESUME or SET"),
            ("CREATE TENANT", "name"),
        ] {
            let error = read(sql).unwrap_err().to_string();
            assert!(error.contains(said), "{sql}: {error}");
        }
    }
}
