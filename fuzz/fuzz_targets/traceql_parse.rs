//! TraceQL: never a panic; what is read is printed, and reads as the same again; an error points
//! into the text and can be drawn; what is half-typed is read as well.

#![no_main]

use suyuan_traceql::{lenient, parse, parse_attribute};

libfuzzer_sys::fuzz_target!(|text: &str| {
    // It has limits of its own, which are its only errors.
    let _ = lenient::parse(text);
    if let Ok(attribute) = parse_attribute(text) {
        assert_eq!(parse_attribute(&attribute.to_string()), Ok(attribute));
    }
    match parse(text) {
        Ok(query) => {
            let printed = query.to_string();
            assert_eq!(parse(&printed).as_ref(), Ok(&query), "{printed}");
            let _ = query.span_filter();
        }
        Err(error) => {
            assert!(error.position().place.start as usize <= text.len(), "{error}");
            assert_eq!(error.to_string().lines().count(), 1, "{error}");
            assert_eq!(error.draw(text).split('\n').count(), 2, "{error}");
        }
    }
});
