//! Random trees and random texts: what is printed reads as the same, and nothing panics.

use std::sync::Arc;

use proptest::prelude::*;
use proptest::sample::select;

use crate::ast::*;
use crate::{parse, parser};

/// Levels of a tree, and how many nodes it should have.
const LEVELS: u32 = 5;
const NODES: u32 = 24;

proptest! {
    #[test]
    fn a_printed_tree_reads_as_the_same(tree in query()) {
        let text = tree.to_string();
        let read = parser::query(&text).map_err(|error| TestCaseError::fail(format!("{text}: {error}")))?;
        prop_assert_eq!(&read, &tree, "{}", text);
        prop_assert_eq!(&read.to_string(), &text);
        // Its types may fit or not; nothing panics over them.
        let _ = parse(&text).map(|query| query.span_filter().is_ok());
    }

    #[test]
    fn any_text_is_read_or_refused(fragments in prop::collection::vec(fragment(), 0..24)) {
        let text = fragments.concat();
        match parse(&text) {
            Ok(query) => {
                let printed = query.to_string();
                let again = parse(&printed);
                prop_assert_eq!(again.as_ref(), Ok(&query), "{}", printed);
            }
            Err(error) => {
                let position = error.position();
                prop_assert!(position.place.start as usize <= text.len());
                prop_assert_eq!(error.draw(&text).lines().count(), 2, "{}", error.draw(&text));
            }
        }
    }
}

/// A piece of a text, mostly one that has a meaning.
fn fragment() -> impl Strategy<Value = String> {
    let known = select(vec![
        "{",
        "}",
        "(",
        ")",
        "|",
        "&&",
        "||",
        "=",
        "!=",
        "=~",
        "!~",
        "!",
        "-",
        "+",
        "^",
        ">",
        ">>",
        "<",
        "!>",
        "&<<",
        "~",
        ".a",
        "span.b",
        "resource.\"x y\"",
        ".",
        "parent.c",
        "name",
        "duration",
        "span:id",
        "event:x",
        "5",
        "1.5",
        "3ms",
        "1d",
        "9223372036854775808",
        "\"t\"",
        "`r`",
        "true",
        "nil",
        "error",
        "count()",
        "max(",
        "by(",
        "select(",
        "coalesce()",
        "rate()",
        "topk(3)",
        "with(",
        ",",
        "{ .a = 1 }",
        "{ true }",
        " ",
        "\n",
        "//",
        "/*",
        "*/",
        "\\",
        "'",
        "ä",
        "\u{85}",
    ]);
    prop_oneof![8 => known.prop_map(str::to_owned), 1 => any::<String>()]
}

fn query() -> impl Strategy<Value = Query> {
    let root = prop_oneof![
        2 => pipeline().prop_map(Root::Spansets),
        1 => series().prop_map(Root::Metrics),
    ];
    (root, prop::collection::vec(hint(), 0..3)).prop_map(|(root, hints)| Query { root, hints })
}

fn hint() -> impl Strategy<Value = Hint> {
    ("[a-z_][a-z0-9_]{0,8}", value()).prop_map(|(name, value)| Hint {
        name: name.into(),
        value,
        place: Place::default(),
    })
}

fn pipeline() -> BoxedStrategy<Pipeline> {
    pipeline_of(spanset())
}

/// A pipeline whose spansets are of a kind: stages are flat, so none is a pipeline in brackets.
fn pipeline_of(spanset: BoxedStrategy<SpansetExpr>) -> BoxedStrategy<Pipeline> {
    let first = prop_oneof![
        3 => spanset.clone().prop_map(StageKind::Spanset),
        1 => field().prop_map(StageKind::GroupBy),
        1 => attributes(1).prop_map(StageKind::Select),
        1 => scalar_filter().prop_map(StageKind::ScalarFilter),
    ];
    let next = prop_oneof![
        2 => spanset.prop_map(StageKind::Spanset),
        1 => field().prop_map(StageKind::GroupBy),
        1 => attributes(1).prop_map(StageKind::Select),
        1 => scalar_filter().prop_map(StageKind::ScalarFilter),
        1 => Just(StageKind::Coalesce),
    ];
    (first, prop::collection::vec(next, 0..3))
        .prop_map(|(first, next)| {
            let kinds = std::iter::once(first).chain(next);
            let stages = kinds.map(|kind| Stage { kind, place: Place::default() }).collect();
            Pipeline { stages, place: Place::default() }
        })
        .boxed()
}

