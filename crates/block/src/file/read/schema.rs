//! The schema of a Parquet file: flat columns of the kinds that are ours.

use super::damage::{Damage, damaged};
use super::thrift::{Field, Fields, Form, Thrift};
use crate::column::Kind;

/// Attribute columns end at 128.
const COLUMNS_MAX: usize = 1 << 14;

/// A column of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileColumn {
    pub name: String,
    pub kind: Kind,
    /// Whether rows may leave it empty.
    pub is_optional: bool,
}

pub(super) fn parse_schema(thrift: &mut Thrift, field: Field) -> Result<Vec<FileColumn>, Damage> {
    let n_elements = thrift.list(field, Form::Struct)?;
    if n_elements == 0 || n_elements > COLUMNS_MAX {
        return damaged(format!("a schema of {n_elements} elements"));
    }
    let root = SchemaElement::parse(thrift)?;
    if root.n_children != n_elements as u64 - 1 {
        return damaged("columns inside columns");
    }
    (1..n_elements).map(|_| SchemaElement::parse(thrift)?.into_column()).collect()
}

#[derive(Default)]
struct SchemaElement {
    name: String,
    physical: Option<i64>,
    fixed_bytes: u64,
    repetition: i64,
    n_children: u64,
    is_text: bool,
    is_unsigned: bool,
}

impl SchemaElement {
    fn parse(thrift: &mut Thrift) -> Result<Self, Damage> {
        let mut element = Self::default();
        let mut fields = Fields::default();
        while let Some(field) = thrift.field(&mut fields)? {
            match field.id {
                1 => element.physical = Some(thrift.int(field)?),
                2 => element.fixed_bytes = thrift.natural(field)?,
                3 => element.repetition = thrift.int(field)?,
                4 => element.name = thrift.text(field)?.to_owned(),
                5 => element.n_children = thrift.natural(field)?,
                6 => match thrift.int(field)? {
                    0 => element.is_text = true,
                    11..=14 => element.is_unsigned = true,
                    _ => {}
                },
                10 => element.parse_logical(thrift, field)?,
                _ => thrift.skip(field)?,
            }
        }
        Ok(element)
    }

    /// A union: the field that is there says what the bytes mean.
    fn parse_logical(&mut self, thrift: &mut Thrift, field: Field) -> Result<(), Damage> {
        let mut fields = thrift.enter(field)?;
        while let Some(field) = thrift.field(&mut fields)? {
            match field.id {
                1 => {
                    self.is_text = true;
                    thrift.skip(field)?;
                }
                10 => {
                    let mut integer = thrift.enter(field)?;
                    while let Some(field) = thrift.field(&mut integer)? {
                        match field.id {
                            2 => self.is_unsigned = !thrift.bool(field)?,
                            _ => thrift.skip(field)?,
                        }
                    }
                }
                _ => thrift.skip(field)?,
            }
        }
        Ok(())
    }

    fn into_column(self) -> Result<FileColumn, Damage> {
        let kind = match (self.physical, self.is_text, self.is_unsigned) {
            (Some(0), ..) => Kind::Bool,
            (Some(1), _, true) => Kind::U32,
            (Some(1), ..) => Kind::I32,
            (Some(2), _, true) => Kind::U64,
            (Some(2), ..) => Kind::I64,
            (Some(5), ..) => Kind::F64,
            (Some(6), true, _) => Kind::Text,
            (Some(6), ..) => Kind::Bytes,
            (Some(7), ..) if self.fixed_bytes == 16 => Kind::Id,
            _ => return damaged(format!("column `{}` is of no kind that is read here", self.name)),
        };
        let is_optional = match self.repetition {
            0 => false,
            1 => true,
            _ => return damaged(format!("column `{}` repeats its values", self.name)),
        };
        Ok(FileColumn { name: self.name, kind, is_optional })
    }
}
