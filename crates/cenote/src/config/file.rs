//! Reads a configuration file into (key, text, origin), keeping lines for messages.

use std::path::Path;

use toml::de::{DeTable, DeValue};

use super::{Mistake, Origin};

/// All keys of the file; what cannot be read is added to `mistakes`.
pub(super) fn read(path: &Path, mistakes: &mut Vec<Mistake>) -> Vec<(String, String, Origin)> {
    let content = match std::fs::read_to_string(path) {
        Ok(content) => content,
        Err(error) => {
            mistakes.push(Mistake::plain(format!("cannot read {}: {error}", path.display())));
            return Vec::new();
        }
    };
    let table = match DeTable::parse(&content) {
        Ok(table) => table,
        Err(error) => {
            mistakes.push(Mistake::plain(format!("{}: {error}", path.display())));
            return Vec::new();
        }
    };
    let line = |offset: usize| content[..offset].matches('\n').count() + 1;
    let mut found = Vec::new();
    for (section, value) in table.get_ref() {
        let at = |offset| Origin::File { path: path.to_owned(), line: line(offset) };
        let DeValue::Table(keys) = value.get_ref() else {
            let name = section.get_ref();
            mistakes
                .push(Mistake::at(&at(section.span().start), format!("{name} stands outside of a section")));
            continue;
        };
        for (key, value) in keys {
            let name = format!("{}.{}", section.get_ref(), key.get_ref());
            match text_of(value.get_ref()) {
                Some(text) => found.push((name, text, at(key.span().start))),
                None => mistakes.push(Mistake::at(
                    &at(key.span().start),
                    format!("{name}: expected a value or a list of texts"),
                )),
            }
        }
    }
    found
}

fn text_of(value: &DeValue<'_>) -> Option<String> {
    match value {
        DeValue::String(text) => Some(text.to_string()),
        DeValue::Integer(number) => Some(number.as_str().to_owned()),
        DeValue::Float(number) => Some(number.as_str().to_owned()),
        DeValue::Boolean(switch) => Some(switch.to_string()),
        DeValue::Array(items) => {
            let texts: Option<Vec<String>> = items.iter().map(|item| text_of(item.get_ref())).collect();
            Some(texts?.join(","))
        }
        DeValue::Datetime(_) | DeValue::Table(_) => None,
    }
}