/// A filter, or two operands and what joins them.
fn spanset() -> BoxedStrategy<SpansetExpr> {
    let filter = field().prop_map(|filter| spanset_of(SpansetKind::Filter(filter)));
    filter
        .prop_recursive(LEVELS - 2, NODES, 2, |inner| {
            let inner = inner.boxed();
            let bracketed = pipeline_of(inner.clone()).prop_map(operand);
            let operands = prop_oneof![3 => inner, 1 => bracketed].boxed();
            (spanset_op(), operands.clone(), operands).prop_map(|(op, left, right)| {
                let (left, right) = (Box::new(left), Box::new(right));
                spanset_of(SpansetKind::Binary { op, left, right })
            })
        })
        .boxed()
}

/// A pipeline in brackets; of a spanset alone nothing but the spanset is left.
fn operand(mut pipeline: Pipeline) -> SpansetExpr {
    if let [Stage { kind: StageKind::Spanset(_), .. }] = pipeline.stages.as_slice()
        && let Some(Stage { kind: StageKind::Spanset(spanset), .. }) = pipeline.stages.pop()
    {
        return spanset;
    }
    spanset_of(SpansetKind::Pipeline(pipeline))
}

fn spanset_of(kind: SpansetKind) -> SpansetExpr {
    SpansetExpr { kind, place: Place::default() }
}

fn spanset_op() -> impl Strategy<Value = SpansetOp> {
    let spellings = vec![
        "&&", "||", ">", "!>", "&>", "<", "!<", "&<", ">>", "!>>", "&>>", "<<", "!<<", "&<<", "~",
        "!~", "&~",
    ];
    select(spellings).prop_map(|spelling| SpansetOp::parse(spelling).expect("a spelling"))
}

/// The left side has an aggregate.
fn scalar_filter() -> BoxedStrategy<ScalarFilter> {
    let plain = aggregate().prop_map(ScalarKind::Aggregate);
    let piped = (simple_pipeline(), aggregate())
        .prop_map(|(pipeline, aggregate)| ScalarKind::Pipeline { pipeline, aggregate });
    let spans = prop_oneof![3 => plain, 1 => piped].prop_map(scalar_of);
    let spans = spans.boxed();
    let sides = (spans.clone(), scalar(spans), arithmetic())
        .prop_map(|(left, right, op)| {
            let (left, right) = (Box::new(left), Box::new(right));
            scalar_of(ScalarKind::Binary { op, left, right })
        })
        .boxed();
    let number = number().prop_map(|number| scalar_of(ScalarKind::Literal(number)));
    (comparison(), sides.clone(), prop_oneof![number, sides])
        .prop_map(|(op, left, right)| ScalarFilter { op, left, right })
        .boxed()
}

fn simple_pipeline() -> impl Strategy<Value = Pipeline> {
    field().prop_map(|filter| {
        let spanset = spanset_of(SpansetKind::Filter(filter));
        let stage = Stage { kind: StageKind::Spanset(spanset), place: Place::default() };
        Pipeline { stages: vec![stage], place: Place::default() }
    })
}

fn scalar(spans: BoxedStrategy<ScalarExpr>) -> impl Strategy<Value = ScalarExpr> {
    let number = number().prop_map(|number| scalar_of(ScalarKind::Literal(number)));
    prop_oneof![number, spans].prop_recursive(2, 6, 2, |inner| {
        (arithmetic(), inner.clone(), inner).prop_map(|(op, left, right)| {
            let (left, right) = (Box::new(left), Box::new(right));
            scalar_of(ScalarKind::Binary { op, left, right })
        })
    })
}

fn scalar_of(kind: ScalarKind) -> ScalarExpr {
    ScalarExpr { kind, place: Place::default() }
}

