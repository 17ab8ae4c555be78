//! `suyuan flush` and `suyuan erase`: what an operator asks of a running server.
//!
//! In: the server's address, what to do. Out: what was done, for people or as the server's JSON.
//! The server does the work; this waits for it.

use std::io::{self, Write};
use std::process::ExitCode;

use anyhow::{Context, bail};
use clap::Args;
use serde_json::Value;
use suyuan_ids::TraceId;

use crate::fetch;
use crate::quantity::{counted, grouped, rounded_bytes};

/// Have a running server write its live data to a block, and wait until it has
///
/// What was acknowledged before is then in blocks, durable and in the catalog. With --compact,
/// blocks are then merged where it pays, and what was erased leaves the files.
#[derive(Debug, Args)]
#[command(after_help = "\
Exit codes: 0 done, 2 not done.

Example:
  suyuan flush
  suyuan flush --compact --server http://traces.example.com:3200")]
pub struct FlushArgs {
    /// Merge blocks too, as the server would by itself
    #[arg(long)]
    compact: bool,
    #[command(flatten)]
    server: ServerArgs,
}

/// Erase a trace, or all traces of a tenant, from a running server
///
/// It is gone from every answer when the command returns, for good. Its bytes leave the files
/// within a day, or at once with `suyuan flush --compact`. What arrives later stays.
#[derive(Debug, Args)]
#[command(after_help = "\
Exit codes: 0 done, 2 not done.

Example:
  suyuan erase 4bf92f3577b34da6a3ce929d0e0e4736
  suyuan erase --all-traces --tenant mall")]
pub struct EraseArgs {
    /// Trace id: up to 32 hexadecimal digits
    #[arg(required_unless_present = "all_traces", conflicts_with = "all_traces")]
    id: Option<String>,
    /// Everything that the tenant has; without tenants, everything there is
    #[arg(long)]
    all_traces: bool,
    /// Whose traces, sent as X-Scope-OrgID
    #[arg(long, env = "SUYUAN_TENANT")]
    tenant: Option<String>,
    #[command(flatten)]
    server: ServerArgs,
}

#[derive(Debug, Args)]
struct ServerArgs {
    /// Server to ask
    #[arg(
        long,
        value_name = "URL",
        env = "SUYUAN_SERVER",
        default_value = "http://127.0.0.1:3200"
    )]
    server: String,
    /// Print the server's answer as it is
    #[arg(long)]
    json: bool,
}

/// Asks for a flush and reports.
///
/// # Errors
/// A server that does not answer, or could not do it.
pub async fn flush(args: &FlushArgs) -> anyhow::Result<ExitCode> {
    let path = format!("/api/admin/flush?compact={}", args.compact);
    let body = fetch::post(&args.server.server, &path, None).await?;
    print(&args.server, &body, flushed_text)
}

/// Asks for an erasure and reports.
///
/// # Errors
/// An id that is none, a server that does not answer, or could not do it.
pub async fn erase(args: &EraseArgs) -> anyhow::Result<ExitCode> {
    let path = match &args.id {
        Some(id) => {
            let id = TraceId::parse(id.trim()).with_context(|| format!("`{id}` is no trace id"))?;
            format!("/api/admin/erase?trace={id}")
        }
        None => "/api/admin/erase?tenant=all".to_owned(),
    };
    let body = fetch::post(&args.server.server, &path, args.tenant.as_deref()).await?;
    print(&args.server, &body, erased_text)
}

fn print(
    args: &ServerArgs,
    body: &[u8],
    text: fn(&Value) -> Option<String>,
) -> anyhow::Result<ExitCode> {
    let answer: Option<Value> = serde_json::from_slice(body).ok();
    let Some((told, answer)) = answer.and_then(|answer| Some((text(&answer)?, answer))) else {
        bail!("{} gave an answer that is not one of this version's", args.server);
    };
    let told = if args.json { format!("{answer:#}\n") } else { told };
    io::stdout().write_all(told.as_bytes())?;
    Ok(ExitCode::SUCCESS)
}

