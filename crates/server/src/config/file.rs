//! The configuration file: TOML text onto a [`Config`], with the line of every mistake.
//!
//! In: a path. Out: the fields set, or the first mistake. Walks the parsed document by hand
//! instead of deserialising it, because an error has to name the line and the nearest key.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use toml::Spanned;
use toml::de::{DeArray, DeTable, DeValue};

use super::keys::KEYS;
use super::slot::Given;
use super::{Config, ConfigError, Hint, apply, nearest, place_in};

/// More than a thousand times what every key with its comment needs.
const FILE_BYTES_MAX: u64 = 4 << 20;

pub(super) fn read_onto(config: &mut Config, path: &Path) -> Result<(), ConfigError> {
    let text = read(path)?;
    Document { path, text: &text }.apply_to(config)
}

fn read(path: &Path) -> Result<String, ConfigError> {
    let unreadable = |error: std::io::Error| ConfigError::Unreadable {
        path: path.to_owned(),
        reason: error.to_string(),
    };
    let mut text = String::new();
    let file = File::open(path).map_err(unreadable)?;
    file.take(FILE_BYTES_MAX + 1).read_to_string(&mut text).map_err(unreadable)?;
    if text.len() as u64 > FILE_BYTES_MAX {
        return Err(ConfigError::TooLarge { path: path.to_owned(), bytes_max: FILE_BYTES_MAX });
    }
    Ok(text)
}

struct Document<'a> {
    path: &'a Path,
    text: &'a str,
}

impl Document<'_> {
    fn apply_to(&self, config: &mut Config) -> Result<(), ConfigError> {
        let root = DeTable::parse(self.text).map_err(|error| ConfigError::Syntax {
            place: self.place(error.span().map_or(0, |span| span.start)),
            message: error.message().to_owned(),
        })?;
        for (section, entry) in root.get_ref() {
            let place = self.place(section.span().start);
            let DeValue::Table(table) = entry.get_ref() else {
                return Err(unknown_at_root(place, section.get_ref()));
            };
            if !KEYS.iter().any(|key| key.section == section.get_ref().as_ref()) {
                return Err(unknown_section(place, section.get_ref()));
            }
            self.apply_section(config, section.get_ref(), table)?;
        }
        Ok(())
    }

    fn apply_section(
        &self,
        config: &mut Config,
        section: &str,
        table: &DeTable<'_>,
    ) -> Result<(), ConfigError> {
        for (name, value) in table {
            let place = self.place(name.span().start);
            let path = format!("{section}.{}", name.get_ref());
            let Some(key) = KEYS.iter().find(|key| key.path() == path) else {
                let hint = Hint(nearest(&path, KEYS.iter().map(|key| key.path())));
                return Err(ConfigError::UnknownKey { place, key: path, hint });
            };
            apply(config, key, &given(value), &place)?;
        }
        Ok(())
    }

    fn place(&self, offset: usize) -> String {
        let before = self.text.as_bytes().get(..offset).unwrap_or_default();
        place_in(self.path, 1 + before.iter().filter(|byte| **byte == b'\n').count())
    }
}

fn unknown_section(place: String, section: &str) -> ConfigError {
    let sections = KEYS.iter().map(|key| key.section.to_owned());
    ConfigError::UnknownSection {
        place,
        section: section.to_owned(),
        hint: Hint(nearest(section, sections)),
    }
}

/// A key outside of any section: most likely its section's line is missing, so names are compared
/// without their sections.
fn unknown_at_root(place: String, name: &str) -> ConfigError {
    let same_name = nearest(name, KEYS.iter().map(|key| key.name.to_owned()))
        .and_then(|nearest| KEYS.iter().find(|key| key.name == nearest));
    let hint = Hint(same_name.map(|key| key.path()));
    ConfigError::UnknownKey { place, key: name.to_owned(), hint }
}

fn given<'a>(value: &'a Spanned<DeValue<'_>>) -> Given<'a> {
    match value.get_ref() {
        DeValue::String(text) => Given::Text(text),
        DeValue::Boolean(on) => Given::Boolean(*on),
        DeValue::Integer(number) => i64::from_str_radix(number.as_str(), number.radix())
            .map_or(Given::Other("integer beyond 64 bits"), Given::Integer),
        DeValue::Array(items) => texts(items),
        DeValue::Float(_) => Given::Other("float"),
        DeValue::Datetime(_) => Given::Other("date"),
        DeValue::Table(_) => Given::Other("table"),
    }
}

fn texts<'a>(items: &'a DeArray<'_>) -> Given<'a> {
    let items: Option<Vec<_>> = items.iter().map(|item| item.get_ref().as_str()).collect();
    items.map_or(Given::Other("list of other things than texts"), Given::Texts)
}