fn aggregate() -> impl Strategy<Value = Aggregate> {
    let ops = vec![AggregateOp::Min, AggregateOp::Max, AggregateOp::Avg, AggregateOp::Sum];
    prop_oneof![
        Just(Aggregate { op: AggregateOp::Count, of: None }),
        (select(ops), field()).prop_map(|(op, of)| Aggregate { op, of: Some(of) }),
    ]
}

fn field() -> BoxedStrategy<FieldExpr> {
    let leaf = prop_oneof![
        value().prop_map(FieldKind::Literal),
        attribute().prop_map(FieldKind::Attribute),
    ];
    leaf.prop_map(field_of)
        .prop_recursive(LEVELS, NODES, 2, |inner| {
            let unary = (select(vec![UnaryOp::Not, UnaryOp::Minus]), inner.clone())
                .prop_map(|(op, expr)| FieldKind::Unary { op, expr: Box::new(expr) });
            let op = prop_oneof![
                arithmetic(),
                comparison(),
                select(vec![FieldOp::Mod, FieldOp::Pow, FieldOp::Regex, FieldOp::NotRegex]),
                select(vec![FieldOp::And, FieldOp::Or]),
            ];
            let binary = (op, inner.clone(), inner).prop_map(|(op, left, right)| {
                let (left, right) = (Box::new(left), Box::new(right));
                FieldKind::Binary { op, left, right }
            });
            prop_oneof![1 => unary, 3 => binary].prop_map(field_of)
        })
        .boxed()
}

fn field_of(kind: FieldKind) -> FieldExpr {
    FieldExpr { kind, place: Place::default() }
}

/// Those that numbers and series have alike.
fn arithmetic() -> impl Strategy<Value = FieldOp> {
    select(vec![FieldOp::Add, FieldOp::Sub, FieldOp::Mul, FieldOp::Div])
}

fn comparison() -> impl Strategy<Value = FieldOp> {
    select(vec![
        FieldOp::Equal,
        FieldOp::NotEqual,
        FieldOp::Less,
        FieldOp::LessOrEqual,
        FieldOp::Greater,
        FieldOp::GreaterOrEqual,
    ])
}

fn value() -> impl Strategy<Value = Value> {
    let word = select(vec![
        Value::Nil,
        Value::Bool(true),
        Value::Bool(false),
        Value::Status(Status::Unset),
        Value::Status(Status::Error),
        Value::Kind(Kind::Unspecified),
        Value::Kind(Kind::Consumer),
    ]);
    prop_oneof![word, number(), text().prop_map(Value::String)]
}

fn number() -> impl Strategy<Value = Value> {
    prop_oneof![
        int().prop_map(Value::Int),
        float().prop_map(Value::Float),
        int().prop_map(Value::DurationNanos),
    ]
}

fn int() -> impl Strategy<Value = i64> {
    prop_oneof![any::<i64>(), -1_000_i64..1_000, Just(i64::MIN), Just(i64::MAX)]
}

fn float() -> impl Strategy<Value = f64> {
    use proptest::num::f64::{NEGATIVE, NORMAL, POSITIVE, SUBNORMAL, ZERO};
    prop_oneof![POSITIVE | NEGATIVE | NORMAL | SUBNORMAL | ZERO, -10.0..10.0]
}

fn text() -> impl Strategy<Value = Arc<str>> {
    prop_oneof![any::<String>(), "[a-z`\"\\\\\n\t\u{1}é]{0,8}"].prop_map(Arc::from)
}

fn attributes(least: usize) -> impl Strategy<Value = Vec<PlacedAttribute>> {
    let placed =
        attribute().prop_map(|attribute| PlacedAttribute { attribute, place: Place::default() });
    prop::collection::vec(placed, least..4)
}

fn attribute() -> impl Strategy<Value = Attribute> {
    let scopes = vec![
        AttributeScope::Any,
        AttributeScope::Span,
        AttributeScope::Resource,
        AttributeScope::Event,
        AttributeScope::Link,
        AttributeScope::Instrumentation,
    ];
    let of_parent = select(scopes[..3].to_vec());
    prop_oneof![
        select(Intrinsic::all().collect::<Vec<_>>()).prop_map(Attribute::Intrinsic),
        (select(scopes), name()).prop_map(|(scope, name)| Attribute::Named { scope, name }),
        (of_parent, name()).prop_map(|(scope, name)| Attribute::Parent { scope, name }),
    ]
}

