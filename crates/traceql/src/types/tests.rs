//! Types against the tables of the corpora.

use serde_json::Value as Json;
use suyuan_testkit::corpus::Corpora;

use super::field::Type;
use crate::ast::{FieldOp, UnaryOp};

/// `None`: arrays and spansets, which no literal and no operator of a filter is.
fn type_of(name: &Json) -> Option<Type> {
    Some(match name.as_str()? {
        "TypeAttribute" => Type::Attribute,
        "TypeNil" => Type::Nil,
        "TypeBoolean" => Type::Bool,
        "TypeInt" => Type::Int,
        "TypeFloat" => Type::Float,
        "TypeDuration" => Type::Duration,
        "TypeString" => Type::String,
        "TypeStatus" => Type::Status,
        "TypeKind" => Type::Kind,
        _ => return None,
    })
}

/// `None`: operators of spansets, and those that our tree writes in another way.
fn op_of(name: &Json) -> Option<FieldOp> {
    Some(match name.as_str()? {
        "OpAdd" => FieldOp::Add,
        "OpSub" => FieldOp::Sub,
        "OpMult" => FieldOp::Mul,
        "OpDiv" => FieldOp::Div,
        "OpMod" => FieldOp::Mod,
        "OpPower" => FieldOp::Pow,
        "OpEqual" => FieldOp::Equal,
        "OpNotEqual" => FieldOp::NotEqual,
        "OpLess" => FieldOp::Less,
        "OpLessEqual" => FieldOp::LessOrEqual,
        "OpGreater" => FieldOp::Greater,
        "OpGreaterEqual" => FieldOp::GreaterOrEqual,
        "OpRegex" => FieldOp::Regex,
        "OpNotRegex" => FieldOp::NotRegex,
        "OpAnd" => FieldOp::And,
        "OpOr" => FieldOp::Or,
        _ => return None,
    })
}

/// What our rules say to a row of the table.
fn judged(row: &Json) -> Option<bool> {
    match row["from"].as_str()? {
        "TestStaticType_isMatchingOperand" => {
            Some(type_of(&row["t"])?.fits(type_of(&row["otherT"])?))
        }
        "TestOperatorIsBoolean" => op_of(&row["op"]).map(|op| !op.is_arithmetic()),
        "TestOperatorBinaryTypesValid" => Some(type_of(&row["t"])?.takes(op_of(&row["op"])?)),
        "TestOperatorUnaryTypesValid" => {
            let op = match row["op"].as_str()? {
                "OpNot" => UnaryOp::Not,
                "OpSub" => UnaryOp::Minus,
                _ => return None,
            };
            Some(type_of(&row["t"])?.takes_unary(op))
        }
        _ => None,
    }
}

#[test]
fn types_fit_as_in_the_tables() {
    let Some(corpora) = Corpora::find() else { return };
    let mut n_judged = 0;
    for line in corpora.text("traceql/type_rules.jsonl").lines() {
        let row: Json = serde_json::from_str(line).expect("a line of JSON");
        let Some(judged) = judged(&row) else { continue };
        n_judged += 1;
        let expected = row.get("want").or(row.get("expected"));
        assert_eq!(Some(judged), expected.and_then(Json::as_bool), "{line}");
    }
    assert_eq!(n_judged, 104);
}
