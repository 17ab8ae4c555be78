//! What the writer refuses, and how it says so.

use super::*;

#[test]
fn broken_columns_are_refused_by_name() {
    let text = || spec(Kind::Text, Encoding::Dictionary);
    let number = || spec(Kind::U32, Encoding::Plain);
    let required = || ColumnSpec { is_optional: false, ..number() };
    let codes = Strings::Dictionary {
        codes: vec![0, 9].into(),
        values: StringArray::from_iter_values(["a", "b"]),
    };
    let with_codes = Column { rows: None, values: Values::Text(codes) };
    let nulls = Strings::Plain(StringArray::from(vec![Some("a"), None]));
    let with_nulls = Column { rows: None, values: Values::Text(nulls) };
    let mut short_ids = FixedSizeBinaryBuilder::new(8);
    short_ids.append_value([0; 8]).unwrap();
    short_ids.append_value([1; 8]).unwrap();
    let short_ids = Column { rows: None, values: Values::Id(short_ids.finish()) };
    for (spec, column, expected) in [
        (text(), column_of_u32s(None, vec![1, 2]), "holds U32 where the file has Text"),
        (number(), column_of_u32s(None, vec![1]), "has 1 values for 2 rows"),
        (number(), column_of_u32s(Some(vec![0]), vec![1, 2]), "has 2 values for 1 rows"),
        (number(), column_of_u32s(Some(vec![1, 1]), vec![1, 2]), "do not ascend"),
        (number(), column_of_u32s(Some(vec![0, 2]), vec![1, 2]), "do not exist"),
        (required(), column_of_u32s(Some(vec![0]), vec![1]), "is not optional"),
        (text(), with_codes.clone(), "beyond its dictionary"),
        (spec(Kind::Text, Encoding::Plain), with_codes, "beyond its dictionary"),
        (text(), with_nulls, "holds a null"),
        (spec(Kind::Id, Encoding::Plain), short_ids, "ids of 8 bytes"),
    ] {
        let name = spec.name.clone();
        let found = refusal(spec, column);
        assert!(found.contains(expected) && found.contains(&name), "{found}");
    }
}

#[test]
fn broken_calls_are_refused() {
    let two = vec![spec(Kind::U32, Encoding::Plain); 2];
    let Err(error) = FileWriter::new(Vec::new(), two, FileOptions::default()) else {
        panic!("two columns of one name");
    };
    assert_eq!(error.to_string(), "two columns are called `U32.Plain`");
    let none = FileOptions { page_rows: 0, ..FileOptions::default() };
    assert!(matches!(FileWriter::new(Vec::new(), Vec::new(), none), Err(WriteError::PageRows)));
    let specs = vec![spec(Kind::U32, Encoding::Plain)];
    let mut writer = FileWriter::new(Vec::new(), specs, FileOptions::default()).unwrap();
    assert!(matches!(writer.write_row_group(2, &[]), Err(WriteError::ColumnCount { .. })));
    let column = column_of_u32s(None, Vec::new());
    assert!(matches!(writer.write_row_group(0, &[column]), Err(WriteError::NoRows)));
}

/// A sink with room for some bytes.
struct Full(usize);

impl Write for Full {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let room = self.0.min(bytes.len());
        self.0 -= room;
        match room {
            0 => Err(io::ErrorKind::StorageFull.into()),
            n => Ok(n),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn a_full_sink_is_an_error_wherever_it_ends() {
    let specs = vec![spec(Kind::U32, Encoding::Plain)];
    let whole =
        write(&specs, FileOptions::default(), &[(2, vec![column_of_u32s(None, vec![1, 2])])]);
    for room in 0..whole.len() {
        let outcome = FileWriter::new(Full(room), specs.clone(), FileOptions::default()).and_then(
            |mut writer| {
                writer.write_row_group(2, &[column_of_u32s(None, vec![1, 2])])?;
                writer.finish()
            },
        );
        assert!(outcome.is_err(), "{room} of {} bytes", whole.len());
    }
}