/// Plain ones, ones that need quotes, and ones that could be taken for something else.
fn name() -> impl Strategy<Value = Arc<str>> {
    let odd = select(vec!["span.x", "resource.", "3", ".", "a+b", "//", "a b", "\"", "\\", "\n"]);
    prop_oneof![
        3 => "[a-z][a-z0-9._-]{0,8}",
        1 => odd.prop_map(str::to_owned),
        1 => "[ -~\t\n\u{a0}é]{1,6}",
    ]
    .prop_map(Arc::from)
}

fn series() -> BoxedStrategy<MetricsExpr> {
    let pipeline = (pipeline(), function())
        .prop_map(|(pipeline, function)| MetricsKind::Pipeline { pipeline, function });
    let number = prop_oneof![int().prop_map(Value::Int), float().prop_map(Value::Float)];
    let scalar = number.prop_map(|number| series_of(MetricsKind::Scalar(number), Vec::new()));
    (pipeline, second())
        .prop_map(|(kind, second)| series_of(kind, second))
        .prop_recursive(2, 6, 2, move |inner| {
            let sides = prop_oneof![
                (inner.clone(), inner.clone()),
                (inner.clone(), scalar.clone()),
                (scalar.clone(), inner),
            ];
            (arithmetic(), sides, second()).prop_map(|(op, (left, right), second)| {
                let (left, right) = (Box::new(left), Box::new(right));
                series_of(MetricsKind::Binary { op, left, right }, second)
            })
        })
        .boxed()
}

fn series_of(kind: MetricsKind, second: Vec<SecondStage>) -> MetricsExpr {
    MetricsExpr { kind, second, place: Place::default() }
}

fn second() -> impl Strategy<Value = Vec<SecondStage>> {
    let number = prop_oneof![int().prop_map(Value::Int), float().prop_map(Value::Float)];
    let stage = prop_oneof![
        (0..i64::MAX).prop_map(SecondStage::TopK),
        (0..i64::MAX).prop_map(SecondStage::BottomK),
        (comparison(), number).prop_map(|(op, value)| SecondStage::Filter { op, value }),
    ];
    prop::collection::vec(stage, 0..3)
}

fn function() -> impl Strategy<Value = MetricsFunction> {
    let of =
        || attribute().prop_map(|attribute| PlacedAttribute { attribute, place: Place::default() });
    let quantiles =
        prop::collection::vec(prop_oneof![float(), select(vec![0.0, 0.9, 0.999999])], 1..4);
    let compare =
        (field(), prop::option::of((0..i64::MAX, prop::option::of((0..i64::MAX, 0..i64::MAX)))));
    let kind = prop_oneof![
        Just(MetricsFunctionKind::Rate),
        Just(MetricsFunctionKind::CountOverTime),
        of().prop_map(MetricsFunctionKind::MinOverTime),
        of().prop_map(MetricsFunctionKind::MaxOverTime),
        of().prop_map(MetricsFunctionKind::SumOverTime),
        of().prop_map(MetricsFunctionKind::AvgOverTime),
        of().prop_map(MetricsFunctionKind::HistogramOverTime),
        (of(), quantiles)
            .prop_map(|(of, quantiles)| MetricsFunctionKind::QuantileOverTime { of, quantiles }),
        compare.prop_map(|(filter, rest)| {
            let range = rest.and_then(|(_, range)| range);
            MetricsFunctionKind::Compare {
                filter,
                top_n: rest.map(|(n, _)| n),
                start_unix_nanos: range.map(|(start, _)| start),
                end_unix_nanos: range.map(|(_, end)| end),
            }
        }),
    ];
    (kind, attributes(0)).prop_map(|(kind, by)| MetricsFunction {
        kind,
        by,
        place: Place::default(),
    })
}