fn flushed_text(answer: &Value) -> Option<String> {
    let mut text = format!("flushed: {}\n", blocks_text(&answer["flushed"])?);
    if let Some(compacted) = answer.get("compacted") {
        let number = |name: &str| compacted[name].as_u64();
        text.push_str(&format!(
            "compacted: {} to {}, {} to {} spans, {} to {}: {} joined, {} and {} left out\n",
            counted(number("blocksRemoved")?, "block"),
            grouped(number("blocksAdded")?),
            grouped(number("spansRead")?),
            grouped(number("spansWritten")?),
            rounded_bytes(number("bytesRead")?),
            rounded_bytes(number("bytesWritten")?),
            counted(number("splitTracesMerged")?, "split trace"),
            counted(number("duplicatesRemoved")?, "duplicate"),
            counted(number("erasedOrExpired")?, "erased or expired span"),
        ));
    }
    text.push_str(&format!("now: {}\n", blocks_text(&answer["total"])?));
    Some(text)
}

fn blocks_text(blocks: &Value) -> Option<String> {
    Some(format!(
        "{}, {}, {}",
        counted(blocks["blocks"].as_u64()?, "block"),
        counted(blocks["spans"].as_u64()?, "span"),
        rounded_bytes(blocks["bytes"].as_u64()?)
    ))
}

fn erased_text(answer: &Value) -> Option<String> {
    let erased = &answer["erased"];
    let (live, in_blocks) = (erased["liveSpans"].as_u64()?, erased["blockSpans"].as_u64()?);
    let text = format!("erased: {}\n", counted(live.checked_add(in_blocks)?, "span"));
    let n_blocks = erased["blocks"].as_u64()?;
    let rest = match live + n_blocks {
        0 => String::new(),
        _ => "its bytes leave the files within a day, or now with `suyuan flush --compact`\n"
            .to_owned(),
    };
    Some(text + &rest)
}

#[cfg(test)]
mod tests {
    use expect_test::expect;
    use serde_json::json;

    use super::*;

    #[test]
    fn a_flush_is_told_in_lines() {
        let answer = json!({
            "flushed": { "blocks": 1, "spans": 12_000, "bytes": 400_000 },
            "compacted": {
                "blocksRemoved": 4, "blocksAdded": 1, "spansRead": 50_000, "spansWritten": 49_999,
                "bytesRead": 1_600_000, "bytesWritten": 1_400_000, "splitTracesMerged": 7,
                "duplicatesRemoved": 1, "erasedOrExpired": 0,
            },
            "total": { "blocks": 1, "spans": 49_999, "bytes": 1_400_000 },
        });
        expect![[r#"
            flushed: 1 block, 12,000 spans, 391 KiB
            compacted: 4 blocks to 1, 50,000 to 49,999 spans, 1.5 MiB to 1.3 MiB: 7 split traces joined, 1 duplicate and 0 erased or expired spans left out
            now: 1 block, 49,999 spans, 1.3 MiB
        "#]].assert_eq(&flushed_text(&answer).unwrap());
    }

    #[test]
    fn an_erasure_is_told_with_what_is_left_of_it() {
        let answer = json!({ "erased": { "liveSpans": 1, "blockSpans": 45, "blocks": 2 } });
        expect![[r#"
            erased: 46 spans
            its bytes leave the files within a day, or now with `suyuan flush --compact`
        "#]]
        .assert_eq(&erased_text(&answer).unwrap());
        let answer = json!({ "erased": { "liveSpans": 0, "blockSpans": 0, "blocks": 0 } });
        assert_eq!(erased_text(&answer).unwrap(), "erased: 0 spans\n");
    }

    #[test]
    fn a_foreign_answer_is_none() {
        assert_eq!(flushed_text(&json!({ "flushed": true })), None);
        assert_eq!(erased_text(&json!([])), None);
    }
}
