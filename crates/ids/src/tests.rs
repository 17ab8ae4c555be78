//! Ids as they are written, and what is made of them.

use super::*;

fn check(text: &str, expected: Result<&str, IdError>) {
    let parsed = TraceId::parse(text).map(|id| id.to_string());
    assert_eq!(parsed, expected.map(str::to_owned), "{text:?}");
}

#[test]
fn ids_of_any_length_up_to_32_digits_are_padded_on_the_left() {
    check("4bf92f3577b34da6a3ce929d0e0e4736", Ok("4bf92f3577b34da6a3ce929d0e0e4736"));
    check("4BF92F3577B34DA6A3CE929D0E0E4736", Ok("4bf92f3577b34da6a3ce929d0e0e4736"));
    check("a3ce929d0e0e4736", Ok("0000000000000000a3ce929d0e0e4736"));
    check("1", Ok("00000000000000000000000000000001"));
    check("00000000000000000000000000000123", Ok("00000000000000000000000000000123"));
    check("123", Ok("00000000000000000000000000000123"));
}

#[test]
fn what_is_not_an_id_says_why() {
    check("", Err(IdError::Empty));
    check("0", Err(IdError::Zero));
    check("12g4", Err(IdError::NotHex { position: 2 }));
    check("é1", Err(IdError::NotHex { position: 0 }));
    check(
        "4bf92f3577b34da6a3ce929d0e0e47361",
        Err(IdError::TooLong { digits: 33, digits_max: 32 }),
    );
}

#[test]
fn bytes_must_have_the_exact_length_and_not_be_zero() {
    assert_eq!(TraceId::from_slice(&[7; 16]), Ok(TraceId::from_bytes([7; 16])));
    assert_eq!(
        TraceId::from_slice(&[7; 8]),
        Err(IdError::WrongLength { bytes: 8, bytes_expected: 16 })
    );
    assert_eq!(TraceId::from_slice(&[0; 16]), Err(IdError::Zero));
    assert_eq!(SpanId::from_slice(&[0; 8]), Err(IdError::Zero));
    assert_eq!(SpanId::parse("ff").map(|id| id.to_string()), Ok("00000000000000ff".to_owned()));
}
