//! The table of keys, written out: as TOML for `--print-config`, as `docs/configuration.md`.

use super::Config;
use super::keys::{KEYS, Key};

const COLUMNS_MAX: usize = 98;

/// The configuration as a file that, read again, gives the same configuration; secrets left out.
pub fn effective_toml(config: &Config) -> String {
    let default = Config::default();
    let mut text = String::from("# The effective configuration of `suyuan serve`.\n");
    let mut section = "";
    for key in KEYS {
        if key.section != section {
            section = key.section;
            text.push_str(&format!("\n[{section}]\n"));
        } else {
            text.push('\n');
        }
        let unit = key.slot.unit().replace('`', "");
        push_comment(&mut text, key.what);
        push_comment(&mut text, &format!("Unit: {unit}. Default: {}.", key.slot.show(&default)));
        push_comment(&mut text, &format!("Why a key: {}", key.why));
        match key.slot.is_hidden(config) {
            true => text.push_str(&format!("# {} is set and not shown.\n", key.name)),
            false => text.push_str(&format!("{} = {}\n", key.name, key.slot.show(config))),
        }
    }
    text
}

fn push_comment(text: &mut String, comment: &str) {
    let mut columns = COLUMNS_MAX;
    for word in comment.split_whitespace() {
        if columns + 1 + word.chars().count() > COLUMNS_MAX {
            if !text.ends_with('\n') {
                text.push('\n');
            }
            text.push('#');
            columns = 1;
        }
        text.push(' ');
        text.push_str(word);
        columns += 1 + word.chars().count();
    }
    text.push('\n');
}

/// `docs/configuration.md`, whole. A test holds the file against it.
pub fn reference_markdown() -> String {
    let default = Config::default();
    let mut text = String::from(PREFACE);
    let mut section = "";
    for key in KEYS {
        if key.section != section {
            section = key.section;
            text.push_str(&format!("\n## `[{section}]`\n"));
        }
        text.push_str(&entry(key, &default));
    }
    text
}

fn entry(key: &Key, default: &Config) -> String {
    let flag = key.flag.map(|flag| format!(", flag `{flag}`")).unwrap_or_default();
    format!(
        "\n### `{path}`\n\n{what}\n\n- Value: {unit}. Default: `{default}`.\n- Set by: `{path}` in \
         the file, `{variable}` in the environment{flag}.\n- Why a key: {why}\n",
        path = key.path(),
        what = key.what,
        unit = key.slot.unit(),
        default = key.slot.show(default),
        variable = key.variable(),
        why = key.why,
    )
}

const PREFACE: &str = "\
<!-- Written from crates/server/src/config/keys.rs. Change it there, then run the server's tests \
with UPDATE_EXPECT=1. -->

# Configuration

`suyuan serve` needs no configuration. What it can be told stands here, once.

Values come from three places; the later one wins:

1. One TOML file, named by `--config FILE` or `SUYUAN_CONFIG`.
2. The environment: `SUYUAN_<SECTION>_<KEY>`.
3. Flags of `suyuan serve`.

An unknown key in the file is an error that names the line and the nearest known key. An unknown
variable is a warning, because container platforms set variables of their own.

`suyuan serve --print-config` prints the configuration in effect, as a file that can be used
again, and exits.

```toml
[server]
data_dir = \"/var/lib/suyuan\"
http = \"0.0.0.0:3200\"

[otlp]
grpc = \"0.0.0.0:4317\"
http = \"0.0.0.0:4318\"

[tenancy]
enabled = true

[objects]
kind = \"s3\"
bucket = \"traces\"
region = \"eu-central-1\"

[retention]
age_max_s = \"30d\"
```

What the server logs about itself goes to stderr. `SUYUAN_LOG` (or `RUST_LOG`) filters it, such as
`SUYUAN_LOG=info,suyuan_wal=debug`; `SUYUAN_LOG_FORMAT=json` writes one JSON object per line.
";
