//! Statements about who may do what: `GRANT`, `REVOKE`, `CREATE ROLE`, `DROP ROLE`.

use cenote_catalog::{GrantKind, Privilege};
use cenote_vocab::ErrorKind;
use sqlparser::ast::Ident;
use sqlparser::tokenizer::Token;

use super::command::unsupported;
use super::words::Words;
use crate::Error;

/// Roles and grants change.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum GrantStatement {
    CreateRole {
        name: String,
        if_not_exists: bool,
    },
    DropRole {
        name: String,
        if_exists: bool,
    },
    /// `GRANT ROLE r TO …`, `REVOKE ROLE r FROM …`
    Member {
        role: String,
        who: Who,
        given: Given,
    },
    /// `GRANT … ON … TO …`, `REVOKE … ON … FROM …`
    Privileges {
        privileges: Vec<Privilege>,
        on: On,
        who: Who,
        given: Given,
    },
}

/// GRANT or REVOKE.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Given {
    Yes,
    No,
}

/// Who gets or loses something, by name.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Who {
    Role(String),
    Token(String),
}

/// What a grant is on.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct On {
    pub(crate) kind: GrantKind,
    pub(crate) named: Named,
}

/// One object, or all of a pattern.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Named {
    Name(Vec<Ident>),
    Pattern(String),
}

impl GrantStatement {
    /// First words of its tag.
    pub(crate) fn command(&self) -> &'static str {
        match self {
            Self::CreateRole { .. } => "CREATE ROLE",
            Self::DropRole { .. } => "DROP ROLE",
            Self::Member { given: Given::Yes, .. } => "GRANT ROLE",
            Self::Member { given: Given::No, .. } => "REVOKE ROLE",
            Self::Privileges { given: Given::Yes, .. } => "GRANT",
            Self::Privileges { given: Given::No, .. } => "REVOKE",
        }
    }
}

/// The statement, if it is one of these.
pub(super) fn grant(words: &mut Words<'_>) -> Result<Option<GrantStatement>, Error> {
    Ok(Some(match () {
        () if words.take(&["CREATE", "ROLE"]) => {
            let if_not_exists = words.take(&["IF", "NOT", "EXISTS"]);
            GrantStatement::CreateRole { name: words.name()?, if_not_exists }
        }
        () if words.take(&["DROP", "ROLE"]) => {
            let if_exists = words.take(&["IF", "EXISTS"]);
            GrantStatement::DropRole { name: words.name()?, if_exists }
        }
        () if words.take(&["GRANT"]) => given(words, Given::Yes)?,
        () if words.take(&["REVOKE"]) => given(words, Given::No)?,
        () => return Ok(None),
    }))
}

fn given(words: &mut Words<'_>, given: Given) -> Result<GrantStatement, Error> {
    if words.take(&["ROLE"]) {
        let role = words.name()?;
        return Ok(GrantStatement::Member { role, who: to(words, given)?, given });
    }
    let mut privileges = Vec::new();
    loop {
        privileges.extend(privilege(words)?);
        if !words.take_token(&Token::Comma) {
            break;
        }
    }
    privileges.sort_unstable();
    privileges.dedup();
    words.expect(&["ON"])?;
    let on = on(words)?;
    if let Some(wrong) = privileges.iter().find(|privilege| !is_for(**privilege, on.kind)) {
        let text = format!("privilege {wrong} is none on a {}", on.kind.word());
        return Err(Error::new(ErrorKind::Invalid, text).with_sqlstate("0LP01"));
    }
    Ok(GrantStatement::Privileges { privileges, on, who: to(words, given)?, given })
}

fn privilege(words: &mut Words<'_>) -> Result<Vec<Privilege>, Error> {
    if words.take(&["READ", "METADATA"]) {
        return Ok(vec![Privilege::ReadMetadata]);
    }
    if words.take(&["MODIFY"]) {
        return Ok(vec![Privilege::Insert, Privilege::Update, Privilege::Delete]);
    }
    if words.take(&["FILES"]) {
        return Err(unsupported("GRANT of FILES"));
    }
    let word = words.peek().map(|token| token.token.to_string().to_uppercase()).unwrap_or_default();
    match Privilege::of_word(&word) {
        Some(privilege) => {
            words.skip(1);
            Ok(vec![privilege])
        }
        None => Err(words.unexpected(
            "a privilege: USE, SELECT, INSERT, UPDATE, DELETE, MODIFY, CREATE, RUN, ALTER, DROP, MONITOR, READ METADATA \
             or MANAGE",
        )),
    }
}

/// True if the privilege means something on objects of the kind.
fn is_for(privilege: Privilege, kind: GrantKind) -> bool {
    use GrantKind::{Asset, Catalog, Job, Pipeline, Schema, Table};
    match privilege {
        Privilege::Manage => true,
        Privilege::Use => matches!(kind, Catalog | Schema),
        Privilege::Select
        | Privilege::Insert
        | Privilege::Update
        | Privilege::Delete
        | Privilege::Alter
        | Privilege::Drop => matches!(kind, Catalog | Schema | Table | Asset),
        Privilege::Create => matches!(kind, Catalog | Schema),
        Privilege::Run => matches!(kind, Catalog | Schema | Asset | Pipeline | Job),
        Privilege::Monitor | Privilege::ReadMetadata => kind == Catalog,
    }
}

