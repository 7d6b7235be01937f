//! `ALTER TABLE` and `COMMENT ON`: words of ours, because paths, places, partitions and orders are.

use cenote_vocab::FieldType;
use sqlparser::ast::{Expr, Ident};
use sqlparser::tokenizer::Token;

use super::clauses::{PartitionItem, SortItem, list, partition_item, sort_item};
use super::column::{default_value, field_type, path};
use super::command::{option_list, unsupported};
use super::tokens::folded;
use super::words::Words;
use crate::Error;

/// `ALTER TABLE t action, …`
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct AlterTable {
    pub(crate) table: Vec<Ident>,
    pub(crate) if_exists: bool,
    pub(crate) actions: Vec<Action>,
}

/// `ALTER SCHEMA s SET (…) | RESET (…)`
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct AlterSchema {
    pub(crate) schema: Vec<Ident>,
    /// Options that are set; `None`: the option goes.
    pub(crate) options: Vec<(String, Option<String>)>,
}

/// Where a column goes.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Position {
    Last,
    First,
    After(Ident),
}

/// A column as `ADD COLUMN` declares it.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct NewColumn {
    pub(crate) path: Vec<Ident>,
    pub(crate) field_type: FieldType,
    pub(crate) not_null: bool,
    pub(crate) default: Option<Expr>,
    pub(crate) comment: Option<String>,
    pub(crate) position: Position,
    pub(crate) if_not_exists: bool,
}

/// One action of ALTER TABLE.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Action {
    Add(Box<NewColumn>),
    Drop {
        path: Vec<Ident>,
        if_exists: bool,
    },
    Rename {
        path: Vec<Ident>,
        to: Ident,
    },
    RenameTo(Vec<Ident>),
    SetSchema(Ident),
    SetType {
        path: Vec<Ident>,
        field_type: FieldType,
    },
    SetNotNull(Vec<Ident>),
    DropNotNull(Vec<Ident>),
    SetDefault {
        path: Vec<Ident>,
        value: Option<Box<Expr>>,
    },
    Move {
        path: Vec<Ident>,
        position: Position,
    },
    SetPartition(Vec<PartitionItem>),
    SetSort(Vec<SortItem>),
    AddKey {
        columns: Vec<Ident>,
        enforced: bool,
    },
    DropKey,
    SetOptions(Vec<(String, Option<String>)>),
    /// `COMMENT ON TABLE` beside others: SQL has it as a statement.
    SetComment(Option<String>),
    /// `COMMENT ON COLUMN` beside others.
    SetColumnComment {
        path: Vec<Ident>,
        comment: Option<String>,
    },
}

/// `COMMENT ON TABLE t | COLUMN t.c IS …`
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Comment {
    /// The table's name, with the column's path behind it.
    pub(crate) name: Vec<Ident>,
    pub(crate) on_column: bool,
    pub(crate) text: Option<String>,
}

/// What follows `ALTER TABLE`.
pub(super) fn alter_table(words: &mut Words<'_>) -> Result<AlterTable, Error> {
    let if_exists = words.take(&["IF", "EXISTS"]);
    let table = words.object_name()?;
    let mut actions = vec![action(words)?];
    while words.take_token(&Token::Comma) {
        actions.push(action(words)?);
    }
    Ok(AlterTable { table, if_exists, actions })
}

/// What follows `ALTER SCHEMA`.
pub(super) fn alter_schema(words: &mut Words<'_>) -> Result<AlterSchema, Error> {
    let schema = words.object_name()?;
    let options = match () {
        () if words.take(&["SET"]) => option_list(words, true)?,
        () if words.take(&["RESET"]) => option_list(words, false)?,
        () if words.take(&["RENAME"]) => return Err(unsupported("ALTER SCHEMA … RENAME")),
        () => return Err(words.unexpected("SET or RESET")),
    };
    Ok(AlterSchema { schema, options })
}

/// What follows `COMMENT ON`.
pub(super) fn comment(words: &mut Words<'_>) -> Result<Comment, Error> {
    let on_column = words.take(&["COLUMN"]);
    if !on_column && !words.take(&["TABLE"]) && !words.take(&["VIEW"]) {
        return Err(unsupported("COMMENT ON anything but TABLE, VIEW and COLUMN"));
    }
    let name = path(words)?;
    words.expect(&["IS"])?;
    let text = if words.take(&["NULL"]) { None } else { Some(words.text()?) };
    Ok(Comment { name, on_column, text })
}

