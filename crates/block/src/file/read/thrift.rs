//! The compact protocol of Thrift, as far as Parquet's metadata uses it.
//!
//! In: bytes from outside. Out: fields one by one; what is not known is stepped over. Every length
//! is held against the bytes that are left, so that nothing is allocated on a promise.

use super::damage::{Damage, damaged};

/// Structs inside structs that are stepped over: Parquet has four levels, the rest is hostile.
const DEPTH_MAX: u8 = 16;

/// The place in a struct: what a field is called and how it is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Field {
    pub(super) id: i16,
    pub(super) form: Form,
}

/// How a value is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    True,
    False,
    Byte,
    Int,
    Double,
    Binary,
    List,
    Map,
    Struct,
    Uuid,
}

/// Where the fields of one struct are read.
#[derive(Default)]
pub(super) struct Fields {
    last_id: i16,
}

pub(super) struct Thrift<'a> {
    rest: &'a [u8],
}

impl<'a> Thrift<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    /// What stands behind the values read so far.
    pub(super) fn rest(&self) -> &'a [u8] {
        self.rest
    }

    /// The next field of a struct; `None` at its end.
    pub(super) fn field(&mut self, fields: &mut Fields) -> Result<Option<Field>, Damage> {
        let head = self.byte()?;
        if head == 0 {
            return Ok(None);
        }
        let id = match head >> 4 {
            0 => i16::try_from(self.zigzag()?).map_err(|_| "thrift: a field id beyond 16 bits")?,
            step => match fields.last_id.checked_add(i16::from(step)) {
                Some(id) => id,
                None => return damaged("thrift: a field id beyond 16 bits"),
            },
        };
        fields.last_id = id;
        Ok(Some(Field { id, form: form(head & 0x0f)? }))
    }

    pub(super) fn int(&mut self, field: Field) -> Result<i64, Damage> {
        match field.form {
            Form::Int => self.zigzag(),
            Form::Byte => Ok(i64::from(self.byte()? as i8)),
            _ => damaged("thrift: a number was expected"),
        }
    }

    /// A number that counts or places something.
    pub(super) fn natural(&mut self, field: Field) -> Result<u64, Damage> {
        u64::try_from(self.int(field)?).map_err(|_| "a length or an offset below zero".into())
    }

    pub(super) fn natural_u32(&mut self, field: Field) -> Result<u32, Damage> {
        u32::try_from(self.int(field)?).map_err(|_| "a length beyond 32 bits".into())
    }

    pub(super) fn bool(&mut self, field: Field) -> Result<bool, Damage> {
        match field.form {
            Form::True => Ok(true),
            Form::False => Ok(false),
            _ => damaged("thrift: a truth value was expected"),
        }
    }

    pub(super) fn binary(&mut self, field: Field) -> Result<&'a [u8], Damage> {
        match field.form {
            Form::Binary => self.element_binary(),
            _ => damaged("thrift: bytes were expected"),
        }
    }

    pub(super) fn text(&mut self, field: Field) -> Result<&'a str, Damage> {
        std::str::from_utf8(self.binary(field)?).map_err(|_| "thrift: a text is not UTF-8".into())
    }

    pub(super) fn enter(&self, field: Field) -> Result<Fields, Damage> {
        match field.form {
            Form::Struct => Ok(Fields::default()),
            _ => damaged("thrift: a struct was expected"),
        }
    }

    /// The number of elements of a list, each of the form that is expected.
    pub(super) fn list(&mut self, field: Field, expected: Form) -> Result<usize, Damage> {
        if field.form != Form::List {
            return damaged("thrift: a list was expected");
        }
        let (len, element) = self.list_head()?;
        let is_bool = |form| matches!(form, Form::True | Form::False);
        if len > 0 && element != expected && !(is_bool(element) && is_bool(expected)) {
            return damaged("thrift: a list of something else was expected");
        }
        Ok(len)
    }

    pub(super) fn element_bool(&mut self) -> Result<bool, Damage> {
        Ok(self.byte()? == 1)
    }

    pub(super) fn element_binary(&mut self) -> Result<&'a [u8], Damage> {
        let len = self.varint()?;
        self.take(len)
    }

    pub(super) fn skip(&mut self, field: Field) -> Result<(), Damage> {
        self.skip_form(field.form, 0)
    }

    fn skip_form(&mut self, form: Form, depth: u8) -> Result<(), Damage> {
        if depth >= DEPTH_MAX {
            return damaged("thrift: nested too deeply");
        }
        match form {
            Form::True | Form::False => {}
            Form::Byte => drop(self.byte()?),
            Form::Int => drop(self.varint()?),
            Form::Double => drop(self.take(8)?),
            Form::Uuid => drop(self.take(16)?),
            Form::Binary => drop(self.element_binary()?),
            Form::List => {
                let (len, element) = self.list_head()?;
                for _ in 0..len {
                    self.skip_element(element, depth + 1)?;
                }
            }
            Form::Map => self.skip_map(depth)?,
            Form::Struct => {
                let mut fields = Fields::default();
                while let Some(field) = self.field(&mut fields)? {
                    self.skip_form(field.form, depth + 1)?;
                }
            }
        }
        Ok(())
    }

    fn skip_map(&mut self, depth: u8) -> Result<(), Damage> {
        let len = self.count()?;
        if len == 0 {
            return Ok(());
        }
        let forms = self.byte()?;
        let (key, value) = (form(forms >> 4)?, form(forms & 0x0f)?);
        for _ in 0..len {
            self.skip_element(key, depth + 1)?;
            self.skip_element(value, depth + 1)?;
        }
        Ok(())
    }

    /// Outside a struct a truth value takes a byte.
    fn skip_element(&mut self, form: Form, depth: u8) -> Result<(), Damage> {
        match form {
            Form::True | Form::False => self.byte().map(drop),
            form => self.skip_form(form, depth),
        }
    }

    fn list_head(&mut self) -> Result<(usize, Form), Damage> {
        let head = self.byte()?;
        let len = match head >> 4 {
            15 => self.count()?,
            len => usize::from(len),
        };
        // An empty list may name no form.
        let element = if len == 0 { Form::Int } else { form(head & 0x0f)? };
        Ok((len, element))
    }

    /// A number of elements, each of which takes a byte at least.
    fn count(&mut self) -> Result<usize, Damage> {
        match usize::try_from(self.varint()?) {
            Ok(len) if len <= self.rest.len() => Ok(len),
            _ => damaged("thrift: a list is longer than its bytes"),
        }
    }

    fn byte(&mut self) -> Result<u8, Damage> {
        let Some((first, rest)) = self.rest.split_first() else {
            return damaged("thrift: ends too early");
        };
        self.rest = rest;
        Ok(*first)
    }

    fn take(&mut self, len: u64) -> Result<&'a [u8], Damage> {
        let len = usize::try_from(len).unwrap_or(usize::MAX);
        let Some((taken, rest)) = self.rest.split_at_checked(len) else {
            return damaged("thrift: a value is longer than its bytes");
        };
        self.rest = rest;
        Ok(taken)
    }

    fn varint(&mut self) -> Result<u64, Damage> {
        let mut value = 0;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            value |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return Ok(value);
            }
        }
        damaged("thrift: a number beyond 64 bits")
    }

    fn zigzag(&mut self) -> Result<i64, Damage> {
        let value = self.varint()?;
        Ok((value >> 1) as i64 ^ -((value & 1) as i64))
    }
}

fn form(code: u8) -> Result<Form, Damage> {
    Ok(match code {
        1 => Form::True,
        2 => Form::False,
        3 => Form::Byte,
        4..=6 => Form::Int,
        7 => Form::Double,
        8 => Form::Binary,
        9 | 10 => Form::List,
        11 => Form::Map,
        12 => Form::Struct,
        13 => Form::Uuid,
        _ => return damaged("thrift: a form that does not exist"),
    })
}