/// `TABLE x`, `SCHEMA 'a*'`, …
pub(super) fn on(words: &mut Words<'_>) -> Result<On, Error> {
    const KINDS: [(&str, GrantKind); 6] = [
        ("CATALOG", GrantKind::Catalog),
        ("SCHEMA", GrantKind::Schema),
        ("TABLE", GrantKind::Table),
        ("ASSET", GrantKind::Asset),
        ("PIPELINE", GrantKind::Pipeline),
        ("JOB", GrantKind::Job),
    ];
    let Some((_, kind)) = KINDS.into_iter().find(|(word, _)| words.take(&[*word])) else {
        return Err(words.unexpected("CATALOG, SCHEMA, TABLE, ASSET, PIPELINE or JOB"));
    };
    let named = match words.text() {
        Ok(pattern) => Named::Pattern(checked(pattern)?),
        Err(_) => Named::Name(words.object_name()?),
    };
    if matches!((kind, &named), (GrantKind::Catalog | GrantKind::Asset, Named::Pattern(_))) {
        return Err(unsupported(&format!("a pattern of {}s", kind.word())));
    }
    Ok(On { kind, named })
}

/// A pattern of one or two parts, each a literal, `*`, or with one star at its beginning or end.
fn checked(pattern: String) -> Result<String, Error> {
    let is_part = |part: &str| {
        let inner = part.strip_prefix('*').or_else(|| part.strip_suffix('*')).unwrap_or(part);
        !part.is_empty() && !inner.contains('*') && !part.chars().any(char::is_control)
    };
    if pattern.len() <= 255 && pattern.split('.').count() <= 2 && pattern.split('.').all(is_part) {
        return Ok(pattern);
    }
    let text = format!("pattern '{pattern}' is no name, *, or name with a star at its beginning or end");
    Err(Error::new(ErrorKind::Invalid, text).with_sqlstate("42602"))
}

fn to(words: &mut Words<'_>, given: Given) -> Result<Who, Error> {
    words.expect(&[if given == Given::Yes { "TO" } else { "FROM" }])?;
    who(words)
}

/// `ROLE x`, `TOKEN x`
pub(super) fn who(words: &mut Words<'_>) -> Result<Who, Error> {
    match () {
        () if words.take(&["ROLE"]) => words.name().map(Who::Role),
        () if words.take(&["TOKEN"]) => match words.text() {
            Ok(text) => Ok(Who::Token(text)),
            Err(_) => words.ident().map(|ident| Who::Token(ident.value)),
        },
        () => Err(words.unexpected("ROLE or TOKEN")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::parse::tokens::tokenize;

    fn read(sql: &str) -> Result<Option<GrantStatement>, Error> {
        let tokens = tokenize(sql)?;
        let mut words = Words::new(sql, &tokens);
        let read = grant(&mut words)?;
        words.end()?;
        Ok(read)
    }

    #[test]
    fn privileges_are_on_something_and_for_somebody() {
        let sql = "GRANT select, MODIFY ON TABLE default.\"Cpu\" TO TOKEN grafana";
        let Some(GrantStatement::Privileges { privileges, on, who, given }) = read(sql).unwrap() else {
            panic!("a grant")
        };
        assert_eq!(privileges, [Privilege::Select, Privilege::Insert, Privilege::Update, Privilege::Delete]);
        assert_eq!((on.kind, given, who), (GrantKind::Table, Given::Yes, Who::Token("grafana".into())));
        assert!(matches!(on.named, Named::Name(parts) if parts.len() == 2));
        let sql = "REVOKE READ METADATA ON CATALOG lake FROM ROLE \"Ops\"";
        let Some(GrantStatement::Privileges { who, given: Given::No, .. }) = read(sql).unwrap() else {
            panic!("a revoke")
        };
        assert_eq!(who, Who::Role("Ops".into()));
    }

    #[test]
    fn patterns_have_one_star_at_an_end() {
        for (pattern, fits) in [
            ("default.cpu*", true),
            ("*.*", true),
            ("a", true),
            ("a*b", false),
            ("", false),
            ("a.b.c", false),
        ] {
            let sql = format!("GRANT SELECT ON TABLE '{pattern}' TO ROLE r");
            assert_eq!(read(&sql).is_ok(), fits, "{sql}");
        }
    }

    #[test]
    fn what_means_nothing_is_refused() {
        for (sql, said) in [
            ("GRANT CREATE ON TABLE t TO ROLE r", "CREATE is none on a table"),
            ("GRANT FLY ON TABLE t TO ROLE r", "a privilege"),
            ("GRANT SELECT ON t TO ROLE r", "CATALOG, SCHEMA"),
            ("GRANT SELECT ON TABLE t TO joe", "ROLE or TOKEN"),
            ("GRANT SELECT ON TABLE t FROM ROLE r", "TO"),
            ("GRANT FILES ON CATALOG lake TO ROLE r", "not supported yet"),
            ("GRANT SELECT ON CATALOG '*' TO ROLE r", "not supported yet"),
        ] {
            let error = read(sql).unwrap_err().to_string();
            assert!(error.contains(said), "{sql}: {error}");
        }
    }
}
