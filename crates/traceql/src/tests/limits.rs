//! Long and deep texts.

use expect_test::expect;

use crate::parse;

#[test]
fn a_text_that_is_too_long_is_refused_unread() {
    let long = format!("{{ .a = `{}` }}", "x".repeat(crate::TEXT_BYTES_MAX));
    let error = parse(&long).map_err(|error| error.to_string());
    expect![[r#"
        Err(
            "parse error at line 1, col 131073: found a query of 131083 bytes, expected at most 131072",
        )
    "#]].assert_debug_eq(&error);
}

#[test]
fn what_is_nested_too_deeply_is_refused() {
    let parens = |n: usize| format!("{{ {}.a{} }}", "(".repeat(n), ")".repeat(n));
    let signs = |n: usize| format!("{{ {}.a }}", "!".repeat(n));
    let sums = |n: usize| format!("{{ .a{} = 1 }}", " + .a".repeat(n));
    let powers = |n: usize| format!("{{ .a{} = 1 }}", " ^ .a".repeat(n));
    let spansets = |n: usize| format!("{}{{}}{}", "(".repeat(n), ")".repeat(n));
    let structure = |n: usize| format!("{{}}{}", " >> {}".repeat(n));
    let scalars = |n: usize| format!("count(){} > 1", " + 1".repeat(n));
    let series = |n: usize| format!("({{}} | rate()){}", " + 1".repeat(n));
    let all: [&dyn Fn(usize) -> String; 8] =
        [&parens, &signs, &sums, &powers, &spansets, &structure, &scalars, &series];
    for nested in all {
        assert!(parse(&nested(50)).is_ok(), "{}: {:?}", nested(50), parse(&nested(50)));
        for n in [300, 10_000] {
            let Err(error) = parse(&nested(n)) else { panic!("{n} levels of {}", nested(1)) };
            assert!(error.to_string().contains("too deep a nesting"), "{}: {error}", nested(1));
        }
    }
}

/// Each token is looked at once: were the rest of the text looked at for each, this would take
/// minutes.
#[test]
fn what_looks_like_a_number_is_read_once() {
    let dots = format!("{{ .a = {}", "1.".repeat(60_000));
    let units = format!("{{ .a = {}", "1s2.".repeat(30_000));
    for text in [dots, units] {
        let Err(error) = parse(&text) else { panic!("no number has two points") };
        assert!(error.to_string().contains("expected a number or a duration"), "{error}");
    }
}

#[test]
fn a_long_list_of_ids_is_no_deep_tree() {
    let one = |n: usize| format!("trace:id = \"{n:032x}\"");
    let ids: Vec<String> = (0..2_000).map(one).collect();
    for op in [" || ", " && "] {
        let query = format!("{{ {} }}", ids.join(op));
        let tree = parse(&query).expect("chains of one operator are low trees");
        let printed = tree.to_string();
        assert_eq!(printed.matches("trace:id").count(), 2_000);
        // Brackets make it longer than what is read, so the middle is as good.
        let query = format!("{{ {} }}", ids[..500].join(op));
        let tree = parse(&query).expect("chains of one operator are low trees");
        assert_eq!(parse(&tree.to_string()).as_ref(), Ok(&tree));
    }
}

#[test]
fn the_tallest_tree_is_read_and_printed_on_a_small_stack() {
    let deep = || {
        let sums = format!("{{ .a{} = 1 }}", " + .a".repeat(90));
        let nested =
            format!("{}{{ .a{} = 1 }}{}", "({} >> ".repeat(40), " + .a".repeat(50), ")".repeat(40));
        for query in [sums, nested] {
            let tree = parse(&query).expect("it is not too deep");
            assert_eq!(parse(&tree.to_string()).as_ref(), Ok(&tree));
        }
        let refused = format!("{{ {}.a }}", "!(".repeat(60_000));
        assert!(parse(&refused).is_err());
    };
    let thread = std::thread::Builder::new().stack_size(1 << 20).spawn(deep);
    thread.expect("a thread starts").join().expect("the stack is large enough");
}
