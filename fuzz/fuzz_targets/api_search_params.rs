//! Parameters of a search, as a query string: refused with a reason or taken, never a panic.

#![no_main]

libfuzzer_sys::fuzz_target!(|query_string: &str| {
    if let Err(refused) = suyuan_api::check_search(query_string) {
        assert!(!refused.is_empty());
    }
});