fn action(words: &mut Words<'_>) -> Result<Action, Error> {
    Ok(if words.take(&["ADD"]) {
        add(words)?
    } else if words.take(&["DROP"]) {
        drop(words)?
    } else if words.take(&["RENAME", "TO"]) {
        Action::RenameTo(words.object_name()?)
    } else if words.take(&["RENAME"]) {
        let _ = words.take(&["COLUMN"]);
        let path = path(words)?;
        words.expect(&["TO"])?;
        Action::Rename { path, to: words.ident()? }
    } else if words.take(&["ALTER"]) || words.take(&["MODIFY"]) {
        let _ = words.take(&["COLUMN"]);
        alter_column(words)?
    } else if words.take(&["RESET"]) {
        Action::SetOptions(option_list(words, false)?)
    } else if words.take(&["SET"]) {
        set(words)?
    } else {
        return Err(words.unexpected("ADD, DROP, RENAME, ALTER, SET or RESET"));
    })
}

fn add(words: &mut Words<'_>) -> Result<Action, Error> {
    if words.take(&["CONSTRAINT"]) {
        words.ident()?; // a key is the only one: its name says nothing
        if !words.rest().first().is_some_and(|token| super::tokens::word_is(token, "PRIMARY")) {
            return Err(unsupported("ADD CONSTRAINT of anything but PRIMARY KEY"));
        }
    }
    if words.take(&["PRIMARY", "KEY"]) {
        let columns = list(words, |words: &mut Words<'_>| words.ident())?;
        let enforced = !words.take(&["NOT", "ENFORCED"]);
        return Ok(Action::AddKey { columns, enforced });
    }
    let _ = words.take(&["COLUMN"]);
    let if_not_exists = words.take(&["IF", "NOT", "EXISTS"]);
    let path = path(words)?;
    let name = path.last().map(folded).unwrap_or_default();
    let field_type = field_type(words, &name)?;
    let (mut not_null, mut default, mut comment, mut position) = (false, None, None, Position::Last);
    loop {
        if words.take(&["NOT", "NULL"]) {
            not_null = true;
        } else if words.take(&["NULL"]) {
            not_null = false;
        } else if words.take(&["DEFAULT"]) {
            default = Some(default_value(words)?);
        } else if words.take(&["COMMENT"]) {
            comment = Some(words.text()?);
        } else if let Some(found) = place(words)? {
            position = found;
        } else {
            break;
        }
    }
    let column = NewColumn { path, field_type, not_null, default, comment, position, if_not_exists };
    Ok(Action::Add(Box::new(column)))
}

fn drop(words: &mut Words<'_>) -> Result<Action, Error> {
    if words.take(&["PRIMARY", "KEY"]) {
        return Ok(Action::DropKey);
    }
    if words.take(&["CONSTRAINT"]) {
        return Err(unsupported("DROP CONSTRAINT").with_hint("the key is dropped by DROP PRIMARY KEY"));
    }
    let _ = words.take(&["COLUMN"]);
    let if_exists = words.take(&["IF", "EXISTS"]);
    let path = path(words)?;
    let _ = words.take(&["RESTRICT"]);
    Ok(Action::Drop { path, if_exists })
}

fn alter_column(words: &mut Words<'_>) -> Result<Action, Error> {
    let path = path(words)?;
    let name = path.last().map(folded).unwrap_or_default();
    if let Some(position) = place(words)? {
        return Ok(Action::Move { path, position });
    }
    Ok(if words.take(&["SET", "NOT", "NULL"]) {
        Action::SetNotNull(path)
    } else if words.take(&["DROP", "NOT", "NULL"]) {
        Action::DropNotNull(path)
    } else if words.take(&["SET", "DEFAULT"]) {
        Action::SetDefault { path, value: Some(Box::new(default_value(words)?)) }
    } else if words.take(&["DROP", "DEFAULT"]) {
        Action::SetDefault { path, value: None }
    } else if words.take(&["TYPE"]) || words.take(&["SET", "DATA", "TYPE"]) {
        let field_type = field_type(words, &name)?;
        if words.take(&["USING"]) {
            return Err(unsupported("ALTER COLUMN … TYPE … USING"));
        }
        Action::SetType { path, field_type }
    } else {
        return Err(words.unexpected("TYPE, SET, DROP, FIRST or AFTER"));
    })
}

fn place(words: &mut Words<'_>) -> Result<Option<Position>, Error> {
    Ok(if words.take(&["FIRST"]) {
        Some(Position::First)
    } else if words.take(&["AFTER"]) {
        Some(Position::After(words.ident()?))
    } else {
        None
    })
}

fn set(words: &mut Words<'_>) -> Result<Action, Error> {
    Ok(if words.take(&["SCHEMA"]) {
        Action::SetSchema(words.ident()?)
    } else if words.take(&["UNSORTED"]) {
        Action::SetSort(Vec::new())
    } else if words.take(&["UNPARTITIONED"]) {
        Action::SetPartition(Vec::new())
    } else if words.take(&["SORTED", "BY"]) {
        Action::SetSort(list(words, sort_item)?)
    } else if words.take(&["PARTITIONED", "BY"]) || words.take(&["PARTITION", "BY"]) {
        Action::SetPartition(list(words, partition_item)?)
    } else {
        Action::SetOptions(option_list(words, true)?)
    })
}
